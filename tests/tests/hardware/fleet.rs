//! A lab of three machines: what the operator's commands say of it, while drivers are upgraded, cards moved and lost, and the coordinator restarted.

use batchstep_tests::{Agent, Host, Lab, eventually, host::card};
use serde_json::{Value, json};

/// The machines, with agents that look many times a second.
struct Machines {
    lab: Lab,
    hosts: [Host; 3],
}

const OLD: &str = "driver_version = \"570.86.10\"\n";
const NEW: &str = "driver_version = \"590.48.01\"\n";

impl Machines {
    fn new() -> Self {
        let lab = Lab::new();
        let first = format!("{}{}", card("h200", "GPU-a"), card("h200", "GPU-b"));
        let second = format!("{}{}", card("a100_mig", "GPU-m"), card("t4", "GPU-t"));
        let third = format!("{OLD}{}", card("h200", "GPU-c"));
        let hosts = [
            Host::new(&lab, "node1", &first),
            Host::new(&lab, "node2", &second),
            Host::new(&lab, "node3", &third),
        ];
        for host in &hosts {
            host.describe(&["GPU-a", "GPU-b", "GPU-c", "GPU-m", "GPU-t"]);
        }
        // Its driver is too old for libtorch.
        hosts[2].describe_with(&["GPU-c"], Some("no CUDA device is reached"));
        Self { lab, hosts }
    }

    fn start(&self, index: usize) -> Agent {
        self.hosts[index].start(&self.lab)
    }

    /// Waits until the commands know every card.
    fn wait_for_all(&self) {
        eventually("all GPUs", || {
            (self
                .gpus()
                .iter()
                .filter(|gpu| gpu["state"] == "present")
                .count()
                == 5)
                .then_some(())
        });
    }

    fn gpus(&self) -> Vec<Value> {
        let all = self.lab.ask_json(&["inventory"]);
        let hosts = all["hosts"].as_array().unwrap();
        hosts
            .iter()
            .flat_map(|host| host["gpus"].as_array().unwrap().clone())
            .collect()
    }

    fn changes(&self) -> Vec<Value> {
        let all = self
            .lab
            .ask_json(&["inventory", "--changes", "--since", "1h"]);
        all["changes"].as_array().unwrap().clone()
    }

    /// How many changes have all of these fields.
    fn count(&self, wanted: &Value) -> usize {
        let has_all = |change: &Value| {
            let mut fields = wanted.as_object().unwrap().iter();
            fields.all(|(name, value)| change[name] == *value)
        };
        self.changes()
            .iter()
            .filter(|change| has_all(change))
            .count()
    }

    fn wait_for(&self, wanted: &Value) {
        eventually(&format!("the change {wanted}"), || {
            (self.count(wanted) > 0).then_some(())
        });
        assert_eq!(self.count(wanted), 1, "it is told once");
    }

