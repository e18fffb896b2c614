//! The sweep that would answer: the flags of `batchstep sweep run` for a row or for a question that the table knows nothing about. Words only; starts
//! nothing.

use batchstep_proto::{
    domain::{BatchSizes, DeviceKind, Dtype, Mode},
    workload::WorkloadSpec,
};

use super::choose::Selection;
use crate::steptable::Row;

/// Flags that measure what the row is about, on its devices. `batch_sizes` asks for these; otherwise a budget or a window that the row's next action
/// names is taken over.
#[must_use]
pub fn flags_for_row(row: &Row, batch_sizes: Option<(u32, u32)>) -> Vec<String> {
    let mut flags = setting(&workload(row), row.mode, row.dtype, row.threads);
    if !row.devices.is_empty() {
        // One CPU has an id that nobody types.
        let devices = if row.device_kind == DeviceKind::Cpu && row.devices.len() == 1 {
            "cpu".to_owned()
        } else {
            row.devices.join(",")
        };
        flags.extend(["--devices".to_owned(), devices]);
        if !row.shared_by().is_empty() {
            flags.push("--share-across-model".to_owned());
        }
    }
    let advised = row.next_action.as_deref().unwrap_or_default();
    let sizes = match batch_sizes {
        Some((low, high)) => Some(format!("{low}-{high}")),
        None => value_after(advised, "--batch-sizes", |value| {
            value.parse::<BatchSizes>().is_ok()
        }),
    };
    flags.extend(option("--batch-sizes", sizes));
    flags.extend(option(
        "--budget",
        value_after(advised, "--budget", |value| {
            value.starts_with(|first: char| first.is_ascii_digit())
        }),
    ));
    flags
}

/// Flags that measure what a question asks for.
#[must_use]
pub fn flags_for_selection(selection: &Selection) -> Vec<String> {
    let workload = selection
        .workload
        .as_ref()
        .map_or_else(|| "linear".to_owned(), ToString::to_string);
    setting(
        &workload,
        selection.mode.unwrap_or(Mode::Train),
        selection.dtype.unwrap_or(Dtype::F32),
        selection.threads,
    )
}

/// The workload of a row as `--workload` takes it: without the parameters that have their default.
pub(super) fn workload(row: &Row) -> String {
    let parameters: Vec<String> = row
        .parameters
        .iter()
        .map(|(name, value)| {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}={value}")
        })
        .collect();
    let whole = if parameters.is_empty() {
        row.workload.clone()
    } else {
        format!("{}:{}", row.workload, parameters.join(","))
    };
    whole
        .parse::<WorkloadSpec>()
        .map_or(whole, |spec| spec.to_string())
}

/// What differs from the defaults of `sweep run`.
fn setting(workload: &str, mode: Mode, dtype: Dtype, threads: Option<u32>) -> Vec<String> {
    let mut flags = vec!["--workload".to_owned(), workload.to_owned()];
    flags.extend(option(
        "--mode",
        (mode != Mode::Train).then(|| mode.to_string()),
    ));
    flags.extend(option(
        "--dtype",
        (dtype != Dtype::F32).then(|| dtype.to_string()),
    ));
    flags.extend(option(
        "--threads",
        threads.map(|threads| threads.to_string()),
    ));
    flags
}

fn option(flag: &str, value: Option<String>) -> impl Iterator<Item = String> {
    value
        .map(|value| [flag.to_owned(), value])
        .into_iter()
        .flatten()
}

/// The word after `flag` in a sentence, where it is a value of that flag.
fn value_after(text: &str, flag: &str, is_value: impl Fn(&str) -> bool) -> Option<String> {
    let (_, rest) = text.split_once(flag)?;
    let word = rest
        .split_whitespace()
        .next()?
        .trim_end_matches([',', ';', '.']);
    is_value(word).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_from_a_next_action() {
        let sizes = |value: &str| value.parse::<BatchSizes>().is_ok();
        let text = "measure 33..64 densely: --batch-sizes 33-64, and repeat";
        assert_eq!(
            value_after(text, "--batch-sizes", sizes),
            Some("33-64".to_owned())
        );
        let text = "ask for --batch-sizes below 4096";
        assert_eq!(value_after(text, "--batch-sizes", sizes), None);
        assert_eq!(value_after("give --budget", "--budget", |_| true), None);
    }
}
