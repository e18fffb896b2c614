//! Libraries that answer nonsense: contained, told as problems, never a crash.

use batchstep_tests::{Host, Lab, fake_nvml::device, host::card};
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
    assert!(processes["gpus"][0]["name"].is_string());
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
