//! NVML that is not there, does not work, stops working, or never comes back.

use batchstep_tests::{Agent, Host, Lab, Process, eventually, fake_nvml::device, host::card};
use serde_json::Value;

#[test]
fn a_host_without_a_driver_lacks_nothing() {
    let lab = Lab::new();
    let mut host = Host::new(&lab, "cpu", "");
    std::fs::remove_file(host.nvml.library()).unwrap();
    let read = host.inventory(&lab);
    assert_eq!(read.code(), 0, "{}", read.stderr);
    assert_eq!(read.json()["nvml"]["state"], "no_driver");
    // With a driver the library is missed.
    host.write(
        "proc/driver/nvidia/version",
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.06  Wed\n",
    );
    let read = host.inventory(&lab);
    assert_eq!(read.code(), 3);
    let document = read.json();
    assert_eq!(document["nvml"]["state"], "failed");
    assert!(
        document["nvml"]["message"]
            .as_str()
            .unwrap()
            .contains("libnvidia-ml.so.1")
    );
    assert_eq!(document["host"]["driver_version"], "535.183.06");
    host.nvml = batchstep_tests::FakeNvml::new(&lab.path("cpu"));
}

#[test]
fn what_keeps_nvml_from_starting_is_told_with_the_way_out() {
    let lab = Lab::new();
    for (code, part) in [
        ("driver_not_loaded", "modprobe nvidia"),
        ("library_rm_version_mismatch", "reload the driver"),
        ("no_permission", "/dev/nvidiactl"),
        ("unknown", "nvidia-smi"),
    ] {
        let host = Host::new(
            &lab,
            code,
            &format!("init_error = \"{code}\"\n{}", device("h200")),
        );
        let read = host.inventory(&lab);
        assert_eq!(read.code(), 3, "{code}");
        let message = read.json()["nvml"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{code}: {message}");
        let doctor = Process::run("doctor", &mut host.agent(&lab, &["doctor"]));
        assert_eq!(doctor.code(), 3);
        assert!(doctor.stdout.contains(part), "{}", doctor.stdout);
    }
}

#[test]
fn a_driver_without_gpus_is_told() {
    let lab = Lab::new();
    let host = Host::new(&lab, "empty", "");
    assert_eq!(host.inventory(&lab).json()["gpus"], serde_json::json!([]));
    let doctor = Process::run("doctor", &mut host.agent(&lab, &["doctor"]));
    assert!(
        doctor.stdout.contains("NVML finds no GPU"),
        "{}",
        doctor.stdout
    );
}

#[test]
fn a_lost_gpu_keeps_its_name_and_nothing_else() {
    let lab = Lab::new();
    let host = Host::new(
        &lab,
        "node1",
        &format!(
            "{}lost_after_calls = 40\n{}",
            card("h200", "GPU-a"),
            card("h200", "GPU-b")
        ),
    );
    let document = host.inventory(&lab).json();
    let [lost, well] = [0, 1].map(|at| &document["gpus"][at]);
    assert_eq!(lost["uuid"], "GPU-a");
    assert_eq!(lost["temperature_celsius"], Value::Null);
    assert_eq!(lost["absent"]["temperature_celsius"], "lost");
    assert_eq!(lost["ineligible"][0]["code"], "lost");
    assert!(well["temperature_celsius"].is_number());
}

/// The ids of a coordinator's devices that the agent offers, with their first reason against trials.
fn devices(lab: &Lab) -> Vec<(String, Option<String>)> {
    let sweep = lab.ask_json(&["inventory"]);
    let mut found = Vec::new();
    for host in sweep["hosts"].as_array().unwrap() {
        for gpu in host["gpus"].as_array().unwrap() {
            found.push((
                gpu["uuid"].as_str().unwrap().to_owned(),
                gpu["ineligible"][0]["code"].as_str().map(str::to_owned),
            ));
        }
    }
    found
}

fn start(lab: &Lab, host: &Host) -> Agent {
    host.start(lab)
}

#[test]
fn an_agent_outlives_a_call_that_hangs_and_notices_when_it_comes_back() {
    let lab = Lab::new();
    let gpus = card("h200", "GPU-a");
    let host = Host::new(&lab, "node1", &gpus);
    host.describe(&["GPU-a"]);
    let _coordinator = lab.start_coordinator();
    let mut agent = host.start_with(
        &lab,
        &host.root().join("../worker"),
        &["--nvml-deadline", "200ms"],
    );
    let reason = |wanted: Option<&str>| {
        eventually(&format!("the GPU to be {wanted:?}"), || {
            let found = devices(&lab);
            (found == [("GPU-a".to_owned(), wanted.map(str::to_owned))]).then_some(())
        });
    };
    reason(None);
    host.nvml
        .write(&format!("hang = \"nvmlDeviceGetPowerUsage\"\n{gpus}"));
    reason(Some("nvml_hung"));
    assert!(!agent.0.has_ended());
    host.nvml.write(&gpus);
    reason(None);
    assert!(!agent.0.has_ended());
}

#[test]
fn a_new_gpu_a_new_driver_and_a_lost_gpu_are_noticed_while_the_agent_runs() {
    let lab = Lab::new();
    let host = Host::new(&lab, "node1", &card("h200", "GPU-a"));
    host.describe(&["GPU-a", "GPU-b"]);
    let _coordinator = lab.start_coordinator();
    let mut agent = start(&lab, &host);
    let inventory = || lab.ask_json(&["inventory"]);
    eventually("the first GPU", || (devices(&lab).len() == 1).then_some(()));
    let both = format!("{}{}", card("h200", "GPU-a"), card("h200", "GPU-b"));
    host.nvml.write(&both);
    eventually("the second GPU", || {
        (devices(&lab) == [("GPU-a".to_owned(), None), ("GPU-b".to_owned(), None)]).then_some(())
    });
    // As after an upgrade: the loaded library does not fit the new kernel module until it is loaded anew.
    host.nvml
        .write(&format!("driver_version = \"600.10\"\n{both}"));
    eventually("the new driver", || {
        (inventory()["hosts"][0]["host"]["driver_version"] == "600.10").then_some(())
    });
    host.nvml
        .write(&format!("driver_version = \"600.10\"\n{both}lost = true\n"));
    eventually("the loss", || {
        (devices(&lab)[1].1.as_deref() == Some("lost")).then_some(())
    });
    assert!(!agent.0.has_ended());
}
