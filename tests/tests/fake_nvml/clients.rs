//! What NVIDIA's own client reads is what the file says, for every query and every preset. Client and library share nothing but the C ABI.

use std::{
    process::{Command, id},
    sync::OnceLock,
};

use batchstep_fake_nvml::config;
use batchstep_tests::{binaries::root, fake_nvml::device};
use serde_json::{Value, json};

use crate::{Fake, expected, fake};

/// Every preset, with processes, pairs, growth of nothing, and answers that the presets do not have.
fn world() -> String {
    let mut text = String::new();
    text += &device("h200");
    text += r#"
        power.usage = 421_000
        memory.used = 21_474_836_480
        throttle_reasons = 0x44
        pcie.replay_counter = 12
        remapped_rows = { correctable = 1, uncorrectable = 2, pending = 1, failure = 1 }
        ecc.errors = { volatile_corrected = 4, volatile_uncorrected = 5, aggregate_corrected = 6, aggregate_uncorrected = 7 }
        nvlinks.inactive = [3, 17]
        nvlinks.errors = [1, 2, 3, 4, 5]
        utilization = { rates = [97, 41], encoder = [1, 167000], decoder = [2, 167000] }
        processes = [
            { pid = 4711, used_bytes = 20_401_094_656, name = "/usr/bin/python3" },
            { pid = 4712, name = "trainer", type = "compute" },
            { pid = 4713, used_bytes = 1_048_576, type = "graphics" },
            { pid = 4714, used_bytes = 2_097_152, name = "server", type = "mps" },
        ]
        process_utilization = [
            { pid = 4711, timestamp = 1_700_000_000_000_000, sm = 93, memory = 40, encoder = 1, decoder = 2 },
            { pid = 4712, timestamp = 1_700_000_000_000_001, sm = 3, memory = 1 },
        ]
        numa_node = 1
    "#;
    text += &device("a100_mig");
    text += r"
        processes = [
            { pid = 4720, used_bytes = 1_000_000_000, mig = 0 },
            { pid = 4721, used_bytes = 2_000_000_000, mig = 5 },
            { pid = 4722, used_bytes = 3_000_000_000, mig = 5 },
        ]
    ";
    text += &device("t4");
    text += "retired_pages.single_bit = [[4096, 1600000000000000], [8192, 1600000000000001]]\n";
    for preset in ["rtx_laptop", "gb10", "v100", "future"] {
        text += &device(preset);
    }
    text += &device("v100");
    text += r#"
        serial = { error = "no_permission" }
        temperature = { error = "gpu_is_lost" }
        memory = { error = "timeout" }
        pci = { error = "unknown" }
        processes = { error = "no_permission" }
        memory_temperature = { error = "no_data" }
        fans = [10, 20, 30]

        [[pair]]
        devices = [0, 1]
        level = 20
        p2p = [0, 0, 2, 3, 1]

        [[pair]]
        devices = [7, 5]
        level = 10
        p2p = [0, 0, 0, 0, 0]
    "#;
    text
}

