//! The report folder: complete, readable by the tools that will read it, and never half replaced.

// Helpers of tests may fail loudly as well.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use batchstep_core::steptable::{Row, Table};
use batchstep_report::{Report, blocks_csv, html, table_csv, table_markdown, write};

fn report() -> Report {
    let rows = common::gallery()
        .into_iter()
        .filter(|(name, _)| *name != "odd values")
        .map(|(_, row)| row);
    common::report(
        rows.collect(),
        vec![common::block(0, true), common::block(1, false)],
    )
}

fn rows() -> Vec<Row> {
    common::gallery()
        .into_iter()
        .map(|(_, detailed)| detailed.row)
        .collect()
}

/// Names of all files below a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(self::names(&path));
        } else {
            names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    names.sort();
    names
}

#[test]
fn everything_is_written_and_nothing_temporary_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("new/report");
    let report = report();
    let written = write(&directory, &report).unwrap();
    let first: Vec<_> = written
        .iter()
        .take(5)
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        first,
        [
            "results.json",
            "blocks.csv",
            "table.csv",
            "table.md",
            "report.html"
        ]
    );
    let mut expected: Vec<String> = written
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    expected.sort();
    assert_eq!(names(&directory), expected);
    assert!(
        written
            .iter()
            .all(|path| fs::metadata(path).unwrap().len() > 0)
    );

    let json = fs::read_to_string(directory.join("results.json")).unwrap();
    let table: Table = serde_json::from_str(&json).unwrap();
    // Numbers may be read back one unit in the last place away, so the rest of the table is compared.
    let rows = |table: &Table| -> Vec<_> {
        table
            .rows
            .iter()
            .map(|row| {
                (
                    row.row.verdict,
                    row.row.reason.clone(),
                    row.points.len(),
                    row.fitted.len(),
                )
            })
            .collect()
    };
    assert_eq!(rows(&table), rows(&report.table));
    assert!(json.contains("\"schema_version\": 1") && json.contains("\"points\""));

    // A second report replaces the first.
    let mut second = report.clone();
    second.title = "Another title".to_owned();
    write(&directory, &second).unwrap();
    assert!(
        fs::read_to_string(directory.join("report.html"))
            .unwrap()
            .contains("Another title")
    );
    assert_eq!(names(&directory), expected);
}

#[test]
fn plots_of_earlier_rows_go_and_other_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut report = report();
    let before = write(folder.path(), &report).unwrap();
    let mine = [
        "notes.txt",
        "figure-1-throughput-light.svg",
        "01-my-sketch.svg",
    ];
    for name in mine {
        fs::write(folder.path().join("plots").join(name), "mine").unwrap();
    }
    report.table.rows.truncate(1);
    let after = write(folder.path(), &report).unwrap();
    assert!(after.len() < before.len());
    let mut expected: Vec<String> = after
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .chain(mine.map(str::to_owned))
        .collect();
    expected.sort();
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("taken");
    fs::write(&file, "a file").unwrap();
    let error = write(&file.join("report"), &report()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(file.to_str().unwrap()) && message.contains("--output"),
        "{message}"
    );
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(fs::read_to_string(&file).unwrap(), "a file");
}

#[test]
fn a_file_that_cannot_be_replaced_is_named_and_no_part_is_left() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("report.html/occupied")).unwrap();
    let error = write(folder.path(), &report()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(folder.path().join("report.html").to_str().unwrap()),
        "{message}"
    );
    assert!(
        names(folder.path())
            .iter()
            .all(|name| !name.ends_with(".partial"))
    );
}

#[test]
fn blocks_come_back_from_csv_unrounded() {
    let blocks = [
        common::block(0, true),
        common::block(1, false),
        Default::default(),
    ];
    let csv = blocks_csv(&blocks).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| {
        header
            .iter()
            .position(|column| column == name)
            .unwrap_or_else(|| panic!("no column {name}"))
    };
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 2, "a record without a block is no line");
    let [full, bare] = lines.as_slice() else {
        unreachable!()
    };
    assert_eq!(
        full[column("seconds")].parse::<f64>().unwrap(),
        5_000_001e-9 / 4.0
    );
    assert_eq!(
        full[column("device_seconds")].parse::<f64>().unwrap(),
        0.001
    );
    assert_eq!(
        full[column("corrected_seconds")].parse::<f64>().unwrap(),
        0.001_25
    );
    assert_eq!(
        full[column("started_after_seconds")]
            .parse::<f64>()
            .unwrap(),
        1.5
    );
    assert_eq!(
        &full[column("device_model")],
        "a, \"quoted\" model\nwith a line"
    );
    assert_eq!(&full[column("mode")], "train");
    assert_eq!(&full[column("role")], "measure");
    assert_eq!(&full[column("flags")], "drifting host_bound");
    assert_eq!(
        &full[column("peak_memory_bytes")],
        (1_u64 << 40).to_string()
    );
    assert_eq!(
        &full[column("foreign_processes")],
        "0",
        "none seen is not unknown"
    );
    assert_eq!(
        (&bare[column("batch_size")], &bare[column("round")]),
        ("9", "3")
    );
    for name in [
        "threads",
        "corrected_seconds",
        "device_seconds",
        "power_watts",
        "foreign_processes",
        "flags",
    ] {
        assert_eq!(&bare[column(name)], "", "{name}");
    }
}

