//! `make demo` where nothing can be measured: a failure of make, whatever an earlier run left behind.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use batchstep_tests::{Lab, Process, binaries, binaries::root};

#[test]
fn a_demo_that_measured_nothing_fails_and_so_does_the_check_of_its_report() {
    let lab = Lab::new();
    let worker = lab.path("worker");
    fs::write(&worker, "#!/bin/sh\necho 'no libtorch' >&2\nexit 1\n").expect("a script");
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o755)).expect("executable");
    let report = lab.path("report");
    fs::create_dir(&report).expect("a folder");
    fs::write(report.join("blocks.csv"), "batch_size,seconds\n1,0.1\n").expect("an earlier report");

    // For the side effect: `make` runs these.
    let _ = binaries();
    let demo = Process::run(
        "make demo",
        Command::new("make")
            .args(["demo", "CARGO=true"])
            .arg(format!("OUTPUT={}", report.display()))
            .arg(format!(
                "ARGS=--workload linear --devices cpu --threads 1 --batch-sizes 1-8 --budget 5s --data-dir {}",
                lab.path("data").display()
            ))
            .current_dir(root())
            .env_remove("MAKEFLAGS")
            .env("BATCHSTEP_LOCK_DIR", lab.path("locks"))
            .env("BATCHSTEP_WORKER", worker),
    );
    assert_ne!(demo.code(), 0, "{}", demo.stderr);
    assert!(demo.stderr.contains("no libtorch"), "{}", demo.stderr);

    let checked = Process::run(
        "check_report.py",
        Command::new("python3")
            .arg(root().join("scripts/check_report.py"))
            .arg(&report),
    );
    assert_eq!(checked.code(), 1, "{}", checked.stdout);
    assert!(
        checked.stderr.contains("nothing was measured"),
        "{}",
        checked.stderr
    );
}
