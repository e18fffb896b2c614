//! Verdicts in words, for people: the same in tables, alarms and messages.

use batchstep_judge::{Kind, Numbers, Reason, Step, Verdict};

/// The word of a verdict, as in documents.
#[must_use]
pub fn kind(kind: Kind) -> String {
    word(&kind)
}

/// The word of a reason, as in documents.
#[must_use]
pub fn reason(reason: Reason) -> String {
    word(&reason)
}

fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The numbers that a series was judged by against its own past: those of its siblings are left out.
pub fn own_numbers(verdicts: &[Verdict]) -> impl Iterator<Item = &Numbers> {
    let is_own = |verdict: &&Verdict| {
        verdict.kind != Kind::Outlier
            && !matches!(
                verdict.reason,
                Reason::Siblings | Reason::SiblingsStep | Reason::LikeSiblings
            )
    };
    let own = verdicts.iter().filter(is_own);
    own.map(|verdict| &verdict.numbers)
}

/// A shift of logarithms as people say it: "3.1 % slower".
#[must_use]
pub fn shift(shift: f64) -> String {
    let percent = shift.exp_m1().abs() * 100.0;
    let word = if shift < 0.0 { "faster" } else { "slower" };
    format!("{percent:.1} % {word}")
}

/// A step as people say it.
#[must_use]
pub fn step(step: Step) -> String {
    match step {
        Step::Period(period) if (period - period.round()).abs() < 0.05 => {
            format!("a step of {period:.0}")
        }
        Step::Period(period) => format!("a step of {period:.2}"),
        Step::None => "no step".to_owned(),
        Step::Unknown => "no answer about the step".to_owned(),
    }
}

/// A setting, or a key that has one, as people read it: "linear, train, f32".
#[must_use]
pub fn setting(parts: &str) -> String {
    parts.replace('|', ", ")
}

/// A verdict in one sentence without its subject.
#[must_use]
pub fn sentence(verdict: &Verdict) -> String {
    let numbers = &verdict.numbers;
    let by = || {
        numbers
            .shift
            .map_or_else(|| "another time".to_owned(), shift)
    };
    let steps = || {
        numbers.steps.map_or_else(
            || "another step".to_owned(),
            |[before, after]| format!("{} instead of {}", step(after), step(before)),
        )
    };
    let mut text = match verdict.kind {
        Kind::Normal => "as usual".to_owned(),
        Kind::Learning => match numbers.nights {
            0 => "learning, in its first night".to_owned(),
            1 => "learning, after 1 night".to_owned(),
            nights => format!("learning, after {nights} nights"),
        },
        Kind::Invalid => match verdict.reason {
            Reason::Throttled => "the device slowed itself down, for heat or power".to_owned(),
            Reason::Contended => "somebody else used the device".to_owned(),
            _ => "batch sizes are missing".to_owned(),
        },
        Kind::Incomparable => "nothing to compare with".to_owned(),
        Kind::ChangedWithEnvironment => match (numbers.shift, numbers.steps) {
            (Some(by), Some([before, after])) if before != after => {
                format!("{}, {}, since the environment changed", shift(by), steps())
            }
            _ => format!("{} since the environment changed", by()),
        },
        Kind::StepChanged => steps(),
        Kind::Unstable => "two steps in one night".to_owned(),
        Kind::Provisional => format!("{}, for one night", by()),
        Kind::Confirmed | Kind::ModelWide => by(),
        Kind::Improved => by(),
        Kind::SlowerInCycles => {
            let cycles = numbers
                .shift_of_cycles
                .map_or_else(|| "more".to_owned(), shift);
            format!("{cycles} in cycles, which a higher clock hides")
        }
        Kind::Resolved => match verdict.reason {
            Reason::Returned => "it reports again".to_owned(),
            _ => "as before again".to_owned(),
        },
        Kind::Drift => format!("slowly {}", by()),
        Kind::Outlier => match verdict.reason {
            Reason::SiblingsStep => format!("another step than its siblings: {}", steps()),
            _ => format!("{} than its siblings", by()),
        },
        Kind::Missing => "nothing was reported by the night's deadline".to_owned(),
    };
    if verdict.kind == Kind::ModelWide
        && let Some(devices) = numbers.devices
    {
        text.push_str(&format!(" on {devices} devices together"));
    }
    if verdict.is_clock_or_power() {
        text.push_str(", and not in cycles: clock or power");
    }
    if verdict.reason == Reason::NotRepeated {
        text.push_str("; a second measurement did not repeat what the first one showed");
    }
    if !verdict.changes.is_empty() {
        let changes: Vec<String> = verdict.changes.iter().map(ToString::to_string).collect();
        text.push_str(&format!(" ({})", changes.join(", ")));
    }
    text
}
