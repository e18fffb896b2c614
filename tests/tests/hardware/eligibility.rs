//! Which GPUs may run trials is decided before one starts, and told by the doctor.

use batchstep_tests::{Host, Lab, Process, eventually, host::card};

/// The codes of the first GPU, and the doctor's exit code and page.
fn judge(gpu: &str, driver: &str, seen_by_cuda: &[&str]) -> (Vec<String>, i32, String) {
    let lab = Lab::new();
    let host = Host::new(
        &lab,
        "node1",
        &format!("driver_version = \"{driver}\"\n{gpu}"),
    );
    // libtorch reaches no device with a driver that is too old for its CUDA.
    let is_old = driver.starts_with("570");
    host.describe_with(seen_by_cuda, is_old.then_some("no CUDA device is reached"));
    let document = host.inventory(&lab).json();
    let reasons = document["gpus"][0]["ineligible"].as_array().unwrap();
    let codes = reasons
        .iter()
        .map(|reason| reason["code"].as_str().unwrap().to_owned())
        .collect();
    let doctor = Process::run("doctor", &mut host.agent(&lab, &["doctor"]));
    (codes, doctor.code(), doctor.stdout)
}

#[test]
fn a_gpu_that_nothing_speaks_against_may() {
    let (codes, exit, page) = judge(&card("h200", "GPU-a"), "590.48.01", &["GPU-a"]);
    assert_eq!((codes.len(), exit), (0, 0), "{page}");
    assert!(
        page.contains("NVIDIA H200 GPU-a: trials may start"),
        "{page}"
    );
}

#[test]
fn every_reason_is_told_with_the_way_out() {
    for (gpu, driver, seen, code, exit, part) in [
        (
            card("v100", "GPU-a"),
            "590.1",
            vec!["GPU-a"],
            "compute_capability",
            3,
            "no code for compute capability 7.0",
        ),
        (
            card("h200", "GPU-a"),
            "570.86.10",
            vec!["GPU-a"],
            "driver_too_old",
            3,
            "install driver 580 or newer",
        ),
        (
            card("h200", "GPU-a"),
            "590.1",
            vec!["GPU-b"],
            "cuda_not_visible",
            3,
            "CUDA_VISIBLE_DEVICES",
        ),
        (
            card("h200", "GPU-a")
                + "processes = [{ pid = 4711, name = \"python3\", used_bytes = 1 }]\n",
            "590.1",
            vec!["GPU-a"],
            "foreign_process",
            0,
            "(4711) computes on it",
        ),
        (
            card("h200", "GPU-a") + "compute_mode = 2\n",
            "590.1",
            vec!["GPU-a"],
            "compute_mode",
            3,
            "nvidia-smi -c 0",
        ),
        (
            card("h200", "GPU-a") + "compute_mode = 3\nprocesses = [{ pid = 4711 }]\n",
            "590.1",
            vec!["GPU-a"],
            "exclusive_mode",
            0,
            "another one has it",
        ),
        (
            card("h200", "GPU-a")
                + "remapped_rows = { correctable = 0, uncorrectable = 1, pending = 1, failure = 0 }\n",
            "590.1",
            vec!["GPU-a"],
            "row_remap_pending",
            3,
            "nvidia-smi -r",
        ),
        (
            card("h200", "GPU-a")
                + "memory = { total = 150754820096, reserved = 0, used = 150654820096 }\n",
            "590.1",
            vec!["GPU-a"],
            "not_enough_memory",
            0,
            "GiB of its memory are free",
        ),
    ] {
        let (codes, found_exit, page) = judge(&gpu, driver, &seen);
        assert_eq!(codes.first().map(String::as_str), Some(code), "{page}");
        assert_eq!(found_exit, exit, "{code}: {page}");
        assert!(page.contains(part), "{code}: {page}");
    }
}

#[test]
fn instances_are_offered_in_place_of_their_gpu() {
    let lab = Lab::new();
    let host = Host::new(&lab, "node1", &card("a100_mig", "GPU-a"));
    host.describe(&["MIG-x"]);
    let document = host.inventory(&lab).json();
    let gpu = &document["gpus"][0];
    assert_eq!(gpu["ineligible"][0]["code"], "mig_parent");
    assert_eq!(gpu["mig_instances"][0]["ineligible"], serde_json::json!([]));
    let doctor = Process::run("doctor", &mut host.agent(&lab, &["doctor"]));
    assert_eq!(doctor.code(), 0, "{}", doctor.stdout);
}

#[test]
fn a_worker_that_cannot_run_keeps_trials_off() {
    let lab = Lab::new();
    let host = Host::new(&lab, "node1", &card("h200", "GPU-a"));
    let mut inventory = host.agent_with(
        &lab,
        std::path::Path::new("/bin/false"),
        &["inventory", "--format", "json"],
    );
    let document = Process::run("inventory", &mut inventory).json();
    assert_eq!(
        document["gpus"][0]["ineligible"][0]["code"],
        "worker_broken"
    );
}

#[test]
fn what_was_wrong_with_cuda_is_looked_at_again() {
    let lab = Lab::new();
    let host = Host::new(&lab, "node1", &card("h200", "GPU-a"));
    host.describe_with(&["GPU-a"], Some("the fabric manager does not run"));
    let _coordinator = lab.start_coordinator();
    let _agent = host.start(&lab);
    let code =
        || lab.ask_json(&["inventory"])["hosts"][0]["gpus"][0]["ineligible"][0]["code"].clone();
    eventually("the complaint", || {
        (code() == "cuda_unreachable").then_some(())
    });
    host.describe(&["GPU-a"]);
    eventually("the GPU to be eligible", || code().is_null().then_some(()));
}
