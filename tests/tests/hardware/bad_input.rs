//! Libraries that answer nonsense: contained, told as problems, never a crash.

use batchstep_tests::{Host, Lab, eventually, fake_nvml::device, host::card};
use serde_json::Value;

fn read(gpus: &str) -> Value {
    let lab = Lab::new();
    let read = Host::new(&lab, "node1", gpus).inventory(&lab);
    assert_eq!(read.code(), 0, "{}", read.stderr);
    read.json()
}

fn problems(gpu: &Value) -> String {
    gpu["problems"].to_string()
}

#[test]
fn text_without_end_without_sense_or_with_escapes_is_tamed() {
    let endless = read(&format!("{}name = {{ bytes = [65] }}\n", device("h200")));
    let gpu = &endless["gpus"][0];
    assert!(gpu["name"].as_str().unwrap().starts_with('A'));
    assert!(
        problems(gpu).contains("name") && problems(gpu).contains("has no end"),
        "{}",
        problems(gpu)
    );

    let garbage = read(&format!(
        "{}serial = {{ bytes = [49, 255, 254, 0] }}\n",
        device("h200")
    ));
    assert!(problems(&garbage["gpus"][0]).contains("is not UTF-8"));

    let escapes = read(&format!(
        "{}vbios_version = {{ bytes = [27, 91, 50, 74, 57, 0] }}\n",
        device("h200")
    ));
    let gpu = &escapes["gpus"][0];
    assert!(!gpu["vbios_version"].as_str().unwrap().contains('\u{1b}'));
    assert!(problems(gpu).contains("control characters"));
}

#[test]
fn absurd_numbers_are_unknown_and_told() {
    let document = read(&format!(
        "{}temperature = -273\npower.usage = 4294967295\nmemory = {{ total = 5, reserved = 0, used = 10 }}\n",
        device("h200")
    ));
    let gpu = &document["gpus"][0];
    for field in [
        "temperature_celsius",
        "power_draw_watts",
        "memory_total_bytes",
    ] {
        assert_eq!(gpu[field], Value::Null, "{field}");
        assert_eq!(gpu["absent"][field], "unknown");
        assert!(problems(gpu).contains(field), "{}", problems(gpu));
    }
    // Cold, and possible.
    let frost = read(&format!("{}temperature = -15\n", device("h200")));
    assert_eq!(frost["gpus"][0]["temperature_celsius"], -15.0);
}

#[test]
fn absurd_counts_are_cut() {
    let gpus = read(&format!("device_count = 4294967295\n{}", device("h200")));
    assert_eq!(gpus["gpus"].as_array().unwrap().len(), 1);
    assert!(
        gpus["problems"].to_string().contains("4294967295"),
        "{}",
        gpus["problems"]
    );

    let processes = read(&format!(
        "{}process_count = 4294967295\nprocesses = [{{ pid = 1, used_bytes = 1 }}]\n",
        device("h200")
    ));
    // More than there can be is as good as nothing: told, and not believed.
    let gpu = &processes["gpus"][0];
    assert_eq!(gpu["processes"], serde_json::json!([]));
    assert_eq!(gpu["absent"]["compute_processes"], "unknown");
    assert!(
        problems(gpu).contains("compute_processes"),
        "{}",
        problems(gpu)
    );
}

#[test]
fn two_gpus_with_one_uuid_are_one_and_a_problem() {
    let document = read(&format!("{}{}", card("h200", "GPU-a"), card("t4", "GPU-a")));
    assert_eq!(document["gpus"].as_array().unwrap().len(), 1);
    assert!(document["problems"].to_string().contains("GPU-a"));
}

#[test]
fn a_gpu_without_uuid_is_named_after_its_slot() {
    let document = read(&format!(
        "{}uuid = {{ error = \"not_supported\" }}\n",
        device("h200")
    ));
    let uuid = document["gpus"][0]["uuid"].as_str().unwrap().to_owned();
    assert!(uuid.starts_with("PCI-0000:64:00.0-"), "{uuid}");
}

#[test]
fn nothing_is_told_as_zero_that_cannot_be_zero() {
    let document = read(&format!(
        "cuda_version = -5\n{}memory = {{ total = 0, reserved = 0, used = 0 }}\nnum_gpu_cores = 0\ncompute_capability = [-1, -2]\n",
        device("h200")
    ));
    assert_eq!(document["host"]["cuda_driver_version"], Value::Null);
    let gpu = &document["gpus"][0];
    for field in [
        "memory_total_bytes",
        "cuda_cores",
        "sm_count",
        "compute_capability",
    ] {
        assert_eq!(gpu[field], Value::Null, "{field}");
        assert_eq!(gpu["absent"][field], "unknown", "{field}");
    }
    assert!(
        problems(gpu).contains("compute_capability"),
        "{}",
        problems(gpu)
    );
}

