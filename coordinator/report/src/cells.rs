//! The wording of single values: durations, throughputs, steps, verdicts. Used by the command line's tables, the Markdown table and the page,
//! so that one number reads the same everywhere. Never rounds what goes into JSON or CSV.

use batchstep_core::steptable::{Edge, EdgeSight, Row, StepKind, Verdict};
use batchstep_inference::LEAST_DETECTABLE;
pub use batchstep_inference::period_words as period;
use batchstep_proto::domain::DeviceKind;

/// What stands where a value is absent.
pub const ABSENT: &str = "–";

/// Edges of one sight that are listed.
const EDGES_SHOWN: usize = 8;

/// From here on numbers are written with an exponent: their digits would fill lines.
const LONGEST_PLAIN: f64 = 1e15;

/// `value` with `digits` significant digits and without trailing zeros after the point: 0.0123, 4120, 26.4; with an exponent from 1e15 on.
#[must_use]
pub fn significant(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 {
            "0".to_owned()
        } else {
            ABSENT.to_owned()
        };
    }
    if value.abs() >= LONGEST_PLAIN {
        let decimals = usize::try_from(digits - 1).unwrap_or(0);
        return format!("{value:.decimals$e}");
    }
    let magnitude = value.abs().log10().floor() as i32;
    let decimals = (digits - 1 - magnitude).clamp(0, 12);
    trimmed(format!("{value:.*}", decimals as usize))
}

/// Seconds with a prefixed unit and three significant digits: "1.23 ms", "87.4 µs", "93.1 s".
#[must_use]
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return ABSENT.to_owned();
    }
    let (factor, unit) = match seconds.abs() {
        s if s == 0.0 || s >= 0.999_5 => (1.0, "s"),
        s if s >= 0.999_5e-3 => (1e3, "ms"),
        s if s >= 0.999_5e-6 => (1e6, "µs"),
        _ => (1e9, "ns"),
    };
    format!("{} {unit}", significant(seconds * factor, 3))
}

/// A long duration in the units people plan with: "45 s", "2 min 05 s", "1 h 12 min".
#[must_use]
pub fn long_duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 60.0 {
        return duration(seconds);
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

/// A rate with a prefix: "812 samples/s", "4.12k samples/s".
#[must_use]
pub fn throughput(samples_per_second: f64) -> String {
    format!("{} samples/s", prefixed(samples_per_second))
}

/// A count or rate with three significant digits and k, M, G from a thousand on: "812", "4.12k", "1.3M".
#[must_use]
pub fn prefixed(value: f64) -> String {
    let (factor, prefix) = match value.abs() {
        v if v >= LONGEST_PLAIN => (1.0, ""),
        v if v >= 0.999_5e9 => (1e-9, "G"),
        v if v >= 0.999_5e6 => (1e-6, "M"),
        v if v >= 0.999_5e3 => (1e-3, "k"),
        _ => (1.0, ""),
    };
    format!("{}{prefix}", significant(value * factor, 3))
}

/// A share in percent with two significant digits, whole numbers from 10 % on: "41 %", "0.42 %".
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if (9.95..LONGEST_PLAIN).contains(&percent.abs()) {
        format!("{percent:.0} %")
    } else {
        format!("{} %", significant(percent, 2))
    }
}

/// The smallest jump that would have been seen, in percent; never below 0.01 %, as timings without any scatter would have it.
#[must_use]
pub fn detectable(jump: f64) -> String {
    percent(jump.max(LEAST_DETECTABLE))
}

/// The shape of a step in one word.
#[must_use]
pub const fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Staircase => "staircase",
        StepKind::Remainder => "remainder",
    }
}

/// The step with shape and confidence, "16 (staircase, 0.99)"; for a confident absence its power, "none ≥ 0.4 %"; otherwise [`ABSENT`].
#[must_use]
pub fn step(row: &Row) -> String {
    match (row.verdict, row.step) {
        (Verdict::NoStep, _) => row.smallest_detectable_jump.map_or_else(
            || "none".to_owned(),
            |jump| format!("none ≥ {}", detectable(jump)),
        ),
        (_, None) => ABSENT.to_owned(),
        (_, Some(step)) => {
            let details: Vec<String> = row
                .kind
                .map(|shape| kind(shape).to_owned())
                .into_iter()
                .chain(row.confidence.map(confidence))
                .collect();
            if details.is_empty() {
                period(step)
            } else {
                format!("{} ({})", period(step), details.join(", "))
            }
        }
    }
}

/// A confidence with two decimals; never rounded up to 1.00.
#[must_use]
pub fn confidence(confidence: f64) -> String {
    let floored = (confidence * 100.0 + 1e-9).floor() / 100.0;
    format!("{floored:.2}")
}

