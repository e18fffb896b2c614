//! GPUs are looked at while trials run on them, and before: what was seen is in every block, and the rules act on it.

use batchstep_tests::{
    Agent, Coordinator, Host, Lab, Process, binaries::scripted_worker, eventually, host::card,
};
use serde_json::Value;

const SWEEP: &[&str] = &[
    "sweep",
    "run",
    "--devices",
    "gpu",
    "--workload",
    "linear:outputs=4",
    "--batch-sizes",
    "1-4",
    "--budget",
    "8s",
];

/// A lab with one GPU that computes nothing and is watched all the same.
fn lab_with(gpu: &str) -> (Lab, Host, Coordinator, Agent) {
    let lab = Lab::that_measures();
    let host = Host::new(&lab, "node1", gpu);
    host.describe(&["GPU-a"]);
    let coordinator = lab.start_coordinator();
    let agent = host.start_with(
        &lab,
        &scripted_worker(),
        &["--devices", "gpu", "--nvml-deadline", "1s"],
    );
    (lab, host, coordinator, agent)
}

fn sweep(lab: &Lab) -> Process {
    let url = lab.url();
    Process::start(
        "batchstep sweep run",
        lab.batchstep(SWEEP).env("BATCHSTEP_COORDINATOR", url),
    )
}

/// The column of a sweep's measured blocks.
fn column(lab: &Lab, name: &str) -> Vec<String> {
    let csv = lab.ask(&["export", "last", "--format", "csv"]).stdout;
    let mut lines = csv.lines();
    // There is no sweep yet.
    let Some(header) = lines.next() else {
        return Vec::new();
    };
    let header: Vec<&str> = header.split(',').collect();
    let at = header.iter().position(|column| *column == name).unwrap();
    lines
        .map(|line| line.split(',').nth(at).unwrap().to_owned())
        .collect()
}

fn explanation(lab: &Lab) -> String {
    lab.ask(&["sweep", "show", "last", "--explain"]).stdout
}

fn verdict(lab: &Lab) -> Value {
    lab.ask_json(&["sweep", "show", "last"])["rows"][0]["verdict"].clone()
}

#[test]
fn every_block_is_told_with_the_state_of_its_gpu() {
    let (lab, _host, _coordinator, _agent) = lab_with(&format!(
        "{}temperature = 61\npower.usage = 421000\nclocks.current = {{ graphics = 1755, sm = 1755, memory = 3201, video = 1500 }}\nthrottle_reasons = 4\n",
        card("h200", "GPU-a")
    ));
    let ended = sweep(&lab).finish();
    assert!([0, 3].contains(&ended.code()), "{}", ended.stderr);
    let temperatures = column(&lab, "temperature_celsius");
    let told = temperatures.iter().filter(|cell| !cell.is_empty()).count();
    // On a machine that stands still for a moment a block may be without a sample.
    assert!(told * 2 > temperatures.len(), "{temperatures:?}");
    for (name, value) in [
        ("temperature_celsius", 61.0),
        ("power_watts", 421.0),
        ("sm_clock_mhz", 1755.0),
        ("throttle_reasons", 4.0),
    ] {
        for cell in column(&lab, name).iter().filter(|cell| !cell.is_empty()) {
            assert_eq!(cell.parse::<f64>().unwrap(), value, "{name}");
        }
    }
}

#[test]
fn a_gpu_in_use_is_waited_for_and_the_explanation_says_by_whom() {
    let free = card("h200", "GPU-a");
    let (lab, host, _coordinator, _agent) = lab_with(&format!(
        "{free}processes = [{{ pid = 4711, used_bytes = 1 }}]\n"
    ));
    let running = sweep(&lab);
    let why = eventually("the explanation", || {
        let text = explanation(&lab);
        text.contains("(4711)").then_some(text)
    });
    assert!(why.contains("computes on it"), "{why}");
    assert!(
        column(&lab, "temperature_celsius").is_empty(),
        "nothing was measured yet"
    );
    host.nvml.write(&free);
    let ended = running.finish();
    assert!([0, 3].contains(&ended.code()), "{}", ended.stderr);
    assert!(!column(&lab, "temperature_celsius").is_empty());
}

#[test]
fn somebody_who_comes_during_a_sweep_makes_it_contended() {
    let (lab, host, _coordinator, _agent) = lab_with(&card("h200", "GPU-a"));
    let running = sweep(&lab);
    eventually("the first block", || {
        (!column(&lab, "batch_size").is_empty()).then_some(())
    });
    // The fake cannot know the worker's number: one of them stands for it where process ids are not the host's, as in a container.
    host.nvml.write(&format!(
        "{}processes = [{{ pid = 4711 }}, {{ pid = 4712 }}]\n",
        card("h200", "GPU-a")
    ));
    let _ = running.finish();
    assert!(
        column(&lab, "foreign_processes")
            .iter()
            .any(|cell| ["1", "2"].contains(&cell.as_str()))
    );
    assert_eq!(verdict(&lab), "contended");
}

#[test]
fn a_gpu_that_slows_down_makes_the_sweep_throttled() {
    // 8: hardware slowdown.
    let (lab, _host, _coordinator, _agent) =
        lab_with(&format!("{}throttle_reasons = 8\n", card("h200", "GPU-a")));
    let _ = sweep(&lab).finish();
    assert!(
        column(&lab, "throttle_reasons")
            .iter()
            .any(|cell| cell == "8")
    );
    assert_eq!(verdict(&lab), "throttled");
}

#[test]
fn a_driver_that_hangs_during_a_round_is_told_as_such_and_no_round_follows() {
    let gpu = card("h200", "GPU-a");
    let (lab, host, _coordinator, _agent) = lab_with(&gpu);
    let running = sweep(&lab);
    eventually("the first block", || {
        (!column(&lab, "batch_size").is_empty()).then_some(())
    });
    host.nvml
        .write(&format!("hang = \"nvmlDeviceGetPowerUsage\"\n{gpu}"));
    let code =
        || lab.ask_json(&["inventory"])["hosts"][0]["gpus"][0]["ineligible"][0]["code"].clone();
    eventually("the hang to be told", || {
        (code() == "nvml_hung").then_some(())
    });
    host.nvml.write(&gpu);
    eventually("the GPU to be eligible", || code().is_null().then_some(()));
    let ended = running.finish();
    assert!([0, 3].contains(&ended.code()), "{}", ended.stderr);
}
