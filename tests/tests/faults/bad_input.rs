//! Bad input and broken machines: each is told with what is wrong, where, and what to do.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, process::Command};

use batchstep_tests::{Lab, Process, binaries};

/// Runs `batchstep` and checks its exit code and that its complaint holds all of `said`.
fn refused(lab: &Lab, arguments: &[&str], code: i32, said: &[&str]) {
    let end = Process::run("batchstep", &mut lab.batchstep(arguments));
    assert_eq!(end.code(), code, "{arguments:?}\n{}", end.stderr);
    for word in said {
        assert!(
            end.stderr.contains(word),
            "{arguments:?} does not say {word:?}:\n{}",
            end.stderr
        );
    }
    assert_eq!(end.stdout, "", "nothing on stdout");
}

#[test]
fn options_that_make_no_sense_are_named() {
    let lab = Lab::new();
    refused(
        &lab,
        &["local", "--workload", "cmn"],
        2,
        &["--workload", "cmn", "did you mean cnn"],
    );
    refused(
        &lab,
        &["local", "--workload", "linear:input=3"],
        2,
        &["no parameter \"input\"", "inputs, outputs"],
    );
    refused(
        &lab,
        &["local", "--batch-sizes", "64-1"],
        2,
        &["--batch-sizes", "reversed", "1-64"],
    );
    refused(
        &lab,
        &["local", "--batch-sizes", "0-8"],
        2,
        &["batch size 0"],
    );
    refused(
        &lab,
        &["local", "--batch-sizes", "1-999999999"],
        2,
        &["above the largest allowed"],
    );
    refused(
        &lab,
        &["local", "--budget", "soon"],
        2,
        &["--budget", "soon"],
    );
    refused(&lab, &["local", "--precision", "0"], 2, &["--precision"]);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let lab = Lab::new();
    fs::write(lab.path("file"), "not a folder").expect("a file");
    refused(&lab, &["local", "--data-dir", "file"], 3, &["file"]);
    refused(
        &lab,
        &[
            "serve",
            "--data-dir",
            "file/below",
            "--listen",
            "127.0.0.1:0",
        ],
        3,
        &["file/below"],
    );
    // Permissions do not stop root, so a read-only file system stands in for them where the test runs as root.
    refused(
        &lab,
        &[
            "serve",
            "--data-dir",
            "/proc/batchstep",
            "--listen",
            "127.0.0.1:0",
        ],
        3,
        &["/proc/batchstep"],
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    refused(
        &lab,
        &["serve", "--data-dir", "data", "--listen", &address],
        3,
        &[&address, "--listen"],
    );
}

#[test]
fn a_device_that_does_not_exist_is_named_with_those_that_do() {
    let lab = Lab::new();
    refused(
        &lab,
        &[
            "local",
            "--devices",
            "GPU-0000",
            "--data-dir",
            "data",
            "--budget",
            "5s",
        ],
        2,
        &["GPU-0000", "CPU-"],
    );
}

#[test]
fn a_coordinator_that_is_not_there_is_named() {
    let lab = Lab::new();
    refused(
        &lab,
        &["sweep", "list", "--coordinator", "http://127.0.0.1:9"],
        3,
        &["http://127.0.0.1:9", "batchstep serve"],
    );
}

/// A copy of the worker that looks for libtorch where there is none.
fn worker_without_libtorch(lab: &Lab) -> std::path::PathBuf {
    let mut bytes = fs::read(&binaries().worker).expect("the worker is built");
    let rpath = lib_dir();
    let nowhere: Vec<u8> = rpath
        .iter()
        .map(|byte| if *byte == b'/' { b'/' } else { b'0' })
        .collect();
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], &rpath) {
        bytes[at + found..at + found + rpath.len()].copy_from_slice(&nowhere);
        at += found + rpath.len();
    }
    let copy = lab.path("batchstep-worker");
    fs::write(&copy, bytes).expect("a copy");
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("executable");
    copy
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// The directory that the worker's loader searches, as `ldd` resolves it.
fn lib_dir() -> Vec<u8> {
    let listing = Process::run("ldd", Command::new("ldd").arg(&binaries().worker)).stdout;
    let line = listing
        .lines()
        .find(|line| line.contains("libtorch_cpu.so"))
        .expect("the worker links libtorch");
    let path = line.split_whitespace().nth(2).expect("libtorch is found");
    path.trim_end_matches("/libtorch_cpu.so")
        .as_bytes()
        .to_vec()
}

#[test]
fn missing_libtorch_is_told_by_the_doctor_and_by_a_sweep() {
    let lab = Lab::new();
    let worker = worker_without_libtorch(&lab);
    let worker = worker.to_str().expect("a plain path");
    let doctor = Process::run(
        "batchstep-agent doctor",
        &mut lab.agent_command(&["doctor", "--worker", worker]),
    );
    assert_eq!(doctor.code(), 3, "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains("libtorch") && doctor.stdout.contains("make libtorch"),
        "{}",
        doctor.stdout
    );

    let end = Process::run(
        "batchstep local",
        lab.batchstep(&[
            "local",
            "--workload",
            "linear",
            "--budget",
            "5s",
            "--data-dir",
            "data",
            "--output",
            "report",
        ])
        .env("BATCHSTEP_WORKER", worker),
    );
    assert_eq!(end.code(), 3, "{}", end.stderr);
    assert!(end.stderr.contains("libtorch"), "{}", end.stderr);
}

/// A library that makes libtorch tell another version of itself: it takes the place of `at::show_config`, which the worker asks.
const OTHER_VERSION: &str = r#"
#include <string>
namespace at { std::string show_config() { return "Build settings: TORCH_VERSION=2.10.0, "; } }
"#;

#[test]
fn libtorch_of_another_version_is_told_by_the_doctor_and_by_a_sweep() {
    let lab = Lab::that_measures();
    let (source, library) = (lab.path("other.cc"), lab.path("other.so"));
    fs::write(&source, OTHER_VERSION).expect("a source file");
    let built = Process::run(
        "c++",
        Command::new("c++")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source]),
    );
    assert_eq!(built.code(), 0, "{}", built.stderr);

    let told = "libtorch 2.10.0 was loaded, but batchstep-worker needs 2.11.0";
    let doctor = Process::run(
        "batchstep-agent doctor",
        lab.agent_command(&["doctor"]).env("LD_PRELOAD", &library),
    );
    assert_eq!(doctor.code(), 3, "{}", doctor.stdout);
    assert!(
        doctor.stdout.contains(told) && doctor.stdout.contains("make libtorch"),
        "{}",
        doctor.stdout
    );
    let end = Process::run(
        "batchstep local",
        lab.batchstep(&["local", "--workload", "linear", "--devices", "cpu"])
            .args(["--budget", "5s", "--data-dir", "data", "--output", "report"])
            .env("LD_PRELOAD", &library),
    );
    assert_eq!(end.code(), 3, "{}", end.stderr);
    assert!(end.stderr.contains(told), "{}", end.stderr);
}

#[test]
fn the_doctor_finds_a_healthy_machine_healthy() {
    let lab = Lab::new();
    let doctor = Process::run(
        "batchstep-agent doctor",
        lab.agent_command(&["doctor", "--format", "json"])
            .arg("--state-dir")
            .arg(lab.path("state")),
    );
    assert_eq!(doctor.code(), 0, "{}{}", doctor.stdout, doctor.stderr);
    let report = doctor.json();
    assert_eq!(report["schema_version"], 1, "{report}");
}
