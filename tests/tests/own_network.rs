//! A network of the user's own, from a file on the command line to a row of the table: real serve, real agent, real worker. No host but the
//! operator's ever sees the file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use batchstep_proto::model::ModelHasher;
use batchstep_tests::{
    Lab, Process,
    binaries::{root, trace_model},
};
use serde_json::Value;

/// How the table and the folders name a file.
fn hex(path: &Path) -> String {
    let mut hasher = ModelHasher::default();
    hasher.update(&fs::read(path).expect("the file is here"));
    hasher.finish().hex()
}

/// Begins as an archive of torch.jit.save does, and holds `bytes` bytes.
fn archive(bytes: usize) -> Vec<u8> {
    let mut content = b"PK\x03\x04".to_vec();
    content.resize(bytes, 0);
    content
}

/// Asks for a workload, forward only, within seconds; what the command said and the sweep's id.
fn submit(lab: &Lab, workload: &str) -> (String, String) {
    let what = ["sweep", "run", "--detach", "--workload", workload];
    let how = ["--mode", "infer", "--devices", "cpu", "--threads", "1"];
    let much = ["--batch-sizes", "1-8", "--budget", "4s"];
    let end = lab.ask(&[&what[..], &how, &much].concat());
    assert_eq!(end.code(), 0, "{}", end.stderr);
    (end.stderr, end.stdout.trim().to_owned())
}

/// The rows of a sweep at its end.
fn rows(lab: &Lab, sweep: &str) -> Vec<Value> {
    let watched = lab.ask(&["sweep", "watch", sweep]);
    let show = lab.ask_json(&["sweep", "show", sweep]);
    assert_eq!(show["sweep"]["state"], "done", "{show}\n{}", watched.stderr);
    show["rows"].as_array().expect("rows").clone()
}

/// Measures a workload.
fn run(lab: &Lab, workload: &str) -> Vec<Value> {
    rows(lab, &submit(lab, workload).1)
}

/// The one row of such a sweep, with blocks; how many sizes a busy machine gets to in so short a time says nothing here.
fn only_row(rows: &[Value]) -> &Value {
    let [row] = rows else {
        panic!("one row expected: {rows:?}")
    };
    assert!(row["blocks"].as_u64() > Some(0), "{row}");
    row
}

fn cached(lab: &Lab, hex: &str) -> PathBuf {
    lab.path("agent").join("models").join(format!("{hex}.pt"))
}

