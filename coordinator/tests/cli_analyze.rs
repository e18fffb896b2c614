//! `batchstep analyze` as people run it: answers on stdout, complaints with file, line and column on stderr.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

use std::{fs, path::PathBuf};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

fn batchstep() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("batchstep"));
    command.env_remove("BATCHSTEP_LOG").env("NO_COLOR", "1");
    command
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn file(&self, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join("t.csv");
        fs::write(&path, contents).unwrap();
        path
    }
}

/// Twelve microseconds for every 16 samples begun, five rounds of batch sizes 1 to 96, with a little noise that is the same every time.
fn staircase() -> String {
    let mut text = "batch_size,seconds\n".to_owned();
    for round in 0..5_u32 {
        for size in 1..=96_u32 {
            let noise = f64::from((size * 7 + round * 13) % 11) * 1e-5;
            let seconds = (20e-6 + 12e-6 * f64::from(size.div_ceil(16))) * (1.0 + noise);
            text.push_str(&format!("{size},{seconds:.9}\n"));
        }
    }
    text
}

#[test]
fn a_clean_staircase_gives_its_step_as_json() {
    let folder = Folder::new();
    let output = batchstep()
        .args(["analyze", "--format", "json", "--seed", "3"])
        .arg(folder.file(staircase()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["schema_version"], 1);
    assert_eq!(answer["verdict"], "step");
    assert_eq!(answer["step"], 16.0);
    assert_eq!(answer["kind"], "staircase");
    assert_eq!(answer["next_action"], Value::Null);
    let sizes: Vec<u64> =
        serde_json::from_value(answer["recommended_batch_sizes"].clone()).unwrap();
    assert!(
        sizes.contains(&32) && sizes.iter().all(|size| size % 16 == 0),
        "{sizes:?}"
    );
    for field in [
        "step_interval",
        "offset",
        "profile",
        "confidence",
        "jump_at",
        "jump_relative",
        "other_steps",
        "smallest_detectable_jump",
        "reason",
    ] {
        assert!(answer.get(field).is_some(), "{field} is missing: {answer}");
    }
}

#[test]
fn stdin_and_every_format_give_the_same_answer() {
    for (format, expected) in [
        ("table", "step 16"),
        ("csv", "\nstep,16,"),
        ("markdown", "| step | 16 |"),
    ] {
        let assert = batchstep()
            .args(["analyze", "-", "--format", format])
            .write_stdin(staircase())
            .assert()
            .success();
        let stdout = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
        assert!(stdout.contains(expected), "{format}: {stdout}");
    }
}

#[test]
fn bad_input_is_named_with_its_place() {
    let folder = Folder::new();
    let cases: &[(&[u8], &[&str])] = &[
        (b"", &["t.csv: is empty", "batch_size,seconds"]),
        (b" \n\n", &["is empty"]),
        (b"batch_size,seconds\n", &["no timings"]),
        (
            b"1,0.5,2\n2,0.6,3\n",
            &["t.csv:1", "no header", "3 columns", "--seconds-column 2"],
        ),
        (
            b"batch,seconds\n1,2\n",
            &[
                "t.csv:1",
                "no column batch_size",
                "1 \"batch\", 2 \"seconds\"",
                "--batch-size-column batch\n",
            ],
        ),
        (
            b"batch_size,time\n1,2\n",
            &["no column seconds", "--seconds-column time\n"],
        ),
        (
            b"batch_size,seconds,seconds\n1,2,3\n",
            &["two columns seconds"],
        ),
        (
            b"batch_size,seconds\n1,0,5\n",
            &["t.csv:2", "3 columns where 2", "by semicolons"],
        ),
        (
            b"batch_size;seconds\n1;1,500\n",
            &["t.csv:2", "1,500", "--decimal comma"],
        ),
        (
            b"\xff\xfeb\0a\0t\0",
            &["t.csv: is UTF-16 text", "iconv -f UTF-16"],
        ),
        (
            b"# note\n\nbatch_size\tseconds\n1\t0.5\n2\t-\n",
            &["t.csv:5", "column seconds", "\"-\""],
        ),
        (
            b"batch_size,seconds\n1,0.5\n2,fast\n",
            &["t.csv:3", "column seconds", "\"fast\""],
        ),
        (
            b"batch_size,seconds\n1,NaN\n",
            &["t.csv:2", "column seconds", "NaN"],
        ),
        (b"batch_size,seconds\n1,inf\n", &["t.csv:2", "not a time"]),
        (
            b"batch_size,seconds\n1,-0.5\n",
            &["t.csv:2", "not above zero"],
        ),
        (b"batch_size,seconds\n1,0\n", &["t.csv:2", "not above zero"]),
        (
            b"batch_size,seconds\n0,0.5\n",
            &["t.csv:2", "column batch_size", "below 1"],
        ),
        (b"batch_size,seconds\n-3,0.5\n", &["t.csv:2", "below 1"]),
        (
            b"batch_size,seconds\n1.5,0.5\n",
            &["t.csv:2", "whole number"],
        ),
        (
            b"batch_size,seconds\nnan,0.5\n",
            &["t.csv:2", "not a number"],
        ),
        (
            b"batch_size,seconds\nbig,0.5\n",
            &["t.csv:2", "column batch_size", "\"big\""],
        ),
        (
            b"batch_size,seconds\n99999999,0.5\n",
            &["t.csv:2", "largest batch size"],
        ),
        (
            b"batch_size,seconds\n1\n",
            &["t.csv:2", "column seconds", "missing"],
        ),
        (
            b"batch_size,seconds\n1,\n",
            &["t.csv:2", "column seconds", "empty"],
        ),
        (
            b"batch_size,seconds,round\n1,2,x\n",
            &["t.csv:2", "column round"],
        ),
        (b"batch_size,seconds\n1,\xff\xfe\n", &["t.csv:2", "UTF-8"]),
    ];
    for (input, said) in cases {
        let output = batchstep()
            .arg("analyze")
            .arg(folder.file(input))
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let shown = String::from_utf8_lossy(input);
        assert_eq!(output.status.code(), Some(2), "{shown}\n{stderr}");
        assert!(output.stdout.is_empty(), "{shown}");
        assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
        for word in *said {
            assert!(
                stderr.contains(word),
                "{shown}does not say {word:?}: {stderr}"
            );
        }
    }
}

/// The staircase as other programs write it: the columns called `names`, times by `unit` per second, no commas.
fn written(names: &str, separator: &str, per_second: f64, decimal: char) -> String {
    let mut text = if names.is_empty() {
        String::new()
    } else {
        format!("{names}\n")
    };
    for line in staircase().lines().skip(1) {
        let (size, seconds) = line.split_once(',').unwrap();
        let value = seconds.parse::<f64>().unwrap() * per_second;
        let value = format!("{value:.12}").replace('.', &decimal.to_string());
        text.push_str(&format!("{size}{separator}{value}\n"));
    }
    text
}

#[test]
fn files_of_other_programs_give_the_same_answer_and_say_how_they_were_read() {
    let folder = Folder::new();
    let cases: &[(String, &[&str], &str)] = &[
        (
            written("", "  ", 1.0, '.'),
            &[],
            "batch sizes from column 1, values in s from column 2, separated by space",
        ),
        (
            written("# batch_size seconds", " ", 1.0, '.'),
            &[],
            "separated by space",
        ),
        (
            written("batch_size;seconds", ";", 1.0, ','),
            &[],
            "separated by semicolon, decimal commas",
        ),
        (
            written("bs\tlatency_us", "\t", 1e6, '.'),
            &["--batch-size-column=bs", "--seconds-column=2", "--unit=us"],
            "batch sizes from column bs, values in us from column latency_us, separated by tab",
        ),
        (
            written("batch_size|ms", "|", 1e3, ','),
            &["--separator=|", "--unit=ms"],
            "values in ms from column ms, separated by |, decimal commas",
        ),
    ];
    for (text, flags, said) in cases {
        let path = folder.file(text);
        let output = |format: &str| {
            let output = batchstep()
                .args(["analyze", "--format", format])
                .args(*flags)
                .arg(&path)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let table = output("table");
        assert!(table.starts_with("step 16 "), "{table}");
        assert!(table.contains(said), "{said}: {table}");
        let answer: Value = serde_json::from_str(&output("json")).unwrap();
        assert_eq!(answer["step"], 16.0);
        assert_eq!(answer["input"]["timings"], 480);
        // 32 samples in 20 + 2 * 12 microseconds, whatever they were written in.
        let best = answer["best_throughput"]["samples_per_second"]
            .as_f64()
            .unwrap();
        assert!((1.04e6..1.05e6).contains(&best), "{best}");
    }
}

#[test]
fn rates_become_seconds() {
    let folder = Folder::new();
    let mut rates = "batch,images/s\n".to_owned();
    for line in staircase().lines().skip(1) {
        let (size, seconds) = line.split_once(',').unwrap();
        let rate = size.parse::<f64>().unwrap() / seconds.parse::<f64>().unwrap();
        rates.push_str(&format!("{size},{rate:e}\n"));
    }
    let path = folder.file(rates);
    let run = |flags: &[&str]| {
        let output = batchstep()
            .args(["analyze", "--format=json"])
            .args(flags)
            .arg(&path)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
            output.stdout,
        )
    };
    // The hint is what works.
    let (code, stderr, _) = run(&[]);
    assert_eq!(code, Some(2));
    let hint = "--batch-size-column batch --seconds-column images/s --unit samples/s";
    assert!(stderr.contains(hint), "{stderr}");
    let flags: Vec<&str> = hint.split(' ').collect();
    let (code, stderr, stdout) = run(&flags);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let answer: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(answer["step"], 16.0);
    // Without the unit nothing is taken for seconds.
    let (code, stderr, _) = run(&flags[..4]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("add --unit samples/s"), "{stderr}");
}

#[test]
fn the_plot_is_a_picture_of_the_answer() {
    let folder = Folder::new();
    let path = folder.file(staircase());
    let plot = folder.0.path().join("t.svg");
    batchstep()
        .arg("analyze")
        .arg(&path)
        .arg("--plot")
        .arg(&plot)
        .assert()
        .success();
    let svg = fs::read_to_string(&plot).unwrap();
    for part in [
        "<svg ",
        ">t.csv<",
        "Step 16: ",
        "5 edges confirmed",
        "prefers-color-scheme:dark",
    ] {
        assert!(svg.contains(part), "{part}");
    }
    // Timings are never overwritten, whatever they are called.
    let input = folder.0.path().join("in.svg");
    fs::copy(&path, &input).unwrap();
    for (plot, code, said) in [
        ("none/t.svg", 3, "No such file"),
        ("in.svg", 2, "would be lost"),
        ("t.png", 2, "ends in .svg"),
        ("-", 2, "ends in .svg"),
    ] {
        let output = batchstep()
            .current_dir(folder.0.path())
            .args(["analyze", "in.svg", "--plot", plot])
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(plot) && stderr.contains(said), "{stderr}");
    }
    assert_eq!(fs::read(&input).unwrap(), fs::read(&path).unwrap());
}