#[test]
fn columns_have_their_own_values() {
    // Column names are written apart from the values: a value in its neighbour's column must show.
    let csv = blocks_csv(&[common::block(7, true)]).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let line: std::collections::HashMap<String, String> =
        reader.deserialize().next().unwrap().unwrap();
    for (name, value) in [
        ("visit", "7"),
        ("batch_size", "15"),
        ("warm_up_iterations", "3"),
        ("warm_up_seconds", "0.25"),
        ("temperature_celsius", "61.0"),
        ("power_watts", "310.5"),
        ("sm_clock_mhz", "1755.0"),
        ("throttle_reasons", "4"),
        ("attempt_id", "attempt-1"),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
}

#[test]
fn no_blocks_and_no_rows_still_have_headers() {
    assert!(blocks_csv(&[]).unwrap().starts_with("series_id,"));
    assert_eq!(
        csv::Reader::from_reader(table_csv(&[]).unwrap().as_bytes())
            .records()
            .count(),
        0
    );
    assert!(table_csv(&[]).unwrap().starts_with("device_model,"));
    assert!(table_markdown(&[]).contains("nothing was measured"));
    assert!(html(&common::report(Vec::new(), Vec::new())).contains("nothing was measured"));
}

#[test]
fn the_table_comes_back_from_csv() {
    let rows = rows();
    let csv = table_csv(&rows).unwrap();
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let lines: Vec<std::collections::HashMap<String, String>> =
        reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(lines.len(), rows.len());
    for (line, row) in lines.iter().zip(&rows) {
        assert_eq!(line["device_model"], row.device_model);
        assert_eq!(line["step_samples"].parse().ok(), row.step);
        assert_eq!(
            line["best_samples_per_second"].parse().ok(),
            row.best_throughput.map(|best| best.samples_per_second)
        );
        assert_eq!(line["knee_batch_size"].parse().ok(), row.knee_batch_size);
        assert_eq!(line["reason"], row.reason);
        assert_eq!(line["batchstep"], "0.1.0");
        assert_eq!(
            serde_json::to_value(row.verdict).unwrap(),
            line["verdict"].as_str()
        );
    }
    assert_eq!(lines[0]["parameters"], "in=512 out=512");
    assert_eq!(lines[0]["recommended_batch_sizes"], "16 32 48 64 80 96");
}

#[test]
fn markdown_cells_cannot_break_the_table() {
    let mut row = rows().remove(0);
    row.device_model = "a | b\n<script>".to_owned();
    let markdown = table_markdown(&[row]);
    let lines: Vec<&str> = markdown.lines().collect();
    assert_eq!(lines.len(), 3);
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(
        lines.iter().all(|line| columns(line) == columns(lines[0])),
        "{markdown}"
    );
    assert!(!markdown.contains('<'));
}

#[test]
fn markdown_gives_the_reason_and_the_next_action() {
    let rows = rows();
    let markdown = table_markdown(&rows);
    assert!(markdown.contains("insufficient: the confidence in the best period"));
    assert!(markdown.contains("Next: measure again on an idle machine"));
    assert!(markdown.contains("16 (staircase, 0.99)"));
}

#[test]
fn batch_sizes_that_crashed_are_on_the_page_of_their_row_only() {
    let page = html(&report());
    assert_eq!(page.matches("Left out after crashes").count(), 1);
    assert!(page.contains("13, 37"));
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = html(&report());
    for marker in [
        "<script",
        "<link",
        "@import",
        "url(",
        "src=",
        "<iframe",
        "javascript:",
    ] {
        assert!(!page.contains(marker), "{marker}");
    }
    for reference in page.split("href=\"").skip(1) {
        assert!(
            reference.starts_with('#'),
            "{}",
            &reference[..40.min(reference.len())]
        );
    }
    for target in page
        .split("href=\"#")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
    {
        assert!(page.contains(&format!("id=\"{target}\"")), "{target}");
    }
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!outside.contains("http://") && !outside.contains("https://"));
}

#[test]
fn the_page_answers_for_every_row() {
    let report = report();
    let page = html(&report);
    assert_eq!(
        page.matches("<section class=\"row\"").count(),
        report.table.rows.len()
    );
    assert!(page.contains("Step 16: 17 costs 39 % more than 16"));
    assert!(page.contains("Measure again on an idle machine"));
    assert!(page.contains("prefers-color-scheme:dark") && page.contains("@media print"));
}

#[test]
fn rows_that_differ_only_in_parameters_or_versions_can_be_told_apart() {
    let first = rows().remove(0);
    let mut wider = first.clone();
    wider.parameters.insert("out".to_owned(), 1024.into());
    wider.software.driver = Some("580.1".to_owned());
    let markdown = table_markdown(&[first, wider]);
    assert!(markdown.contains("linear:in=512,out=512 |"), "{markdown}");
    assert!(markdown.contains("linear:in=512,out=1024 |"), "{markdown}");
    assert!(
        markdown.contains("driver unknown |") && markdown.contains("driver 580.1 |"),
        "{markdown}"
    );
    assert!(!markdown.contains("libtorch"), "{markdown}");
}