/// A number of bytes with a binary prefix and three significant digits: "512 MiB", "1.25 GiB".
#[must_use]
pub fn bytes(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        // What three digits would write as 1024 is 1 of the next unit.
        if value < 1023.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!(
        "{} {unit}",
        significant(value, if value < 1000.0 { 3 } else { 4 })
    )
}

/// A verdict in words.
#[must_use]
pub const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Step => "step",
        Verdict::NoStep => "no step",
        Verdict::Irregular => "irregular",
        Verdict::Insufficient => "insufficient",
        Verdict::Disputed => "disputed",
        Verdict::Contended => "contended",
        Verdict::Throttled => "throttled",
    }
}

/// What one sample too many costs: "33 costs 41 % more than 32".
#[must_use]
pub fn jump(row: &Row) -> Option<String> {
    jump_at(row.jump_at, row.jump_relative)
}

/// The same from its two numbers.
#[must_use]
pub fn jump_at(at: Option<u32>, relative: Option<f64>) -> Option<String> {
    at.zip(relative).map(|(at, relative)| jump_of(at, relative))
}

fn jump_of(at: u32, relative: f64) -> String {
    let next = u64::from(at) + 1;
    if relative < 0.0 {
        format!("{next} costs {} less than {at}", percent(-relative))
    } else {
        format!("{next} costs {} more than {at}", percent(relative))
    }
}

/// What the timings show of the edges that a step predicts: "4 confirmed, 1 missed (after 48), 1 unclear (after 96)"; `None` without edges.
#[must_use]
pub fn edges(edges: &[Edge]) -> Option<String> {
    let after = |sight: EdgeSight| -> Vec<u32> {
        let of_sight = edges.iter().filter(|edge| edge.sight == sight);
        of_sight.map(|edge| edge.batch_size).collect()
    };
    let mut words = Vec::new();
    let confirmed = after(EdgeSight::Confirmed).len();
    if confirmed > 0 {
        words.push(format!("{confirmed} confirmed"));
    }
    for (sight, word) in [
        (EdgeSight::Missed, "missed"),
        (EdgeSight::Unclear, "unclear"),
    ] {
        let sizes = after(sight);
        if !sizes.is_empty() {
            let listed = batch_sizes(&sizes, EDGES_SHOWN);
            words.push(format!("{} {word} (after {listed})", sizes.len()));
        }
    }
    (!words.is_empty()).then(|| words.join(", "))
}

/// Up to `limit` batch sizes: "16, 32, 48, … 512".
#[must_use]
pub fn batch_sizes(sizes: &[u32], limit: usize) -> String {
    let limit = limit.max(2);
    match sizes {
        [] => ABSENT.to_owned(),
        _ if sizes.len() <= limit => joined(sizes),
        [.., last] => format!("{}, … {last}", joined(&sizes[..limit - 1])),
    }
}

/// The workload as its spec: "linear:in=512,out=512".
#[must_use]
pub fn workload_spec(row: &Row) -> String {
    match parameters(row) {
        Some(parameters) => format!("{}:{parameters}", row.workload),
        None => row.workload.clone(),
    }
}

/// The workload's parameters, "in=512,out=512"; `None` without any.
#[must_use]
pub fn parameters(row: &Row) -> Option<String> {
    let parameters: Vec<String> = row
        .parameters
        .iter()
        .map(|(key, value)| format!("{key}={}", plain(value)))
        .collect();
    (!parameters.is_empty()).then(|| parameters.join(","))
}

/// What else distinguishes the row: "train · f32 · 2 threads".
#[must_use]
pub fn setting(row: &Row) -> String {
    let mut parts = vec![row.mode.to_string(), row.dtype.to_string()];
    if let Some(threads) = row.threads {
        parts.push(format!(
            "{threads} {}",
            if threads == 1 { "thread" } else { "threads" }
        ));
    }
    parts.extend(
        row.mig_profile
            .as_ref()
            .map(|profile| format!("MIG {profile}")),
    );
    parts.join(" · ")
}

/// The device's name, with a mark on what is no real device: "Test GPU (simulated)".
#[must_use]
pub fn device(row: &Row) -> String {
    device_name(&row.device_model, row.device_kind)
}

/// A device's name, marked in the same way.
#[must_use]
pub fn device_name(model: &str, kind: DeviceKind) -> String {
    match kind {
        DeviceKind::Simulated => format!("{model} (simulated)"),
        DeviceKind::Cuda | DeviceKind::Cpu => model.to_owned(),
    }
}