#[test]
fn a_place_that_is_no_file_is_named() {
    let folder = Folder::new();
    for (path, said) in [
        (folder.0.path().to_path_buf(), "is a directory"),
        (folder.0.path().join("none.csv"), "No such file"),
    ] {
        let output = batchstep().arg("analyze").arg(&path).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains(said) && stderr.contains(path.to_str().unwrap()),
            "{stderr}"
        );
    }
}

#[test]
fn marks_of_spreadsheets_do_no_harm() {
    let folder = Folder::new();
    let text = staircase().replace('\n', "\r\n").replace(",0", ", 0");
    batchstep()
        .arg("analyze")
        .arg(folder.file(format!("\u{feff}{text}")))
        .assert()
        .success();
}

#[test]
fn few_and_falling_timings_are_insufficient_and_say_what_to_do() {
    let folder = Folder::new();
    let falling: String = (1..=6)
        .map(|size| format!("{size},{}\n", 7 - size))
        .collect();
    let output = batchstep()
        .args(["analyze", "--format", "json"])
        .arg(folder.file(format!("batch_size,seconds\n{falling}")))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["verdict"], "insufficient");
    assert_eq!(answer["step"], Value::Null);
    assert!(answer["next_action"].is_string());
}

#[test]
fn strict_asks_for_repeats() {
    let folder = Folder::new();
    let once: String = staircase()
        .lines()
        .take(97)
        .map(|line| format!("{line}\n"))
        .collect();
    let path = folder.file(once);
    let code = |flags: &[&str]| {
        let output = batchstep()
            .arg("analyze")
            .args(flags)
            .arg(&path)
            .output()
            .unwrap();
        output.status.code()
    };
    assert_eq!(code(&[]), Some(0));
    assert_eq!(
        code(&["--strict"]),
        Some(4),
        "without repeats the confidence cannot be high"
    );
    let output = batchstep().arg("analyze").arg(&path).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("no batch size was timed twice"), "{table}");
}