#[test]
fn a_file_is_measured_by_its_content_on_hosts_that_do_not_see_it() {
    let lab = Lab::that_measures();
    let coordinator = lab.start_coordinator();
    let file = lab.path("net.pt");
    trace_model(&file, 1);
    let first = hex(&file);
    let content = fs::read(&file).expect("just written");

    // Nobody is there to measure yet; when the agent comes, the file has gone.
    let (said, sweep) = submit(&lab, "torchscript:path=net.pt,input=6");
    assert!(said.contains("Uploaded net.pt"), "{said}");
    fs::remove_file(&file).expect("it is ours");
    let agent = lab.start_agent("agent");
    let measured = rows(&lab, &sweep);
    let row = only_row(&measured);
    assert_eq!(
        row["parameters"]["model"],
        format!("sha256:{first}"),
        "{row}"
    );
    assert_eq!(row["parameters"]["name"], "net.pt", "{row}");
    assert_eq!(row["parameters"]["path"], Value::Null, "{row}");
    assert!(cached(&lab, &first).exists());

    // The same content under another name is the same row; damage of the cached copy is noticed and mended.
    fs::write(lab.path("their copy.pt"), &content).expect("a copy");
    fs::write(cached(&lab, &first), &content[..content.len() / 2]).expect("damage");
    only_row(&run(&lab, "torchscript:path=their copy.pt,input=6"));
    assert_eq!(
        fs::read(cached(&lab, &first)).expect("fetched again"),
        content
    );
    assert!(agent.0.stderr().contains("damaged"), "{}", agent.0.stderr());
    let table = lab.ask_json(&["table"]);
    let rows = table["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 1, "{table}");

    // Other content under the same path is another row, and the digest alone is enough to measure it again.
    trace_model(&file, 2);
    let second = hex(&file);
    assert_ne!(first, second);
    only_row(&run(&lab, "torchscript:path=net.pt,input=6"));
    fs::remove_file(&file).expect("it is ours");
    only_row(&run(
        &lab,
        &format!("torchscript:model=sha256:{second},input=6"),
    ));
    let table = lab.ask_json(&["table"]);
    let rows = table["rows"].as_array().expect("rows");
    let models: Vec<&Value> = rows.iter().map(|row| &row["parameters"]["model"]).collect();
    assert_eq!(models.len(), 2, "{table}");
    assert_ne!(models[0], models[1]);

    let listed = lab.ask_json(&["model", "list"]);
    assert_eq!(
        listed["models"].as_array().map(Vec::len),
        Some(2),
        "{listed}"
    );
    let removed = lab.ask(&["model", "remove", &second[..10]]);
    assert_eq!(removed.code(), 0, "{}", removed.stderr);
    let gone = lab.ask(&[
        "sweep",
        "run",
        "--workload",
        &format!("torchscript:model=sha256:{second},input=6"),
        "--mode",
        "infer",
    ]);
    assert_eq!(gone.code(), 2);
    assert!(gone.stderr.contains("path=FILE"), "{}", gone.stderr);
    coordinator.stop();
}

#[test]
fn a_network_is_trained_by_local_over_the_same_path() {
    let lab = Lab::that_measures();
    let file = lab.path("perceptron.pt");
    fs::copy(root().join("agent/worker/tests/data/perceptron.pt"), &file).expect("a copy");
    let end = Process::run(
        "batchstep local",
        lab.batchstep(&["local", "--devices", "cpu", "--threads", "1"])
            .args([
                "--workload",
                "torchscript:path=perceptron.pt,input=6,target=class:3",
            ])
            .args(["--batch-sizes", "1-8", "--budget", "4s", "--format", "json"])
            .args(["--data-dir", "data", "--output", "report"]),
    );
    let table = end.json();
    let row = only_row(table["rows"].as_array().expect("rows"));
    let digest = hex(&file);
    assert_eq!(
        row["parameters"]["model"],
        format!("sha256:{digest}"),
        "{row}"
    );
    for kept in [
        lab.path("data/models").join(format!("{digest}.pt")),
        lab.path("data/agent/models").join(format!("{digest}.pt")),
    ] {
        assert!(kept.exists(), "{}", kept.display());
    }
}

#[test]
fn files_that_cannot_be_handed_over_are_refused_with_the_reason() {
    let lab = Lab::new();
    fs::write(lab.path("large.pt"), archive(2000)).expect("a file");
    fs::write(lab.path("weights.bin"), vec![0; 2000]).expect("a file");
    fs::write(lab.path("empty.pt"), "").expect("a file");
    let port = lab.url();
    let listen = port.trim_start_matches("http://");
    let coordinator = Process::start(
        "batchstep serve",
        &mut lab.batchstep(&[
            "serve",
            "--data-dir",
            "data",
            "--listen",
            listen,
            "--max-model-size",
            "1KiB",
        ]),
    );
    batchstep_tests::eventually("the coordinator to answer", || {
        lab.ask(&["model", "list"]).status.success().then_some(())
    });
    for (path, said) in [
        (
            "large.pt",
            &["large.pt", "2000 bytes", "1 KiB", "--max-model-size"][..],
        ),
        (
            "weights.bin",
            &["--workload", "weights.bin", "torch.jit.save"],
        ),
        ("empty.pt", &["--workload", "empty.pt", "empty"]),
        ("none.pt", &["--workload", "none.pt", "No such file"]),
        (".", &["--workload", "not a file"]),
    ] {
        let workload = format!("torchscript:path={path},input=6");
        let end = lab.ask(&["sweep", "run", "--mode", "infer", "--workload", &workload]);
        assert_eq!(end.code(), 2, "{}", end.stderr);
        for word in said {
            assert!(
                end.stderr.contains(word),
                "{path} does not say {word:?}:\n{}",
                end.stderr
            );
        }
    }
    assert_eq!(
        lab.ask_json(&["sweep", "list"])["sweeps"],
        serde_json::json!([])
    );
    drop(coordinator);
}

#[test]
fn a_coordinator_killed_in_mid_upload_keeps_nothing_half() {
    let lab = Lab::new();
    let file = lab.path("large.pt");
    // Only its head is content; the rest of the upload takes a while.
    fs::write(&file, archive(4)).expect("a file");
    let sparse = fs::OpenOptions::new()
        .write(true)
        .open(&file)
        .expect("just written");
    sparse.set_len(600 << 20).expect("a sparse file");
    let coordinator = lab.start_coordinator();
    let url = lab.url();
    let upload = Process::start(
        "batchstep sweep run",
        lab.batchstep(&["sweep", "run", "--detach", "--mode", "infer"])
            .args(["--workload", "torchscript:path=large.pt,input=6"])
            .env("BATCHSTEP_COORDINATOR", url),
    );
    let incoming = lab.path("data/models/incoming");
    batchstep_tests::eventually("a part of the upload", || {
        let mut parts = fs::read_dir(&incoming).ok()?.flatten();
        let part = parts.next()?.metadata().ok()?;
        (part.len() > 0).then_some(())
    });
    coordinator.0.signal(nix::sys::signal::Signal::SIGKILL);
    let _ = coordinator.0.finish();
    // Nothing answers any more, or the next coordinator does: the command ends by itself.
    let end = upload.finish();
    assert_eq!(end.code(), 3, "{}", end.stderr);
    let coordinator = lab.start_coordinator();
    assert_eq!(fs::read_dir(&incoming).expect("the folder").count(), 0);
    assert_eq!(
        lab.ask_json(&["model", "list"])["models"],
        serde_json::json!([])
    );
    coordinator.stop();
}