/// The versions a row depends on: "libtorch 2.11.0 · CUDA 13.0".
#[must_use]
pub fn software(row: &Row) -> String {
    let software = &row.software;
    [
        ("driver", &software.driver),
        ("libtorch", &software.libtorch),
        ("CUDA", &software.cuda),
        ("cuDNN", &software.cudnn),
        ("batchstep", &software.batchstep),
    ]
    .into_iter()
    .filter_map(|(name, version)| version.as_ref().map(|version| format!("{name} {version}")))
    .collect::<Vec<_>>()
    .join(" · ")
}

/// The answer in one line: "Step 16: 33 costs 41 % more than 32", "No step of 0.4 % or more", "Irregular".
#[must_use]
pub fn headline(row: &Row) -> String {
    headline_of(
        row.verdict,
        row.step,
        row.jump_at.zip(row.jump_relative),
        row.smallest_detectable_jump,
    )
}

/// The same from its parts: `jump` is a good batch size and what one sample more costs there.
pub(crate) fn headline_of(
    found: Verdict,
    step: Option<f64>,
    jump: Option<(u32, f64)>,
    smallest_detectable_jump: Option<f64>,
) -> String {
    match (found, step) {
        (Verdict::Step, Some(step)) => match jump {
            Some((at, relative)) => format!("Step {}: {}", period(step), jump_of(at, relative)),
            None => format!("Step {}", period(step)),
        },
        (Verdict::NoStep, _) => smallest_detectable_jump.map_or_else(
            || "No step".to_owned(),
            |jump| format!("No step of {} or more", detectable(jump)),
        ),
        (other, _) => {
            let word = verdict(other);
            format!("{}{}", word[..1].to_uppercase(), &word[1..])
        }
    }
}

/// `text` as a sentence: a capital at the start, a full stop at the end.
#[must_use]
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut characters = text.chars();
    let Some(first) = characters.next() else {
        return String::new();
    };
    let stop = if text.ends_with(['.', '!', '?', '…']) {
        ""
    } else {
        "."
    };
    format!("{}{}{stop}", first.to_uppercase(), characters.as_str())
}

fn joined(sizes: &[u32]) -> String {
    sizes
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

pub(crate) fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn trimmed(number: String) -> String {
    if number.contains('.') {
        number
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned()
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits_and_a_fitting_unit() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (93.14, "93.1 s"),
            (1.0, "1 s"),
            (0.001_234, "1.23 ms"),
            (0.999_6e-3, "1 ms"),
            (87.44e-6, "87.4 µs"),
            (3.2e-9, "3.2 ns"),
            (f64::NAN, ABSENT),
        ] {
            assert_eq!(duration(seconds), text);
        }
        assert_eq!(long_duration(125.2), "2 min 05 s");
        assert_eq!(long_duration(4320.0), "1 h 12 min");
        assert_eq!(long_duration(45.0), "45 s");
    }

    #[test]
    fn shares_and_rates_are_short() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1023 << 20), "1023 MiB");
        assert_eq!(bytes(5 << 28), "1.25 GiB");
        assert_eq!(bytes((1 << 30) - 1), "1 GiB");
        assert_eq!(percent(0.412), "41 %");
        assert_eq!(percent(0.0995), "10 %");
        assert_eq!(percent(0.004_2), "0.42 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(
            (detectable(0.0), detectable(0.002)),
            ("0.01 %".to_owned(), "0.2 %".to_owned())
        );
        assert_eq!(percent(-0.03), "-3 %");
        assert_eq!(throughput(4120.0), "4.12k samples/s");
        assert_eq!(throughput(812.4), "812 samples/s");
        assert_eq!(prefixed(999.9), "1k");
    }

    #[test]
    fn extreme_numbers_stay_short() {
        assert_eq!(throughput(f64::MAX), "1.80e308 samples/s");
        assert_eq!(prefixed(2.5e14), "250000G");
        assert_eq!(duration(1e300), "1.00e300 s");
        assert_eq!(percent(1e20), "1.0e22 %");
    }

    #[test]
    fn periods_and_confidences_are_never_flattered() {
        assert_eq!(period(16.0), "16");
        assert_eq!(period(26.4), "26.4");
        assert_eq!(period(100.0), "100");
        assert_eq!(confidence(0.999), "0.99");
        assert_eq!(confidence(1.0), "1.00");
        assert_eq!(confidence(0.29), "0.29");
    }

    #[test]
    fn lists_of_batch_sizes_are_cut_in_the_middle() {
        assert_eq!(batch_sizes(&[], 3), ABSENT);
        assert_eq!(batch_sizes(&[16, 32, 48], 3), "16, 32, 48");
        assert_eq!(batch_sizes(&[16, 32, 48, 64], 3), "16, 32, … 64");
    }

    #[test]
    fn sentences_begin_large_and_end() {
        assert_eq!(sentence(" time grows"), "Time grows.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence(""), "");
    }
}
