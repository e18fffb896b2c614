//! The comparison that a real GPU is checked with finds nothing to say about the fake, and does not miss a difference.

use std::process::Command;

use batchstep_tests::{Finished, Host, Lab, Process, binaries::root, fake_nvml::device};

/// Compares the inventory of one machine with what NVIDIA's client reads on another.
fn compare(lab: &Lab, ours: &Host, theirs: &Host) -> Finished {
    let installed = Command::new(root().join("scripts/nvml_venv"))
        .status()
        .unwrap();
    assert!(installed.success(), "scripts/nvml_venv fails");
    let document = lab.path("inventory.json");
    std::fs::write(&document, ours.inventory(lab).stdout).unwrap();
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", root().join(".nvml-venv"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(root().join("tests/gpu/compare_inventory.py"))
        .arg(document);
    theirs.nvml.env(&mut python);
    Process::run("compare_inventory.py", &mut python)
}

#[test]
fn every_field_is_as_nvidias_own_client_reads_it() {
    let lab = Lab::new();
    let gpus = [
        "h200",
        "a100_mig",
        "t4",
        "rtx_laptop",
        "gb10",
        "v100",
        "future",
    ]
    .map(device)
    .concat();
    let host = Host::new(&lab, "node1", &gpus);
    let compared = compare(&lab, &host, &host);
    assert_eq!(compared.code(), 0, "{}", compared.stdout);
    // The figure of docs/results.
    println!("{}", compared.stdout);
    let values: u32 = compared.stdout.split(' ').next().unwrap().parse().unwrap();
    assert!(values >= 7 * 60, "{}", compared.stdout);
}

#[test]
fn a_difference_is_named() {
    let lab = Lab::new();
    let host = Host::new(&lab, "node1", &device("h200"));
    let other = Host::new(
        &lab,
        "node2",
        &format!(
            "{}serial = {{ error = \"not_supported\" }}\ntemperature = 90\necc.mode = [0, 1]\n",
            device("h200")
        ),
    );
    let compared = compare(&lab, &host, &other);
    assert_eq!(compared.code(), 3, "{}", compared.stdout);
    for name in ["serial", "temperature_celsius", "ecc_enabled"] {
        assert!(compared.stdout.contains(name), "{}", compared.stdout);
    }
}
