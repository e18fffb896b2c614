//! What one series says: the inference on its corrected blocks, and whether the measurement allows an answer at all.
//!
//! Called once per series and software by `answer`; never compares devices.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_inference::{Inference, Options, Trace, Verdict as Inferred, infer};
use batchstep_proto::domain::VisitFailureKind;
use serde::{Deserialize, Serialize};

use super::{
    PointRow, Verdict,
    advice::{more_measuring, out_of_reach, was_cut_short},
    kept,
    row::count,
    rows::SeriesResult,
};
use crate::sweep::{
    Contribution, Corrected, LeftOut, Quality, Unsettled, contributions, correct, left_out,
    misfits, quarantine_note, quarantined, required_rounds, settled,
};

/// Share of host-bound blocks from which the reason mentions them.
const HOST_BOUND_SHARE: f64 = 0.2;
/// Smallest detectable jump from which a row without a step says how to see smaller ones.
const POOR_SIGHT: f64 = 0.05;

/// A series, judged. It may be kept for good, so a field that is added needs a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Assessment {
    pub verdict: Verdict,
    /// Its step fields are empty unless the verdict is [`Verdict::Step`].
    #[serde(with = "kept::inference")]
    pub inference: Inference,
    #[serde(with = "kept::points")]
    pub points: Vec<PointRow>,
    pub out_of_memory_at: Option<u32>,
    /// Left out because they crashed the worker.
    pub quarantined: BTreeSet<u32>,
    /// Batch sizes behind the inference.
    pub measured: BTreeSet<u32>,
    pub blocks: u32,
    pub measuring_seconds: f64,
    /// Of each device that shares the series; empty where there is one.
    pub contributions: Vec<Contribution>,
    /// The largest batch size behind the inference.
    pub largest: u32,
}

impl Assessment {
    pub(super) fn of(series: &SeriesResult<'_>) -> Self {
        let corrected = correct(series.plan, series.history);
        let observations = corrected.observations();
        let settled = settled(&observations, required_rounds(&series.plan.spec));
        let (observations, unsettled) = match settled {
            Ok(settled) => (settled, None),
            Err(unsettled) => (observations, Some(unsettled)),
        };
        let quality = corrected.quality();
        let (trace, mut inference) = match Trace::new(observations) {
            Ok(trace) => {
                let inference = infer(&trace, &Options::default());
                (Some(trace), inference)
            }
            Err(_) => (None, nothing_measured(series)),
        };
        let verdict = judge(series, unsettled, quality, &mut inference);
        if verdict != Verdict::Step {
            clear_step(&mut inference);
        }
        let crashing = quarantined(series.plan, series.history);
        add_remarks(series, &corrected, quality, &crashing, &mut inference);
        let records = &series.history.rounds;
        let peaks = peaks(series);
        Self {
            verdict,
            points: trace
                .iter()
                .flat_map(Trace::points)
                .map(|point| PointRow::of(point, peaks.get(&point.batch_size).copied()))
                .collect(),
            out_of_memory_at: records
                .iter()
                .flat_map(|record| &record.failures)
                .filter(|failure| {
                    matches!(
                        failure.kind,
                        VisitFailureKind::OutOfMemory | VisitFailureKind::MemoryLimit
                    )
                })
                .map(|failure| failure.batch_size)
                .min(),
            quarantined: crashing.into_iter().collect(),
            measured: trace
                .iter()
                .flat_map(Trace::points)
                .map(|point| point.batch_size)
                .collect(),
            blocks: count(corrected.blocks.len()),
            measuring_seconds: records
                .iter()
                .map(|record| record.measuring.as_secs_f64())
                .sum(),
            contributions: contributions(series.plan, series.history),
            largest: trace
                .iter()
                .flat_map(Trace::points)
                .last()
                .map_or(0, |point| point.batch_size),
            inference,
        }
    }
}

