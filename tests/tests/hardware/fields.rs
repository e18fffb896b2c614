//! Every kind of GPU is read as it is, and what it does not tell is absent with its reason.

use batchstep_tests::{Host, Lab, eventually, fake_nvml::device, host::card};
use serde_json::{Value, json};

/// The document of a machine.
fn read(gpus: &str) -> Value {
    let lab = Lab::new();
    Host::new(&lab, "node1", gpus).inventory(&lab).json()
}

fn expect(found: &Value, wanted: &Value) {
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(&found[name], value, "{name} of {found:#}");
    }
}

#[test]
fn an_h200_has_the_values_of_a_real_one() {
    let document = read(&device("h200"));
    expect(
        &document["gpus"][0],
        &json!({
            "name": "NVIDIA H200",
            "architecture": "Hopper",
            "compute_capability": "9.0",
            "sm_count": 132,
            "memory_total_bytes": 150_754_820_096_u64,
            "memory_reserved_bytes": 643_825_664,
            "memory_unified": false,
            "sm_clock_max_mhz": 1980,
            "memory_clock_max_mhz": 3201,
            "power_limit_min_watts": 200.0,
            "power_limit_max_watts": 700.0,
            "pcie_generation_max": 5,
            "pcie_width_max": 16,
            "pci_device_id": "10de:2335",
            "pci_bus_id": "0000:64:00.0",
            "ecc_enabled": true,
            "fan_count": 0,
            "fan_speed_percent": null,
            "mig_enabled": false,
            "nvlink_count": 18,
            "nvlink_active": 18,
            "compute_mode": "default",
            "persistence_mode": true,
            "problems": [],
        }),
    );
    expect(
        &document["host"],
        &json!({
            "hostname": "node1",
            "kernel": "6.12.0-lab",
            "driver_version": "590.48.01",
            "cuda_driver_version": "13.1",
            "libtorch_version": "2.11.0",
            "libtorch_architectures": "7.5 8.0 8.6 9.0 10.0 12.0",
        }),
    );
    assert_eq!(
        document["nvml"],
        json!({"state": "running", "message": null})
    );
    assert_eq!(
        document["gpus"][0]["absent"]["fan_speed_percent"],
        "not_supported"
    );
    assert_eq!(document["gpus"][0]["nvlinks"][17]["remote_type"], "switch");
}

#[test]
fn consumer_cards_old_ones_and_chips_without_memory_are_told_apart() {
    let document = read(&["t4", "rtx_laptop", "gb10", "v100"].map(device).concat());
    let [t4, laptop, gb10, v100] = [0, 1, 2, 3].map(|index| &document["gpus"][index]);
    expect(
        t4,
        &json!({"compute_capability": "7.5", "sm_count": 40, "power_limit_watts": 70.0, "remapped_rows_corrected": null, "retired_pages_pending": false}),
    );
    expect(
        laptop,
        &json!({"serial": null, "board_part_number": null, "power_limit_watts": null, "power_limit_max_watts": null, "power_limit_enforced_watts": 80.0,
            "ecc_enabled": null, "display_active": true, "fan_count": 1}),
    );
    assert_eq!(laptop["absent"]["serial"], "not_supported");
    expect(
        gb10,
        &json!({"compute_capability": "12.1", "memory_unified": true, "memory_total_bytes": 1_073_741_824, "memory_free_bytes": 536_870_912,
            "memory_reserved_bytes": null, "pcie_width": null}),
    );
    expect(v100, &json!({"compute_capability": "7.0", "sm_count": 80}));
}

#[test]
fn a_chip_of_the_future_keeps_its_raw_numbers() {
    let document = read(&format!(
        "{}throttle_reasons = 4611686018427387908\n",
        device("future")
    ));
    expect(
        &document["gpus"][0],
        &json!({
            "architecture": "unknown (99)",
            "compute_capability": "15.0",
            "compute_mode": "unknown (9)",
            "sm_count": null,
            // 2^62 + 4: no bit is dropped.
            "clock_event_reasons": 4_611_686_018_427_387_908_u64,
        }),
    );
}

#[test]
fn mig_instances_are_found_in_the_slots_that_are_taken() {
    let document = read(&device("a100_mig"));
    let gpu = &document["gpus"][0];
    expect(gpu, &json!({"mig_enabled": true, "mig_instance_count": 3}));
    let profiles: Vec<&Value> = (0..3)
        .map(|at| &gpu["mig_instances"][at]["mig_profile"])
        .collect();
    assert_eq!(profiles, ["3g.20gb", "2g.10gb", "1g.5gb"]);
    expect(
        &gpu["mig_instances"][2],
        &json!({"sm_count": 14, "compute_capability": "8.0"}),
    );
    assert!(
        gpu["mig_instances"][0]["uuid"]
            .as_str()
            .unwrap()
            .starts_with("MIG-")
    );
}

#[test]
fn processes_are_listed_whatever_the_size_of_the_drivers_items() {
    let pids = |document: &Value| -> Vec<u64> {
        let processes = document["gpus"][0]["processes"].as_array().unwrap().clone();
        processes
            .iter()
            .map(|process| process["pid"].as_u64().unwrap())
            .collect()
    };
    let processes = "processes = [{ pid = 4711, used_bytes = 1024 }, { pid = 4712 }, { pid = 4713, type = \"graphics\", used_bytes = 5 }]\n";
    for size in [
        "",
        "process_info_v3_size = 32\n",
        "process_info_v3_size = 16\n",
    ] {
        let document = read(&format!("{size}{}{processes}", device("h200")));
        assert_eq!(pids(&document), [4711, 4712, 4713], "{size}");
        let listed = &document["gpus"][0]["processes"];
        assert_eq!(listed[0]["used_memory_bytes"], 1024);
        assert_eq!(listed[1]["used_memory_bytes"], Value::Null);
        assert_eq!(listed[2]["kind"], "graphics");
        assert_eq!(document["gpus"][0]["compute_processes"], 2);
    }
}