#[test]
fn memory_that_a_card_does_not_tell_is_not_the_hosts() {
    let document = read(&format!(
        "{}memory = {{ error = \"not_supported\" }}\n",
        device("h200")
    ));
    let gpu = &document["gpus"][0];
    assert_eq!(gpu["memory_total_bytes"], Value::Null);
    assert_ne!(gpu["memory_unified"], true);
}

#[test]
fn two_instances_with_one_uuid_are_one_and_a_problem() {
    let preset = &batchstep_fake_nvml::config::read(&device("a100_mig"))
        .unwrap()
        .devices[0];
    assert!(preset.mig.instances.len() >= 2);
    let document = read(
        &format!("{}uuid = \"GPU-m\"\n", device("a100_mig")).replace(
            "uuid = \"GPU-m\"\n",
            "uuid = \"MIG-3e1f0a52-7c46-5b8d-a001-000000000000\"\n",
        ),
    );
    // The GPU itself has the UUID of its first instance.
    assert_eq!(document["gpus"].as_array().unwrap().len(), 1);
    assert_eq!(
        document["gpus"][0]["mig_instances"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(
        document["problems"].to_string().contains("MIG instance"),
        "{}",
        document["problems"]
    );
}

#[test]
fn a_driver_version_without_end_is_refused() {
    let lab = Lab::new();
    let host = Host::new(
        &lab,
        "node1",
        &format!("driver_version = {{ bytes = [57] }}\n{}", device("h200")),
    );
    let read = host.inventory(&lab);
    assert_eq!(read.code(), 3, "{}", read.stderr);
    let message = read.json()["nvml"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("has no end"), "{message}");
}

#[test]
fn the_gpus_of_other_containers_are_not_lost_ones() {
    let lab = Lab::new();
    let host = Host::new(&lab, "node1", &card("h200", "GPU-a"));
    for (slot, uuid) in [("0000:64:00.0", "GPU-a"), ("0000:65:00.0", "GPU-other")] {
        host.write(
            &format!("proc/driver/nvidia/gpus/{slot}/information"),
            &format!("Model: NVIDIA H200\nGPU UUID: {uuid}\n"),
        );
    }
    let document = host.inventory(&lab).json();
    assert_eq!(
        document["gpus"].as_array().unwrap().len(),
        1,
        "{}",
        document["gpus"]
    );
}

#[test]
fn an_answer_that_fails_for_a_while_makes_no_other_device() {
    let lab = Lab::new();
    let gpus = format!("{}{}", card("h200", "GPU-a"), card("t4", "GPU-t"));
    let host = Host::new(&lab, "node1", &gpus);
    let _coordinator = lab.start_coordinator();
    let _agent = host.start(&lab);
    let inventory = || lab.ask_json(&["inventory"])["hosts"][0].clone();
    let uuids = || -> Vec<String> {
        let host = inventory();
        let gpus = host["gpus"].as_array().unwrap();
        gpus.iter()
            .map(|gpu| gpu["uuid"].as_str().unwrap().to_owned())
            .collect()
    };
    let noticed = |part: &str| {
        eventually(&format!("{part} to be noticed"), || {
            inventory().to_string().contains(part).then_some(())
        });
    };
    eventually("both GPUs", || (uuids().len() == 2).then_some(()));
    host.nvml.write(&format!(
        "fail = {{ nvmlDeviceGetUUID = \"unknown\" }}\n{gpus}"
    ));
    noticed("uuid: ");
    host.nvml.write(&format!(
        "fail = {{ nvmlDeviceGetHandleByIndex_v2 = \"timeout\" }}\n{gpus}"
    ));
    noticed("\"failed\"");
    host.nvml.write(&format!(
        "fail = {{ nvmlDeviceGetCount_v2 = \"unknown\" }}\n{gpus}"
    ));
    noticed("\"failed\"");
    host.nvml.write(&gpus);
    noticed("\"running\"");
    assert_eq!(uuids(), ["GPU-a", "GPU-t"]);
    let changes = lab.ask_json(&["inventory", "--changes", "--since", "1h"])["changes"].clone();
    for kind in ["lost", "vanished", "returned"] {
        assert!(
            !changes.to_string().contains(&format!("\"{kind}\"")),
            "{kind}: {changes:#}"
        );
    }
}