    /// Codes of the findings about a device or host.
    fn findings(&self, about: &str) -> Vec<String> {
        let all = self.lab.ask_json(&["inventory", "--health"]);
        let findings = all["findings"].as_array().unwrap();
        findings
            .iter()
            .filter(|finding| {
                finding["uuid"] == about
                    || finding["hostname"] == about
                    || finding["message"].as_str().unwrap().contains(about)
            })
            .map(|finding| finding["code"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn the_lab_is_listed_by_host_and_by_model_filtered_and_compared() {
    let machines = Machines::new();
    let lab = &machines.lab;
    let _coordinator = lab.start_coordinator();
    let _agents = [0, 1, 2].map(|index| machines.start(index));
    machines.wait_for_all();

    let table = lab.ask(&["inventory"]);
    for part in [
        "node1",
        "node2",
        "node3",
        "NVIDIA H200",
        "Tesla T4",
        "570.86.10",
        "driver_too_old",
        "mig_parent",
    ] {
        assert!(table.stdout.contains(part), "{part}:\n{}", table.stdout);
    }
    let models = lab.ask(&["inventory", "--by", "model"]);
    assert!(
        models
            .stdout
            .contains("2 of 3 NVIDIA H200 have driver_version 590.48.01, 1 has 570.86.10"),
        "{}",
        models.stdout
    );
    let matching = |arguments: &[&str]| -> Vec<String> {
        let found = lab.ask_json(&[&["inventory"], arguments].concat());
        let hosts = found["hosts"].as_array().unwrap();
        let gpus = hosts
            .iter()
            .flat_map(|host| host["gpus"].as_array().unwrap());
        gpus.map(|gpu| gpu["uuid"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(matching(&["--where", "driver<580"]), ["GPU-c"]);
    assert_eq!(matching(&["--model", "t4"]), ["GPU-t"]);
    assert_eq!(matching(&["--host", "node1"]), ["GPU-a", "GPU-b"]);
    assert_eq!(
        matching(&["--where", "memory>=100GiB and driver>=580"]),
        ["GPU-a", "GPU-b"]
    );
    let wrong = lab.ask(&["inventory", "--where", "drivr<580"]);
    assert_eq!(wrong.code(), 2);
    assert!(
        wrong.stderr.contains("drivr") && wrong.stderr.contains("driver_version"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn an_upgrade_a_moved_card_and_a_lost_one_are_told_once_each() {
    let machines = Machines::new();
    let lab = &machines.lab;
    let coordinator = lab.start_coordinator();
    let first = machines.start(0);
    let _others = [1, 2].map(|index| machines.start(index));
    machines.wait_for_all();

    // The driver of the third machine is upgraded, and somebody lowers the power limit.
    machines.hosts[2].nvml.write(&format!(
        "{NEW}{}power.management_limit = 500000\n",
        card("h200", "GPU-c")
    ));
    machines.wait_for(&json!({
        "kind": "changed", "hostname": "node3", "uuid": null, "field": "driver_version", "before": "570.86.10", "after": "590.48.01"
    }));
    machines.wait_for(&json!({
        "kind": "changed", "uuid": "GPU-c", "field": "power_limit_watts", "before": 700.0, "after": 500.0
    }));
    assert!(
        machines
            .findings("GPU-c")
            .contains(&"power_limit".to_owned())
    );

    // A card goes from the first machine, which is down meanwhile, to the second.
    drop(first);
    machines.hosts[0].nvml.write(&card("h200", "GPU-a"));
    machines.hosts[1].nvml.write(&format!(
        "{}{}{}",
        card("a100_mig", "GPU-m"),
        card("t4", "GPU-t"),
        card("h200", "GPU-b")
    ));
    machines.wait_for(&json!({
        "kind": "moved", "uuid": "GPU-b", "hostname": "node2", "previous_hostname": "node1"
    }));
    let _first = machines.start(0);
    machines.wait_for_all();

    // A card falls off the bus.
    machines.hosts[0]
        .nvml
        .write(&format!("{}lost = true\n", card("h200", "GPU-a")));
    machines.wait_for(&json!({"kind": "lost", "uuid": "GPU-a", "hostname": "node1"}));
    let health = lab.ask(&["inventory", "--health"]);
    assert_eq!(health.code(), 1, "{}", health.stdout);
    assert!(
        health.stdout.contains("critical") && health.stdout.contains("GPU-a"),
        "{}",
        health.stdout
    );

    // Nothing of it is told again by a coordinator that starts anew.
    let before = machines.changes();
    coordinator.stop();
    let _coordinator = lab.start_coordinator();
    eventually("the agents to be back", || {
        let all = lab.ask_json(&["inventory"]);
        let back = all["hosts"]
            .as_array()?
            .iter()
            .all(|host| host["connected"] == true);
        back.then_some(())
    });
    assert_eq!(machines.changes(), before);
}

#[test]
fn one_uuid_on_two_machines_is_a_finding_and_not_a_card_that_flies() {
    let machines = Machines::new();
    let _coordinator = machines.lab.start_coordinator();
    let _agents = [0, 1, 2].map(|index| machines.start(index));
    machines.wait_for_all();
    machines.hosts[2].nvml.write(&format!(
        "{OLD}{}{}",
        card("h200", "GPU-c"),
        card("h200", "GPU-a")
    ));
    machines.wait_for(&json!({"kind": "duplicate", "uuid": "GPU-a"}));
    assert!(
        machines
            .findings("GPU-a")
            .contains(&"duplicate_uuid".to_owned()),
        "{:?}",
        machines.findings("GPU-a")
    );
    assert_eq!(machines.count(&json!({"kind": "moved"})), 0);
    machines.hosts[2]
        .nvml
        .write(&format!("{OLD}{}", card("h200", "GPU-c")));
    eventually("the finding to go", || {
        (!machines
            .findings("GPU-a")
            .contains(&"duplicate_uuid".to_owned()))
        .then_some(())
    });
}

#[test]
fn growing_errors_are_in_the_history_and_in_the_metrics() {
    let machines = Machines::new();
    let lab = &machines.lab;
    let _coordinator = lab.start_coordinator();
    let _agents = [0, 1, 2].map(|index| machines.start(index));
    machines.wait_for_all();
    machines.hosts[1].nvml.write(&format!(
        "{}{}ecc_growth_per_read = 1\n",
        card("a100_mig", "GPU-m"),
        card("t4", "GPU-t")
    ));
    eventually("uncorrected errors", || {
        (machines.count(&json!({"kind": "changed", "uuid": "GPU-t", "field": "ecc_uncorrected"}))
            >= 2)
            .then_some(())
    });
    assert!(
        machines
            .findings("GPU-t")
            .iter()
            .any(|code| code.starts_with("ecc")),
        "{:?}",
        machines.findings("GPU-t")
    );
    let metrics = scrape(lab);
    let line = metrics
        .lines()
        .find(|line| line.starts_with("batchstep_gpu_memory_total_bytes") && line.contains("GPU-a"))
        .unwrap_or_else(|| panic!("no memory of GPU-a:\n{metrics}"));
    assert!(
        line.contains("host=\"node1\"") && line.contains("model=\"NVIDIA H200\""),
        "{line}"
    );
    assert_eq!(
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap(),
        150_754_820_096.0
    );
}

/// The coordinator's metrics, as Prometheus asks for them.
fn scrape(lab: &Lab) -> String {
    use std::io::{Read as _, Write as _};
    let address = lab.url().replace("http://", "");
    let mut socket = std::net::TcpStream::connect(&address).unwrap();
    write!(
        socket,
        "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}