#[test]
fn nvidias_client_reads_what_the_file_says() {
    let text = world();
    let fake = fake(&text);
    let read = read(&fake, &["4711", "4712", "4713", "4714", "1"]);
    let world = config::read(&text).unwrap();
    assert_eq!(read["driver_version"], "590.48.01");
    assert_eq!(read["nvml_version"], "13.590.48.01");
    assert_eq!(read["cuda_version"], 13_010);
    assert_eq!(read["cuda_version_v2"], 13_010);
    assert_eq!(
        read["process_names"],
        json!({
            "4711": { "value": "/usr/bin/python3" },
            "4712": { "value": "trainer" },
            "4713": { "error": 6 },
            "4714": { "value": "server" },
            "1": { "value": "/usr/lib/xorg/Xorg" },
        })
    );
    let devices = read["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 8);
    for (index, read) in devices.iter().enumerate() {
        let expected = expected::device(&world, index);
        assert_same(read, &Value::Object(expected), &format!("device {index}"));
    }
    assert_eq!(
        devices[1]["instances"]
            .as_array()
            .unwrap()
            .iter()
            .map(|slot| slot["value"]["name"]["value"].as_str().unwrap_or("-"))
            .collect::<Vec<_>>(),
        [
            "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
            "-",
            "NVIDIA A100-SXM4-40GB MIG 2g.10gb",
            "-",
            "-",
            "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
            "-"
        ]
    );
}

#[test]
fn a_real_h200_is_read_as_such() {
    let fake = fake(&device("h200"));
    let read = read(&fake, &[]);
    let device = &read["devices"][0];
    for (query, value) in [
        ("name", json!("NVIDIA H200")),
        ("compute_capability", json!([9, 0])),
        ("num_gpu_cores", json!(132 * 128)),
        ("limit_constraints", json!([200_000, 700_000])),
        ("pcie_max_generation", json!(5)),
        ("pcie_max_width", json!(16)),
        ("ecc_mode", json!([1, 1])),
        ("mig_mode", json!([0, 0])),
        ("max_mig_devices", json!(0)),
        ("num_fans", json!(0)),
    ] {
        assert_eq!(device[query]["value"], value, "{query}");
    }
    assert_eq!(device["pci"]["value"]["pciDeviceId"], 0x2335_10DE);
    assert_eq!(device["memory_v2"]["value"]["total"], 150_754_820_096_u64);
    assert_eq!(device["memory_v2"]["value"]["reserved"], 643_825_664);
    assert_eq!(device["clocks_max"]["value"][1]["value"], 1980);
    assert_eq!(device["clocks_max"]["value"][2]["value"], 3201);
    assert_eq!(device["fan_speed"]["error"], 3);
    assert_eq!(device["nvlink_states"]["value"][17]["value"], 1);
    assert_eq!(device["nvlink_states"]["value"][18]["error"], 2);
    assert_eq!(device["nvlink_remote_type"]["value"], 2);
}

#[test]
fn an_old_driver_has_no_newer_functions() {
    const OLD: &str = "driver_version = \"470.82.01\"\nnvml_version = \"11.470.82.01\"\n";
    const NEWER: [&str; 4] = [
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    ];
    let text = format!(
        "{OLD}{}processes = [{{ pid = {}, used_bytes = 1073741824 }}]\n",
        device("t4"),
        id()
    );
    let answering = fake(&text);
    let mut missing = fake(&text);
    missing.nvml = missing.nvml.without_symbols(&NEWER);
    for fake in [&answering, &missing] {
        let read = read(fake, &[]);
        assert_eq!(read["driver_version"], "470.82.01");
        let device = &read["devices"][0];
        for query in ["memory_v2", "compute_v3", "graphics_v3", "mps_v3"] {
            assert_eq!(device[query], json!({ "error": 13 }), "{query}");
        }
        assert_eq!(device["memory"]["value"]["total"], 16_106_127_360_u64);
        for query in ["compute_v1", "compute_v2"] {
            assert_eq!(device[query]["value"][0]["pid"], id(), "{query}");
            let used = &device[query]["value"][0]["usedGpuMemory"];
            assert_eq!(*used, 1_073_741_824, "{query}");
        }
    }
    // With the symbols gone, gpustat falls back to the second version.
    let gpus = gpustat(&missing);
    assert_eq!(gpus[0]["memory.total"], 15_360);
    assert_eq!(gpus[0]["processes"][0]["gpu_memory_usage"], 1024);
}

#[test]
fn gpustat_shows_what_the_file_says() {
    let mine = id();
    let text = format!(
        "{}
        memory.used = 21_474_836_480
        power.usage = 421_000
        utilization = {{ rates = [97, 41], encoder = [3, 167000], decoder = [4, 167000] }}
        processes = [
            {{ pid = {mine}, used_bytes = 20_401_094_656 }},
            {{ pid = 4_000_000_000, used_bytes = 1 }},
        ]
        {}{}{}{}lost = true\n",
        device("h200"),
        device("rtx_laptop"),
        device("gb10"),
        device("a100_mig"),
        device("v100"),
    );
    let fake = fake(&text);
    let gpus = gpustat(&fake);
    assert_eq!(gpus.len(), 5);

    let h200 = &gpus[0];
    for (field, value) in [
        ("index", json!(0)),
        ("uuid", json!("GPU-7f3c52a0-91d4-4e0b-8a66-000000000000")),
        ("name", json!("NVIDIA H200")),
        ("temperature.gpu", json!(33)),
        ("fan.speed", json!(null)),
        ("utilization.gpu", json!(97)),
        ("utilization.enc", json!(3)),
        ("utilization.dec", json!(4)),
        ("power.draw", json!(421)),
        ("enforced.power.limit", json!(700)),
        ("memory.used", json!(20_480)),
        ("memory.total", json!(143_771)),
    ] {
        assert_eq!(h200[field], value, "{field}");
    }
    // gpustat leaves out a process that the host does not have.
    let processes = h200["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 1, "{processes:?}");
    assert_eq!(processes[0]["pid"], mine);
    assert_eq!(processes[0]["gpu_memory_usage"], 19_456);

    assert_eq!(gpus[1]["name"], "NVIDIA GeForce RTX 4070 Laptop GPU");
    assert_eq!(gpus[1]["fan.speed"], 35);
    assert_eq!(gpus[1]["processes"][0]["pid"], 1);
    assert_eq!(gpus[2]["name"], "NVIDIA GB10");
    assert_eq!(gpus[2]["memory.total"], json!(null));
    assert_eq!(gpus[2]["enforced.power.limit"], json!(null));
    assert_eq!(gpus[3]["utilization.gpu"], json!(null));
    let lost = gpus[4]["name"].as_str().unwrap();
    assert!(lost.contains("GPU is lost"), "{lost}");
}

fn read(fake: &Fake, pids: &[&str]) -> Value {
    let mut python = python(fake);
    python
        .arg(root().join("tests/python/read_nvml.py"))
        .args(pids);
    output(&mut python)
}

fn gpustat(fake: &Fake) -> Vec<Value> {
    let mut python = python(fake);
    python.args(["-m", "gpustat", "--json"]);
    let read = output(&mut python);
    read["gpus"].as_array().expect("a list of GPUs").clone()
}

fn python(fake: &Fake) -> Command {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let installed = Command::new(root().join("scripts/nvml_venv"))
            .status()
            .expect("the script runs");
        assert!(installed.success(), "scripts/nvml_venv fails");
    });
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", root().join(".nvml-venv"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    fake.nvml.env(&mut python);
    python
}

fn output(command: &mut Command) -> Value {
    let finished = command.output().expect("python3 runs");
    let errors = String::from_utf8_lossy(&finished.stderr);
    assert!(finished.status.success(), "{command:?}: {errors}");
    serde_json::from_slice(&finished.stdout).expect("JSON on stdout")
}

/// Names what differs, instead of printing two long objects.
fn assert_same(read: &Value, expected: &Value, at: &str) {
    match (read, expected) {
        (Value::Object(read), Value::Object(expected)) => {
            for field in read.keys().chain(expected.keys()) {
                match (read.get(field), expected.get(field)) {
                    (Some(read), Some(expected)) => {
                        assert_same(read, expected, &format!("{at}, {field}"));
                    }
                    (read, expected) => {
                        panic!("{at}, {field}: {read:?} was read, {expected:?} was expected")
                    }
                }
            }
        }
        (read, expected) => assert_eq!(read, expected, "{at}"),
    }
}
