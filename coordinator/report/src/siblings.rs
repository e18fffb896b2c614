//! The wording about the devices of one row: how many agree, how far apart they are, and what each says. Used by the command line's table, the Markdown
//! table and the page; empty for rows of one device.

use batchstep_core::steptable::{DeviceAnswer, Row, Verdict};

use crate::cells;

/// From this share on a device is called slower or faster than the one that the row shows.
const NOTABLE: f64 = 0.005;

/// "2 of 3 devices", or "2 of 3 answers" where some of them shared one, or "shared by 3 devices"; `None` for a row of one device.
#[must_use]
pub fn share(row: &Row) -> Option<String> {
    let (all, sharing) = (row.answers(), row.shared_by().len());
    if all > 1 {
        let noun = if all == row.devices.len() {
            "devices"
        } else {
            "answers"
        };
        Some(format!("{} of {all} {noun}", row.agreeing_devices))
    } else {
        (sharing > 1).then(|| format!("shared by {sharing} devices"))
    }
}

/// The verdict with the share of devices behind it: "step · 2 of 3 devices".
#[must_use]
pub fn verdict(row: &Row) -> String {
    let word = cells::verdict(row.verdict);
    match share(row) {
        Some(_) if row.verdict == Verdict::Disputed => {
            format!("{word} · {} devices", row.answers())
        }
        Some(share) if row.agreeing_devices > 0 || row.answers() == 1 => {
            format!("{word} · {share}")
        }
        _ => word.to_owned(),
    }
}

/// How far apart the devices with an answer are: "times lie 1.2 % apart, at most 3.4 % (batch size 32)"; `None` with fewer than two of them.
#[must_use]
pub fn spread(row: &Row) -> Option<String> {
    let spread = row.spread.as_ref()?;
    let mut parts = Vec::new();
    if let (Some(time), Some(largest), Some(at)) =
        (spread.time, spread.largest_time, spread.largest_time_at)
    {
        parts.push(format!(
            "times at the same batch size lie {} apart, at most {} (batch size {at})",
            cells::percent(time),
            cells::percent(largest)
        ));
    }
    if let Some(step) = spread.step.filter(|step| *step > 0.0) {
        parts.push(format!("steps lie {} apart", cells::percent(step)));
    }
    if parts.is_empty() {
        parts.push("they share no batch size".to_owned());
    }
    Some(parts.join("; "))
}

/// What one device says: "GPU-1 (host-a): step 16, confidence 0.99, 33 costs 41 % more than 32, 640 blocks, 2 % slower".
#[must_use]
pub fn answer(answer: &DeviceAnswer) -> String {
    let mut parts = vec![said(answer)];
    // Without an answer there is nothing to be confident of.
    if let Some(confidence) = answer.confidence.filter(|_| answer.verdict.is_answer()) {
        parts.push(format!("confidence {}", cells::confidence(confidence)));
    }
    parts.extend(cells::jump_at(answer.jump_at, answer.jump_relative));
    parts.extend(answer.best_throughput.as_ref().map(|best| {
        format!(
            "{} at {}",
            cells::throughput(best.samples_per_second),
            best.batch_size
        )
    }));
    parts.push(format!("{} blocks", answer.blocks));
    parts.extend(pace(answer));
    let host = if answer.hostname.is_empty() {
        String::new()
    } else {
        format!(" ({})", answer.hostname)
    };
    format!("{}{host}: {}", answer.device, parts.join(", "))
}

/// "2 % slower" than the device that the row shows; `None` where that is not known or not notable.
#[must_use]
pub fn pace(answer: &DeviceAnswer) -> Option<String> {
    pace_of(answer.relative_time?)
}

fn pace_of(relative_time: f64) -> Option<String> {
    let excess = relative_time - 1.0;
    if excess.abs() < NOTABLE {
        return None;
    }
    let word = if excess > 0.0 { "slower" } else { "faster" };
    Some(format!("{} {word}", cells::percent(excess.abs())))
}

/// Who shared a measurement: "GPU-1 (host-a): 640 blocks; GPU-2 (host-b): 610 blocks, 2 % slower"; `None` for a device's own.
#[must_use]
pub fn sharers(answer: &DeviceAnswer) -> Option<String> {
    let sharers = answer.shared_by.iter().map(|sharer| {
        let pace = sharer.relative_time.and_then(pace_of);
        let pace = pace.map_or_else(String::new, |pace| format!(", {pace}"));
        format!(
            "{} ({}): {} blocks{pace}",
            sharer.device, sharer.hostname, sharer.blocks
        )
    });
    let sharers: Vec<String> = sharers.collect();
    (!sharers.is_empty()).then(|| sharers.join("; "))
}

/// The lines below a row of several devices: the spread, then every device that a reader has to know of: all of a dispute, else those that do not agree
/// or differ in speed; and who shared a measurement.
#[must_use]
pub fn lines(row: &Row) -> Vec<String> {
    if row.devices.len() < 2 {
        return Vec::new();
    }
    let disputed = row.verdict == Verdict::Disputed;
    let told = row
        .device_answers
        .iter()
        .filter(|answer| disputed || !answer.agrees || pace(answer).is_some())
        .map(self::answer);
    let shared = row
        .device_answers
        .iter()
        .filter_map(|answer| Some(format!("shared by {}", sharers(answer)?)));
    spread(row).into_iter().chain(told).chain(shared).collect()
}

/// The answer alone: "step 16", "no step of 0.4 % or more", "contended".
#[must_use]
pub fn said(answer: &DeviceAnswer) -> String {
    match (answer.verdict, answer.step, answer.smallest_detectable_jump) {
        (Verdict::Step, Some(step), _) => format!("step {}", cells::period(step)),
        (Verdict::NoStep, _, Some(jump)) => {
            format!("no step of {} or more", cells::detectable(jump))
        }
        (verdict, ..) => cells::verdict(verdict).to_owned(),
    }
}
