//! Retention as an operator meets it: a served coordinator, killed in the middle of taking old blocks away, whose tables never change by a byte.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use batchstep_coordinator::store::{Sqlite, Store as _};
use batchstep_proto::domain::DeviceKind;
use jiff::{SignedDuration, Timestamp};
use support::{PATIENCE, past::Past};
use tempfile::TempDir;

/// More than the default keeps.
const LONG_AGO: SignedDuration = SignedDuration::from_hours(100 * 24);

fn batchstep(home: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("batchstep"));
    command
        .current_dir(home)
        .env("HOME", home)
        .env("NO_COLOR", "1")
        .env_remove("XDG_DATA_HOME")
        .env_remove("BATCHSTEP_LOG")
        .env_remove("BATCHSTEP_DATA_DIR")
        .env_remove("BATCHSTEP_COORDINATOR");
    command
}

/// A served coordinator; killed with its handle.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    fn start(home: &Path, more: &[&str]) -> Self {
        let mut child = batchstep(home)
            .args(["serve", "--data-dir", "data", "--listen", "127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("listens"))
            .expect("it says where it listens before it ends");
        let mut words = line.split_whitespace();
        let address = words.find_map(|word| word.strip_prefix("address="));
        let address = address.expect("the line names the address").to_owned();
        // The rest of its log must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Code, stdout and stderr of a command on it.
    fn ask(&self, home: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = batchstep(home)
            .args(arguments)
            .args(["--coordinator", &format!("http://{}", self.address)])
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn told(&self, home: &Path, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.ask(home, arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        stdout
    }

    /// A number that it shows to monitoring.
    fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let mut lines = text.lines();
        let value = lines.find_map(|line| {
            line.strip_prefix(name)?
                .trim_start_matches("{}")
                .strip_prefix(' ')
        });
        value
            .unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .unwrap()
    }

    /// Waits until so many series are compacted since its start.
    fn until_compacted(&self, series: f64) {
        let begun = Instant::now();
        while self.metric("batchstep_series_compacted_total") < series {
            assert!(
                begun.elapsed() < 2 * PATIENCE,
                "{series} series are not compacted in time"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A database with sweeps that were over long ago and one that is over since now; how many old series there are, and an old and the new sweep.
fn fill(data: &Path) -> (u32, String, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = Sqlite::open(data).await.unwrap();
        let (now, mut old, mut last) = (Timestamp::now(), 0, String::new());
        for (number, kind) in
            (0..12).zip([DeviceKind::Cpu, DeviceKind::Simulated].into_iter().cycle())
        {
            let devices = [0, 1, 2].map(|device| format!("{}-{number}-{device}", kind.word()));
            let past = Past::of(kind, &devices.each_ref().map(String::as_str));
            store.commit(now - LONG_AGO, &past.records).await.unwrap();
            old += 3;
            last = past.sweep.to_string();
        }
        let young = Past::of(DeviceKind::Cpu, &["CPU-young"]);
        store.commit(now, &young.records).await.unwrap();
        store.close().await;
        (old, last, young.sweep.to_string())
    })
}

#[test]
fn a_coordinator_killed_while_it_compacts_goes_on_and_no_table_changes() {
    let home = TempDir::new().unwrap();
    let home = home.path();
    let (old, compacted, young) = fill(&home.join("data"));
    let questions: [&[&str]; 3] = [
        &["table", "--simulated", "--format", "json"],
        &["export", &compacted, "--format", "json"],
        &["export", &young, "--format", "csv"],
    ];
    let served = Served::start(home, &["--keep-blocks", "forever"]);
    let before = questions.map(|question| served.told(home, question));
    assert!(before[0].contains(r#""verdict": "step""#), "{}", before[0]);
    assert!(before[1].contains(r#""fitted""#), "{}", before[1]);
    let csv = served.told(home, &["export", &compacted, "--format", "csv"]);
    assert!(csv.lines().count() > 100, "{csv}");
    assert!(served.metric("batchstep_database_bytes") > 100_000.0);
    drop(served);

    // Killed in the middle: some series have only an answer, some all of their blocks, and one perhaps both.
    let served = Served::start(home, &[]);
    served.until_compacted(2.0);
    drop(served);
    let served = Served::start(home, &[]);
    assert_eq!(
        questions.map(|question| served.told(home, question)),
        before
    );
    let begun = Instant::now();
    let refusal = loop {
        let (code, csv, refusal) = served.ask(home, &["export", &compacted, "--format", "csv"]);
        if code != Some(0) {
            assert_eq!(csv, "");
            break refusal;
        }
        assert!(
            begun.elapsed() < 2 * PATIENCE,
            "of {old} series the last are not compacted"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    for word in [
        compacted.as_str(),
        "--keep-blocks",
        "--format json",
        "backups",
    ] {
        assert!(refusal.contains(word), "{word} is not in {refusal}");
    }
    assert_eq!(
        questions.map(|question| served.told(home, question)),
        before
    );
    assert!(served.metric("batchstep_database_free_bytes") > 0.0);

    // A report has everything but the blocks, and says why.
    served.told(home, &["export", &compacted, "--output", "report"]);
    let page = fs::read_to_string(home.join("report/report.html")).unwrap();
    assert!(page.contains("compacted since"), "{page}");
    let blocks = fs::read_to_string(home.join("report/blocks.csv")).unwrap();
    assert_eq!(blocks.lines().count(), 1, "only the header");
}
