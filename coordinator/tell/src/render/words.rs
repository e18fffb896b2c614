//! What every rendering says of a message, in words: headline, facts, numbers. Escaping is the renderings' own.

use crate::{
    Digest,
    message::{Kind, Message, Reason, Shift, Subject},
};

/// Longest name, sentence or version that is shown, characters.
const VALUE_MAX: usize = 300;
/// Longest command: one that is cut is no use.
const COMMAND_MAX: usize = 2000;
/// Kinds that a summary counts one by one.
const KINDS_MAX: usize = 4;
/// Changes of the environment that are listed.
const CHANGES_MAX: usize = 12;

/// One line about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) form: Form,
}

/// How a fact is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// In words.
    Words,
    /// Letter by letter: ids and commands.
    Code,
    /// An address.
    Link,
}

/// A message in one line: what happened, where, and how much.
#[must_use]
pub fn headline(message: &Message) -> String {
    let mut line = message.kind.title().to_owned();
    let place = match place(&message.subject) {
        place if place.is_empty() => format!("schedule {}", clean(&message.schedule)),
        place => place,
    };
    line = format!("{line}: {place}");
    if let Some(shift) = &message.shift {
        line = format!("{line}, {}", change(shift.relative));
    }
    if let Some(steps) = &message.step
        && steps.before != steps.after
    {
        line = format!(
            "{line}, step {} -> {}",
            step(steps.before),
            step(steps.after)
        );
    }
    line
}

/// A digest in one line. Of a digest of one message its headline.
pub(super) fn summary(digest: &Digest) -> String {
    let [first, rest @ ..] = digest.messages() else {
        return "nothing to tell".to_owned();
    };
    if rest.is_empty() {
        return headline(first);
    }
    let counts: Vec<(Kind, usize)> = digest.counts().into_iter().collect();
    let mut words: Vec<String> = counts
        .iter()
        .take(KINDS_MAX)
        .map(|(kind, count)| kind.counted(*count))
        .collect();
    let others: usize = counts.iter().skip(KINDS_MAX).map(|(_, count)| count).sum();
    if others > 0 {
        words.push(format!("{others} more"));
    }
    let of_one_night = rest
        .iter()
        .all(|it| it.schedule == first.schedule && it.night == first.night);
    let when = if of_one_night {
        format!(" ({} {})", clean(&first.schedule), first.night.date)
    } else {
        String::new()
    };
    format!("{}{when}", words.join(", "))
}

/// What is known of a message, in the order in which people ask.
pub(super) fn facts(message: &Message) -> Vec<Fact> {
    let mut facts = Facts(Vec::new());
    let subject = &message.subject;
    facts.words("model", subject.model.as_deref().map(clean));
    facts.code("device", subject.device.as_deref().map(clean));
    facts.words("devices", subject.devices.map(|count| count.to_string()));
    facts.words("host", subject.host.as_deref().map(clean));
    facts.words("workload", subject.workload.as_deref().map(clean));
    facts.words(
        "iteration",
        message.time.map(|time| {
            let [before, after] = [time.before_seconds, time.after_seconds].map(seconds);
            format!("{before} -> {after}")
        }),
    );
    facts.words("change", message.shift.as_ref().map(shift));
    facts.words(
        "step",
        message
            .step
            .map(|steps| match [steps.before, steps.after].map(step) {
                [before, after] if before == after => format!("{after}, as before"),
                [before, after] => format!("{before} -> {after}"),
            }),
    );
    facts.words("since", message.since.map(|night| night.to_string()));
    for change in message.changes.iter().take(CHANGES_MAX) {
        facts.words("beside it", Some(clean(&change.to_string())));
    }
    if let Some(more @ 1..) = message.changes.len().checked_sub(CHANGES_MAX) {
        facts.words("beside it", Some(format!("and {more} more changes")));
    }
    let Reason { code, sentence } = &message.reason;
    facts.words(
        "why",
        Some(format!("{} [{}]", clean(sentence), clean(code))),
    );
    facts.words(
        "would notice",
        message
            .smallest_detectable_shift
            .map(|least| format!("{} or more", percent(least))),
    );
    let night = format!("{} of {}", message.night, clean(&message.schedule));
    facts.words("found", Some(night));
    for link in &message.links {
        let value = cut(&without_controls(&link.url), COMMAND_MAX);
        facts.0.push(Fact {
            name: "see",
            value,
            form: Form::Link,
        });
    }
    let command = |text: &String| cut(&without_controls(text), COMMAND_MAX);
    facts.code("measure again", message.reproduce.as_ref().map(command));
    facts.code("acknowledge", message.acknowledge.as_ref().map(command));
    facts.0
}

struct Facts(Vec<Fact>);

impl Facts {
    fn words(&mut self, name: &'static str, value: Option<String>) {
        self.0.extend(value.map(|value| Fact {
            name,
            value,
            form: Form::Words,
        }));
    }

    fn code(&mut self, name: &'static str, value: Option<String>) {
        self.0.extend(value.map(|value| Fact {
            name,
            value,
            form: Form::Code,
        }));
    }
}