/// The verdict: the measurement's own where it disallows an answer, else the inference's. Writes the reason and the next action.
fn judge(
    series: &SeriesResult<'_>,
    unsettled: Option<Unsettled>,
    quality: Quality,
    inference: &mut Inference,
) -> Verdict {
    let percent = |share: f64| (share * 100.0).round();
    if quality.throttled() {
        inference.reason = format!(
            "the device slowed itself down in {} % of the blocks, for heat or power",
            percent(quality.throttled)
        );
        inference.next_action =
            Some("mend cooling or power supply of the device, then measure again".to_owned());
        return Verdict::Throttled;
    }
    if quality.contended() {
        let hint = match (inference.verdict, inference.step, inference.confidence) {
            (Inferred::Step, Some(step), Some(confidence)) => {
                format!(
                    "; for what they are worth, the timings show a step of {step} with confidence {confidence:.2}"
                )
            }
            _ => String::new(),
        };
        inference.reason = format!(
            "other processes used the device during {} % of the blocks, and {} % took more than 1.5 times the fastest of their batch size{hint}",
            percent(quality.foreign),
            percent(quality.slow)
        );
        inference.next_action =
            Some("measure again while nothing else runs on this machine".to_owned());
        return Verdict::Contended;
    }
    if let Some(unsettled) = unsettled {
        // Without any block the reason is the series' own.
        if unsettled.measured > 0 {
            inference.reason = match series.message.filter(|_| series.cancelled) {
                Some(message) => format!("{message}; {unsettled}"),
                None => unsettled.to_string(),
            };
            inference.next_action = Some(more_measuring(series));
        }
        return Verdict::Insufficient;
    }
    match inference.verdict {
        Inferred::Step => Verdict::Step,
        Inferred::NoStep => {
            if let Some(jump) = inference
                .smallest_detectable_jump
                .filter(|&jump| jump > POOR_SIGHT)
            {
                let choose = inference.next_action.take().unwrap_or_default();
                inference.next_action = Some(format!(
                    "{choose}; to see jumps below {:.1} %, measure again with a larger --budget or on a quieter machine",
                    jump * 100.0
                ));
            }
            Verdict::NoStep
        }
        Inferred::Irregular => Verdict::Irregular,
        Inferred::Insufficient => {
            if left_out_at_the_end(series).is_some() {
                inference.next_action = Some(more_measuring(series));
            }
            Verdict::Insufficient
        }
    }
}

/// The batch sizes for which a series that is over had no time left.
fn left_out_at_the_end(series: &SeriesResult<'_>) -> Option<LeftOut> {
    series
        .finished
        .then(|| left_out(series.plan, series.history))
        .flatten()
}

/// The answer where there is not a single observation.
fn nothing_measured(series: &SeriesResult<'_>) -> Inference {
    let message = series.message.filter(|message| !message.is_empty());
    let next_action = if !series.finished || series.cancelled || message.is_none() {
        more_measuring(series)
    } else {
        out_of_reach(series).unwrap_or_else(|| {
            "mend what the reason names, then measure again; `batchstep-agent doctor` on the host tells more"
                .to_owned()
        })
    };
    Inference {
        next_action: Some(next_action),
        ..Inference::insufficient(message.unwrap_or("nothing was measured").to_owned())
    }
}

/// What must not be shown without the verdict `step`.
fn clear_step(inference: &mut Inference) {
    inference.step = None;
    inference.step_interval = None;
    inference.offset = None;
    inference.kind = None;
    inference.profile = None;
    inference.jump_at = None;
    inference.jump_relative = None;
    inference.other_steps.clear();
    inference.recommended_batch_sizes.clear();
    if inference.next_action.is_none() {
        inference.next_action = Some("measure again with a larger --budget".to_owned());
    }
}

/// What a reader should know beside the verdict.
fn add_remarks(
    series: &SeriesResult<'_>,
    corrected: &Corrected<'_>,
    quality: Quality,
    crashing: &[u32],
    inference: &mut Inference,
) {
    // Where nothing was measured the reason is the series' own, which says so.
    if let Some(note) = quarantine_note(crashing).filter(|note| !inference.reason.contains(note)) {
        inference.reason.push_str("; ");
        inference.reason.push_str(&note);
    }
    // What ended before its time says nothing about its budget; whether it did takes a plan, and is asked last.
    if let Some(left_out) = left_out_at_the_end(series)
        && !series.cancelled
        && !was_cut_short(series)
    {
        inference.reason.push_str(&format!("; {left_out}"));
    }
    if quality.host_bound > HOST_BOUND_SHARE {
        inference.reason.push_str(&format!(
            "; in {:.0} % of the blocks the device waited for its host, which hides steps",
            quality.host_bound * 100.0
        ));
    }
    for misfit in misfits(corrected) {
        inference.reason.push_str(&format!(
            "; device {} does not follow the others that share the measurement, by {:.1} % at the usual batch size: measure it alone",
            misfit.device,
            misfit.distance * 100.0
        ));
    }
    for (device, hostname) in series.plan.places() {
        if let Some(departure) = series.plan.departure(device) {
            inference
                .reason
                .push_str(&format!("; {device} on {hostname} {departure}"));
        }
    }
    if !corrected.drifting_rounds.is_empty() {
        inference.reason.push_str(&format!(
            "; the reference drifted by more than 3 % in {}, which was corrected",
            rounds(corrected.drifting_rounds.len())
        ));
    }
}

/// A number of rounds in words.
fn rounds(count: usize) -> String {
    format!("{count} {}", if count == 1 { "round" } else { "rounds" })
}

/// Highest memory in use at each batch size, bytes.
fn peaks(series: &SeriesResult<'_>) -> BTreeMap<u32, u64> {
    let mut peaks = BTreeMap::new();
    for block in series
        .history
        .rounds
        .iter()
        .flat_map(|record| &record.blocks)
    {
        if let Some(bytes) = block.peak_memory_bytes {
            let peak: &mut u64 = peaks.entry(block.batch_size).or_default();
            *peak = bytes.max(*peak);
        }
    }
    peaks
}
