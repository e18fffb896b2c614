//! What the plots of nights say in words: tips, the line below the heading, and the description for readers who do not see the picture.

use super::runs::{Run, runs};
use super::timeline::Timeline;
use crate::cells;
use crate::history::{Acknowledgement, Hit, NightPoint, NightStep, SeriesHistory, Unjudged};

/// Entries of a kind that a description lists.
const LISTED: usize = 12;

/// "10.2 % above its baseline of 19.9 ms".
fn beside_baseline(night: &NightPoint) -> Option<String> {
    let (shift, baseline) = (night.shift()?, night.usable_baseline()?);
    let baseline = cells::duration(baseline);
    // One decimal: nights differ by less than whole percents.
    let tenths = (1000.0 * shift).round() as i64;
    let side = match tenths {
        0 => return Some(format!("at its baseline of {baseline}")),
        ..0 => "below",
        _ => "above",
    };
    let percents = 100.0 * shift.abs();
    Some(format!("{percents:.1} % {side} its baseline of {baseline}"))
}

/// A signed share with one decimal, "+10.2 %", or zero without either.
pub(crate) fn signed_percent(share: f64) -> String {
    let tenths = (1000.0 * share).round();
    let sign = match tenths {
        0.0 => return "0 %".to_owned(),
        ..0.0 => "−",
        _ => "+",
    };
    format!("{sign}{:.1} %", (tenths / 10.0).abs())
}

/// Everything a night gave, for the tip of its mark.
pub(super) fn night(night: &NightPoint) -> String {
    format!("{}: {}", night.when(), result(night))
}

/// What a night gave: "confirmed, slower, alarm: 21.9 ms, 10.2 % above its baseline of 19.9 ms".
pub(crate) fn result(night: &NightPoint) -> String {
    if let Some(why) = &night.unjudged {
        let measured = night.seconds.filter(|_| night.has_time());
        let measured = measured.map_or_else(String::new, |seconds| {
            format!(" ({} measured)", cells::duration(seconds))
        });
        return format!("{}{measured}", unjudged(why));
    }
    let Some(seconds) = night.judged_seconds() else {
        return "no time on record".to_owned();
    };
    let mut words: Vec<&str> = Vec::new();
    if !night.verdict.is_empty() {
        words.push(&night.verdict);
    }
    words.extend(night.hit.map(hit));
    if night.is_alarm {
        words.push("alarm");
    }
    let mut numbers = vec![cells::duration(seconds)];
    numbers.extend(beside_baseline(night));
    let numbers = numbers.join(", ");
    if words.is_empty() {
        numbers
    } else {
        format!("{}: {numbers}", words.join(", "))
    }
}

const fn hit(hit: Hit) -> &'static str {
    match hit {
        Hit::Slower => "slower",
        Hit::Faster => "faster",
    }
}

/// "missing: the host did not report".
pub(super) fn unjudged(why: &Unjudged) -> String {
    let (word, reason) = match why {
        Unjudged::Missing { reason } => ("missing", reason),
        Unjudged::Invalid { reason } => ("invalid", reason),
    };
    if reason.is_empty() {
        word.to_owned()
    } else {
        format!("{word}: {reason}")
    }
}

/// "step 16", "no step", "step not known".
pub(super) fn step(step: NightStep) -> String {
    match step {
        NightStep::Period(period) => format!("step {}", cells::period(period)),
        NightStep::None => "no step".to_owned(),
        NightStep::Unknown => "step not known".to_owned(),
    }
}

/// What changed at the start of a segment.
pub(super) fn changes(night: &NightPoint) -> String {
    if night.changes.is_empty() {
        "a new segment".to_owned()
    } else {
        night.changes.join(", ")
    }
}

/// What changed, with the night: "2026-11-12, night 12: driver 570.86 → 580.65".
pub(super) fn changed(night: &NightPoint) -> String {
    format!("{}: {}", night.when(), changes(night))
}

/// Who said what when.
pub(super) fn acknowledged(night: &NightPoint, word: &Acknowledgement) -> String {
    format!(
        "{}: acknowledged by {}: {}",
        night.when(),
        word.by,
        word.reason
    )
}

/// Where the series was measured and how long it is observed: "NVIDIA H100 in node-7 · train f32 · 30 nights from 2026-11-01 to 2026-11-30".
pub(super) fn about(history: &SeriesHistory) -> String {
    let place = match (history.model.is_empty(), history.host.is_empty()) {
        (false, false) => format!("{} in {}", history.model, history.host),
        _ => format!("{}{}", history.model, history.host),
    };
    let parts = [place, history.setting.clone(), span(&history.nights)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" · ")
}

/// "30 nights from 2026-11-01 to 2026-11-30".
pub(super) fn span(nights: &[NightPoint]) -> String {
    match nights {
        [] => "no nights".to_owned(),
        [only] => format!("1 night, {}", only.date),
        [first, .., last] => format!(
            "{} nights from {} to {}",
            nights.len(),
            first.date,
            last.date
        ),
    }
}

/// The line that answers what the last night was.
pub(super) fn headline(history: &SeriesHistory) -> String {
    history.nights.last().map_or_else(
        || "No night is on record".to_owned(),
        |last| {
            cells::sentence(&format!("last night, {}", night(last)))
                .trim_end_matches('.')
                .to_owned()
        },
    )
}

/// The picture in words.
pub(super) fn description(history: &SeriesHistory, timeline: &Timeline) -> String {
    let nights = &history.nights;
    let judged = nights
        .iter()
        .filter(|night| night.judged_seconds().is_some());
    let unjudged_nights = |wanted: fn(&Unjudged) -> bool| {
        nights
            .iter()
            .filter(|night| night.unjudged.as_ref().is_some_and(wanted))
            .count()
    };
    let hits = runs(nights, timeline, |night| {
        night.hit.filter(|_| night.judged_seconds().is_some())
    });
    let hits: Vec<String> = hits
        .iter()
        .map(|run| format!("{}: {}", run.when(), hit(run.common)))
        .collect();
    let alarms = runs(nights, timeline, |night| night.is_alarm.then_some(()));
    let alarms: Vec<String> = alarms.iter().map(Run::when).collect();
    let starts: Vec<String> = history.segment_starts().map(changed).collect();
    let acknowledged: Vec<String> = history
        .acknowledgements()
        .map(|(night, word)| acknowledged(night, word))
        .collect();
    let mut sentences = vec![
        format!(
            "{}: {} judged, {} missing, {} invalid",
            span(nights),
            judged.count(),
            unjudged_nights(|why| matches!(why, Unjudged::Missing { .. })),
            unjudged_nights(|why| matches!(why, Unjudged::Invalid { .. })),
        ),
        headline(history),
    ];
    for (name, entries) in [
        ("Hits", hits),
        ("Alarms", alarms),
        ("Changes", starts),
        ("Acknowledgements", acknowledged),
    ] {
        if !entries.is_empty() {
            sentences.push(format!("{name}: {}", listed(&entries)));
        }
    }
    sentences.push(String::new());
    sentences.join(". ").trim_end().to_owned()
}

/// The first entries, and how many more there are.
fn listed(entries: &[String]) -> String {
    let shown = entries[..entries.len().min(LISTED)].join("; ");
    match entries.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
