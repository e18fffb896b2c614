//! The worker's command line, and what happens when libtorch is not the one it needs.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    process::{Command, Output},
};

fn worker() -> Command {
    Command::new(env!("CARGO_BIN_EXE_batchstep-worker"))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_description_is_json_with_versions_and_devices() {
    let output = worker().arg("--describe").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let description: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(description["schema_version"], 1);
    assert_eq!(description["libtorch_built"], "2.11.0");
    assert_eq!(description["libtorch_loaded"], "2.11.0");
    assert!(description["libtorch_problem"].is_null());
    assert!(description["cuda_available"].is_boolean());
    assert!(description["devices"].is_array());
    assert!(description["threads"].as_u64().unwrap() >= 1);
}

#[test]
fn a_library_that_is_no_libtorch_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("libtorch_cpu.so"), "not a library").unwrap();
    let output = worker()
        .arg("--describe")
        .env("LD_LIBRARY_PATH", folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(
        stderr(&output).contains("libtorch_cpu.so"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn wrong_use_is_told() {
    let output = worker().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("usage: batchstep-worker --fd N"));
    for (fd, expected) in [
        (
            "x",
            "--fd \"x\" is not the number of an inherited descriptor",
        ),
        ("1", "--fd \"1\" is not the number"),
        ("987", "--fd 987 is not an open Unix socket"),
    ] {
        let output = worker().args(["--fd", fd]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}