#[test]
fn gpus_know_how_they_reach_each_other() {
    let document = read(&format!(
        "{}{}\n[[pair]]\ndevices = [0, 1]\nlevel = 20\np2p = [0, 0, 0, 0, 0]\n",
        card("h200", "GPU-a"),
        card("h200", "GPU-b")
    ));
    assert_eq!(
        document["gpus"][0]["peers"],
        json!([{"uuid": "GPU-b", "topology": "multiple_switches", "peer_read": "ok"}])
    );
}

#[test]
fn a_driver_from_before_510_is_read_by_its_older_functions() {
    let lab = Lab::new();
    let gpus = format!(
        "driver_version = \"470.57.02\"\n{}processes = [{{ pid = 4711, used_bytes = 1024 }}]\nremapped_rows = {{ correctable = 1, uncorrectable = 2, pending = 0, failure = 0 }}\n",
        device("t4")
    );
    let mut host = Host::new(&lab, "old", &gpus);
    host.nvml = host.nvml.without_symbols(&[
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetGraphicsRunningProcesses_v3",
        "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetGspFirmwareVersion",
        "nvmlDeviceGetCurrentClocksEventReasons",
    ]);
    let document = host.inventory(&lab).json();
    let gpu = &document["gpus"][0];
    assert!(gpu["memory_total_bytes"].is_u64() && gpu["clock_event_reasons"].is_u64());
    assert_eq!(gpu["absent"]["memory_reserved_bytes"], "symbol_missing");
    assert_eq!(gpu["absent"]["gsp_firmware_version"], "symbol_missing");
    assert_eq!(gpu["processes"][0]["pid"], 4711);
    expect(
        gpu,
        &json!({"remapped_rows_corrected": 1, "remapped_rows_uncorrected": 2}),
    );
}

#[test]
fn every_reason_has_its_word() {
    let lab = Lab::new();
    let gpus = format!(
        "{}serial = {{ error = \"no_permission\" }}\nvbios_version = {{ error = \"unknown\" }}\n{}lost = true\n",
        card("h200", "GPU-a"),
        card("t4", "GPU-b")
    );
    let mut host = Host::new(&lab, "node1", &gpus);
    host.nvml = host
        .nvml
        .without_symbols(&["nvmlDeviceGetGspFirmwareVersion"]);
    let document = host.inventory(&lab).json();
    let gpu = &document["gpus"][0];
    for (field, reason) in [
        ("fan_speed_percent", "not_supported"),
        ("serial", "no_permission"),
        ("gsp_firmware_version", "symbol_missing"),
        ("vbios_version", "unknown"),
    ] {
        assert_eq!(gpu["absent"][field], reason, "{field}");
    }
    let problems = gpu["problems"].to_string();
    assert!(problems.contains("vbios_version"), "{problems}");
    // One that was lost before anybody saw it has no name.
    assert_eq!(document["gpus"].as_array().unwrap().len(), 1);
    assert!(
        document["problems"].to_string().contains("GPU 1"),
        "{}",
        document["problems"]
    );
}

#[test]
fn what_is_nearest_is_read_from_the_kernel_or_else_from_nvml() {
    let lab = Lab::new();
    let gpus = format!(
        "{}cpu_affinity = [65535, 1]\nmemory_affinity = [2]\n",
        card("h200", "GPU-a")
    );
    let host = Host::new(&lab, "node1", &gpus);
    let by_nvml = host.inventory(&lab).json();
    expect(
        &by_nvml["gpus"][0],
        &json!({"numa_node": 1, "cpu_affinity": "0-15,64"}),
    );
    host.write("sys/bus/pci/devices/0000:64:00.0/numa_node", "3\n");
    host.write("sys/bus/pci/devices/0000:64:00.0/local_cpulist", "48-63\n");
    let by_kernel = host.inventory(&lab).json();
    expect(
        &by_kernel["gpus"][0],
        &json!({"numa_node": 3, "cpu_affinity": "48-63"}),
    );
}

#[test]
fn instances_are_looked_at_as_often_as_their_gpu() {
    let lab = Lab::new();
    let gpus = card("a100_mig", "GPU-m");
    let host = Host::new(&lab, "node1", &gpus);
    let _coordinator = lab.start_coordinator();
    // Everything is read once only.
    let _agent = host.start_with(
        &lab,
        &host.root().join("../worker"),
        &["--inventory-interval", "1h"],
    );
    let pids = || {
        lab.ask_json(&["inventory"])["hosts"][0]["gpus"][0]["mig_instances"][0]["processes"][0]["pid"].clone()
    };
    assert!(pids().is_null());
    host.nvml.write(&format!(
        "{gpus}processes = [{{ pid = 4711, used_bytes = 1, mig = 0 }}]\n"
    ));
    eventually("the process on the instance", || {
        (pids() == 4711).then_some(())
    });
}

#[test]
fn the_page_for_people_names_what_is_there_and_what_is_not() {
    let lab = Lab::new();
    let host = Host::new(&lab, "node1", &device("rtx_laptop"));
    let page = batchstep_tests::Process::run("inventory", &mut host.agent(&lab, &["inventory"]));
    assert_eq!(page.code(), 0);
    for part in [
        "node1",
        "driver        590.48.01",
        "GeForce RTX 4070 Laptop",
        "serial (not_supported)",
        "enforced 80 W",
    ] {
        assert!(page.stdout.contains(part), "{part}:\n{}", page.stdout);
    }
}
