//! From the devices of one key to their row: what each agreeing device supports by itself, the curve of one of them, and everybody's own answer.
//!
//! Called by `rows`. Times of different devices are compared and never averaged; devices without an answer are listed and change no number
//! (`docs/decisions/2026-11-24-devices-of-a-row.md`).

use std::collections::{BTreeMap, BTreeSet};

use batchstep_inference::Inference;

use super::{
    agreement::{Agreement, Camp, independent},
    assess::Assessment,
    device_answer::{DeviceAnswer, Sharer},
    key::Key,
    row::{DetailedRow, Row, count},
    spread::{relative_time, representative, spread},
    verdict::Verdict,
    voice::Voice,
};
use crate::sweep::SeriesPlan;

/// What to do about devices that differ.
const DISPUTE: &str = "compare the devices: same clocks, power limit, cooling and link? then measure those that differ again";

/// The row of `voices`, one for each device and ordered by its id; points and curves only when `detailed`. `None` without voices.
pub(super) fn combine(key: Key, voices: &[Voice<'_>], detailed: bool) -> Option<DetailedRow> {
    let agreement = Agreement::among(voices);
    let agreeing = agreement.agreeing();
    // Where no device has an answer, the one with most blocks says why, for itself alone.
    let alone;
    let speakers = if agreeing.is_empty() {
        alone = [voices.iter().rev().max_by_key(|voice| voice.weight().1)?];
        &alone
    } else {
        agreeing
    };
    let shown = representative(speakers)?;
    // The devices whose blocks stand behind the row: those that agree or, in a dispute, all that have an answer.
    let behind: Vec<&Assessment> = if agreement.disputed {
        agreement.camps.iter().flatten().copied().collect()
    } else {
        speakers.to_vec()
    }
    .into_iter()
    .map(|voice| voice.assessment)
    .collect();
    let claim = (!agreement.disputed).then(|| {
        Claim::of(
            speakers
                .iter()
                .map(|voice| &voice.assessment.inference)
                .collect(),
        )
    });
    let law = (!agreement.disputed).then_some(&shown.assessment.inference);
    let claim = claim.unwrap_or_default();
    let verdict = if agreement.disputed {
        Verdict::Disputed
    } else {
        shown.assessment.verdict
    };
    let measured: BTreeSet<u32> = behind
        .iter()
        .flat_map(|assessment| &assessment.measured)
        .copied()
        .collect();
    let row = Row {
        device_model: key.device_model,
        device_kind: key.device_kind,
        compute_units: key.compute_units,
        mig_profile: key.mig_profile,
        threads: key.threads,
        workload: shown.plan.workload.name().to_owned(),
        parameters: parameters(shown.plan),
        mode: key.mode,
        dtype: key.dtype,
        verdict,
        step: law.and_then(|law| law.step),
        step_interval: claim.step_interval,
        offset: law.and_then(|law| law.offset),
        kind: law.and_then(|law| law.kind),
        profile: law.and_then(|law| law.profile.clone()),
        confidence: claim.confidence,
        jump_at: law.and_then(|law| law.jump_at),
        jump_relative: law.and_then(|law| law.jump_relative),
        other_steps: law.map_or_else(Vec::new, |law| law.other_steps.clone()),
        smallest_detectable_jump: claim.smallest_detectable_jump,
        reason: reason(shown, voices, &agreement),
        next_action: match law {
            None => Some(DISPUTE.to_owned()),
            Some(law) => law.next_action.clone(),
        },
        recommended_batch_sizes: law
            .map_or_else(Vec::new, |law| law.recommended_batch_sizes.clone()),
        best_throughput: law.and_then(|law| law.best_throughput),
        knee_batch_size: law.and_then(|law| law.knee_batch_size),
        out_of_memory_at: behind
            .iter()
            .filter_map(|assessment| assessment.out_of_memory_at)
            .min(),
        quarantined_batch_sizes: behind
            .iter()
            .flat_map(|assessment| &assessment.quarantined)
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        batch_sizes_measured: count(measured.len()),
        blocks: behind
            .iter()
            .map(|assessment| assessment.blocks)
            .fold(0, u32::saturating_add),
        measuring_seconds: behind
            .iter()
            .map(|assessment| assessment.measuring_seconds)
            .sum(),
        devices: voices
            .iter()
            .flat_map(Voice::devices)
            .map(ToOwned::to_owned)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        agreeing_devices: count(independent(agreeing)),
        representative_device: shown.level().to_owned(),
        spread: spread(voices.iter().filter(|voice| voice.answers())),
        device_answers: voices
            .iter()
            .map(|voice| answer(voice, shown, agreeing))
            .collect(),
        software: key.software,
    };
    let mut detailed_row = DetailedRow {
        row,
        points: Vec::new(),
        fitted: Vec::new(),
        edges: Vec::new(),
    };
    if detailed {
        detailed_row.points.clone_from(&shown.assessment.points);
        detailed_row
            .fitted
            .clone_from(&shown.assessment.inference.fitted);
        if verdict == Verdict::Step {
            detailed_row
                .edges
                .clone_from(&shown.assessment.inference.edges);
        }
    }
    Some(detailed_row)
}

/// What each of some agreeing devices supports by itself: more devices never make a claim stronger than that.
#[derive(Debug, Default)]
struct Claim {
    /// From the lowest to the highest end: the devices may differ within it.
    step_interval: Option<[f64; 2]>,
    /// The smallest.
    confidence: Option<f64>,
    /// The largest.
    smallest_detectable_jump: Option<f64>,
}

impl Claim {
    fn of(answers: Vec<&Inference>) -> Self {
        let all = |number: fn(&Inference) -> Option<f64>| {
            answers.iter().filter_map(move |answer| number(answer))
        };
        Self {
            step_interval: answers
                .iter()
                .filter_map(|answer| answer.step_interval)
                .reduce(|one, other| [one[0].min(other[0]), one[1].max(other[1])]),
            confidence: all(|answer| answer.confidence).reduce(f64::min),
            smallest_detectable_jump: all(|answer| answer.smallest_detectable_jump)
                .reduce(f64::max),
        }
    }
}

fn answer(voice: &Voice<'_>, shown: &Voice<'_>, agreeing: &[&Voice<'_>]) -> DeviceAnswer {
    let assessment = voice.assessment;
    let inference = &assessment.inference;
    DeviceAnswer {
        device: voice.device().to_owned(),
        hostname: voice.plan.hostname.clone(),
        agrees: agreeing.iter().any(|other| std::ptr::eq(*other, voice)),
        verdict: assessment.verdict,
        step: inference.step,
        step_interval: inference.step_interval,
        offset: inference.offset,
        confidence: inference.confidence,
        jump_at: inference.jump_at,
        jump_relative: inference.jump_relative,
        smallest_detectable_jump: inference.smallest_detectable_jump,
        best_throughput: inference.best_throughput,
        relative_time: voice
            .answers()
            .then(|| relative_time(&assessment.points, &shown.assessment.points))
            .flatten(),
        batch_sizes_measured: count(assessment.measured.len()),
        blocks: assessment.blocks,
        measuring_seconds: assessment.measuring_seconds,
        reason: inference.reason.clone(),
        shared_by: assessment
            .contributions
            .iter()
            .map(|contribution| Sharer {
                device: contribution.device.clone(),
                hostname: contribution.hostname.clone(),
                relative_time: contribution.relative_time,
                blocks: count(contribution.blocks),
                measuring_seconds: contribution.measuring.as_secs_f64(),
            })
            .collect(),
    }
}

/// Why this verdict: the shown device's reason, and how many of several devices it stands for.
fn reason(shown: &Voice<'_>, voices: &[Voice<'_>], agreement: &Agreement<'_, '_>) -> String {
    if agreement.disputed {
        let says: Vec<String> = agreement.camps.iter().map(says).collect();
        return says.join(", ");
    }
    let mut reason = shown.assessment.inference.reason.clone();
    let sharing = shown.assessment.contributions.len();
    if sharing > 1 {
        reason.push_str(&format!("; {sharing} devices shared the measurement"));
    }
    let agreeing = agreement.agreeing();
    let (some, silent) = (independent(agreeing), voices.len() - agreeing.len());
    let all = some + silent;
    if all > 1 {
        let others = others(voices, agreeing).join(", ");
        reason.push_str(&match some {
            0 => format!("; none of the {all} devices has an answer: {others}"),
            _ if silent == 0 => format!("; all {all} devices say so"),
            _ => format!("; {some} of {all} devices say so, the others: {others}"),
        });
    }
    reason
}

/// The devices that do not say what the row says, counted by what they say instead. Where nobody has an answer, all of them.
fn others(voices: &[Voice<'_>], agreeing: &[&Voice<'_>]) -> Vec<String> {
    let mut counts: BTreeMap<Verdict, u32> = BTreeMap::new();
    for voice in voices {
        if !agreeing.iter().any(|other| std::ptr::eq(*other, voice)) {
            *counts.entry(voice.assessment.verdict).or_default() += 1;
        }
    }
    let word = |verdict| match verdict {
        Verdict::Step => "with another step",
        Verdict::NoStep => "without a step",
        Verdict::Irregular => "irregular",
        Verdict::Insufficient => "insufficient",
        Verdict::Disputed => "disputed",
        Verdict::Contended => "contended",
        Verdict::Throttled => "throttled",
    };
    counts
        .into_iter()
        .map(|(verdict, count)| format!("{count} {}", word(verdict)))
        .collect()
}

fn says(camp: &Camp<'_, '_>) -> String {
    let devices: Vec<&str> = camp.iter().map(|voice| voice.device()).collect();
    let has = if devices.len() == 1 { "has" } else { "have" };
    let inference = camp.first().map(|voice| &voice.assessment.inference);
    let what = match camp.first().map(|voice| voice.assessment.verdict) {
        Some(Verdict::Step) => format!(
            "a step of {}",
            inference.and_then(|law| law.step).unwrap_or(f64::NAN)
        ),
        Some(Verdict::Irregular) => "jumps without a period".to_owned(),
        _ => "none".to_owned(),
    };
    format!("{} {has} {what}", devices.join(" and "))
}

fn parameters(plan: &SeriesPlan) -> BTreeMap<String, serde_json::Value> {
    use batchstep_proto::workload::ParameterValue;
    plan.workload
        .parameter_map()
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                ParameterValue::Number(number) => number.into(),
                ParameterValue::Text(text) => text.into(),
            };
            (name, value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_never_stronger_than_the_weakest_of_those_who_make_it() {
        let answer = |confidence, interval, detectable| Inference {
            confidence,
            step_interval: interval,
            smallest_detectable_jump: detectable,
            ..Inference::insufficient(String::new())
        };
        let (sure, unsure, silent) = (
            answer(Some(0.99), Some([15.9, 16.0]), Some(0.01)),
            answer(Some(0.83), Some([16.0, 16.2]), Some(0.04)),
            answer(None, None, None),
        );
        for order in [[&sure, &unsure, &silent], [&silent, &unsure, &sure]] {
            let claim = Claim::of(order.to_vec());
            assert_eq!(claim.confidence, Some(0.83));
            assert_eq!(claim.step_interval, Some([15.9, 16.2]));
            assert_eq!(claim.smallest_detectable_jump, Some(0.04));
        }
        assert_eq!(Claim::of(Vec::new()).confidence, None);
    }
}