/// What stands in for the messages that are left out of a list.
pub(super) fn and_more(count: usize) -> String {
    format!("and {count} more: `batchstep regressions` lists them all")
}

/// A shell command of these words, each quoted where a shell would read more than a word: what a host calls itself is not run by who copies the line.
#[must_use]
pub fn command_line(words: &[&str]) -> String {
    let quoted = words.iter().map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@+%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            return (*word).to_owned();
        }
        let word = without_controls(word);
        format!("'{}'", word.replace('\'', r"'\''"))
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// `linear in=512 on NVIDIA H100 in gpu-07`.
fn place(subject: &Subject) -> String {
    let device = match (&subject.model, &subject.device, subject.devices) {
        (Some(model), _, Some(count)) => Some(format!("{count} x {}", clean(model))),
        (Some(model), _, None) => Some(clean(model)),
        (None, Some(device), _) => Some(clean(device)),
        (None, None, _) => None,
    };
    let host = subject.host.as_deref().map(clean);
    let what = match (device, host) {
        (Some(device), Some(host)) => Some(format!("{device} in {host}")),
        (device, host) => device.or(host),
    };
    match (subject.workload.as_deref().map(clean), what) {
        (Some(workload), Some(what)) => format!("{workload} on {what}"),
        (workload, what) => workload.or(what).unwrap_or_default(),
    }
}

fn shift(shift: &Shift) -> String {
    let mut words = change(shift.relative);
    let mut beside = Vec::new();
    if let Some([low, high]) = shift.interval {
        beside.push(format!("95 % interval {} to {}", signed(low), signed(high)));
    }
    if let Some(z) = shift.z {
        beside.push(format!("{z:.1} standard deviations"));
    }
    if !beside.is_empty() {
        words = format!("{words} ({})", beside.join("; "));
    }
    words
}

fn change(relative: f64) -> String {
    if relative < 0.0 {
        format!("{} faster", percent(-relative))
    } else {
        format!("{} slower", percent(relative))
    }
}

fn signed(relative: f64) -> String {
    format!("{:+.1} %", relative * 100.0)
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// Four digits and a unit.
fn seconds(time: f64) -> String {
    let (factor, unit) = match time.abs() {
        time if time >= 1.0 => (1.0, "s"),
        time if time >= 1e-3 => (1e3, "ms"),
        _ => (1e6, "us"),
    };
    let value = time * factor;
    let digits = match value.abs() {
        value if value >= 100.0 => 1,
        value if value >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$} {unit}")
}

fn step(step: Option<u32>) -> String {
    step.map_or_else(|| "none".to_owned(), |step| step.to_string())
}

/// A text of somebody else's in one bounded line.
pub(super) fn clean(text: &str) -> String {
    cut(&without_controls(text), VALUE_MAX)
}

/// Without what starts a new line, moves a cursor, or turns the direction of reading.
fn without_controls(text: &str) -> String {
    let is_control = |c: char| {
        c.is_control()
            || matches!(
                c,
                '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
            )
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if is_control(c) { ' ' } else { c })
        .collect()
}

/// At most this many characters, with a sign that there were more.
pub(super) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => {
            let kept: String = text.chars().take(characters.saturating_sub(1)).collect();
            kept + "…"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::examples;

    #[test]
    fn headlines_say_what_where_and_how_much() {
        assert_eq!(
            headline(&examples::regression()),
            "Regression: linear in=512, infer, f32 on NVIDIA H100 in gpu-07, 8.2 % slower"
        );
        assert_eq!(
            headline(&examples::missing_host("gpu-09")),
            "Host missing: gpu-09"
        );
        assert_eq!(
            headline(&examples::night_missed()),
            "Night missed: schedule fleet"
        );
        assert!(
            headline(&examples::model_wide()).ends_with("on 8 x NVIDIA H100, 5.1 % slower"),
            "{}",
            headline(&examples::model_wide())
        );
    }

    #[test]
    fn what_machines_call_themselves_stays_one_line() {
        let mut message = examples::regression();
        message.subject.host = Some("gpu\r\nBcc: all@lab\u{202e}".to_owned());
        message.subject.model = Some("x".repeat(10_000));
        let line = headline(&message);
        assert!(!line.contains(['\r', '\n', '\u{202e}']), "{line}");
        assert!(line.chars().count() < 800);
        for fact in facts(&message) {
            assert!(!fact.value.contains(char::is_control), "{fact:?}");
        }
    }

    #[test]
    fn commands_are_safe_to_copy() {
        assert_eq!(
            command_line(&["batchstep", "sweep", "--a=b"]),
            "batchstep sweep --a=b"
        );
        assert_eq!(command_line(&["a b", "it's", ""]), r"'a b' 'it'\''s' ''");
        assert_eq!(
            command_line(&["$(reboot)", "x;y\nz"]),
            "'$(reboot)' 'x;y z'"
        );
    }

    #[test]
    fn times_have_units_and_four_digits() {
        let said = [12.345_6, 0.123_45, 0.012_345, 0.000_012_341].map(seconds);
        assert_eq!(said, ["12.35 s", "123.5 ms", "12.35 ms", "12.34 us"]);
    }
}