#[test]
fn fewer_repeats_than_the_table_needs_withdraw_an_export_and_are_mentioned_elsewhere() {
    let rows = |rounds: usize| -> Vec<String> {
        let text = staircase();
        text.lines()
            .skip(1)
            .take(96 * rounds)
            .map(str::to_owned)
            .collect()
    };
    let analyzed = |text: String| {
        let folder = Folder::new();
        let output = batchstep()
            .args(["analyze", "--format", "json"])
            .arg(folder.file(text))
            .output()
            .unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), answer)
    };
    let export = |rounds: usize| {
        let mut text = "batch_size,seconds,series_id,role,iterations\n".to_owned();
        for (place, row) in rows(rounds).iter().enumerate() {
            text.push_str(&format!("{row},s,measure,{}\n", 100 + place % 96));
        }
        analyzed(text)
    };
    let (code, answer) = export(4);
    assert_eq!(
        (code, &answer["verdict"]),
        (Some(3), &Value::from("insufficient"))
    );
    assert_eq!(
        answer["reason"],
        "0 of 96 batch sizes have the 5 measuring rounds needed"
    );
    assert!(answer["step"].is_null() && answer["recommended_batch_sizes"] == serde_json::json!([]));
    let (code, answer) = export(5);
    assert_eq!((code, &answer["step"]), (Some(0), &Value::from(16.0)));

    let (code, answer) = analyzed(format!("batch_size,seconds\n{}\n", rows(4).join("\n")));
    assert_eq!((code, &answer["step"]), (Some(0), &Value::from(16.0)));
    let reason = answer["reason"].as_str().unwrap();
    assert!(
        reason.contains("no batch size has more than 4 timings"),
        "{reason}"
    );
}
