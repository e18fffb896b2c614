//! Writes a report of made-up rows, to look at every kind of plot: `cargo run -p batchstep-report --example gallery -- FOLDER [PRESET]`.

use std::path::PathBuf;

use batchstep_proto::domain::DeviceKind;

#[path = "../tests/common/mod.rs"]
mod common;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| "gallery".into()));
    let limit = std::env::var("ROWS")
        .ok()
        .and_then(|rows| rows.parse().ok())
        .unwrap_or(usize::MAX);
    let rows = common::gallery()
        .into_iter()
        .take(limit)
        .map(|(_, mut detailed)| {
            detailed.row.device_kind = DeviceKind::Simulated;
            detailed
        });
    let mut report = common::report(rows.collect(), Vec::new());
    report.preset = arguments
        .next()
        .and_then(|preset| preset.into_string().ok());
    report
        .notes
        .push("Every row of this page is made up.".to_owned());
    for path in batchstep_report::write(&directory, &report)? {
        println!("{}", path.display());
    }
    Ok(())
}
