//! S2: is tonight slower or faster than the baseline, and on enough nights?

use crate::{
    Baseline, Book, Measurement, Policy,
    book::{Alarm, Direction},
    verdict::{Kind, Reason, Verdict},
};

/// What one night's times are against a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Within the gates.
    Within,
    /// Beyond them, and not measured again yet.
    Suspect,
    /// Beyond them on the first measurement only.
    NotRepeated,
    /// Beyond them twice.
    Hit(Direction),
}

impl Look {
    pub(crate) fn at(baseline: &Baseline, level: f64, again: Option<&Measurement>) -> Self {
        let Some(direction) = baseline.beyond(level) else {
            return Self::Within;
        };
        let Some(again) = again.and_then(Measurement::level) else {
            return Self::Suspect;
        };
        if baseline.beyond(again) == Some(direction) {
            Self::Hit(direction)
        } else {
            Self::NotRepeated
        }
    }

    pub(crate) const fn hit(self) -> Option<Direction> {
        match self {
            Self::Hit(direction) => Some(direction),
            Self::Within | Self::Suspect | Self::NotRepeated => None,
        }
    }
}

/// The verdict on a night's time, and the alarm that is open after it.
pub(crate) fn judge(
    policy: &Policy,
    book: &Book,
    baseline: &Baseline,
    level: f64,
    look: Look,
) -> (Verdict, Option<Alarm>) {
    if let Some(alarm) = book.alarm {
        return go_on(policy, book, baseline, level, alarm);
    }
    let plain = if baseline.is_learning {
        Kind::Learning
    } else {
        Kind::Normal
    };
    let verdict = match look {
        Look::Within if baseline.is_learning => Verdict::new(plain, Reason::FewNights),
        Look::Within => Verdict::new(plain, Reason::WithinGates),
        Look::NotRepeated => Verdict::new(plain, Reason::NotRepeated),
        Look::Suspect => Verdict::new(Kind::Provisional, Reason::NotMeasuredAgain),
        Look::Hit(direction) => return hit(policy, book, direction),
    };
    (verdict, None)
}

fn hit(policy: &Policy, book: &Book, direction: Direction) -> (Verdict, Option<Alarm>) {
    // Tonight is one of both.
    let before: Vec<u32> = book.hits(direction, policy.confirming_nights - 1).collect();
    let first = before.first().copied();
    if before.len() + 1 < policy.confirming_hits {
        return (Verdict::new(Kind::Provisional, Reason::Hit), None);
    }
    let alarm = first.map(|since| Alarm { direction, since });
    (confirmed(direction, Reason::Hits, true), alarm)
}

fn confirmed(direction: Direction, reason: Reason, is_new: bool) -> Verdict {
    match direction {
        Direction::Slower => Verdict::new(Kind::Confirmed, reason).alarm(is_new),
        Direction::Faster => {
            let mut verdict = Verdict::new(Kind::Improved, reason);
            verdict.is_new = is_new;
            verdict
        }
    }
}

/// An open alarm: over once enough nights in a row are near the baseline, which is that from before it.
fn go_on(
    policy: &Policy,
    book: &Book,
    baseline: &Baseline,
    level: f64,
    alarm: Alarm,
) -> (Verdict, Option<Alarm>) {
    let current = book.current();
    let before = policy.resolving_nights - 1;
    let last = &current[current.len().saturating_sub(before)..];
    let are_near = last.len() == before
        && last
            .iter()
            .all(|entry| entry.night > alarm.since && baseline.is_near(policy, entry.level));
    if are_near && baseline.is_near(policy, level) {
        let mut verdict = Verdict::new(Kind::Resolved, Reason::NearBaseline);
        verdict.is_new = true;
        return (verdict, None);
    }
    (confirmed(alarm.direction, Reason::Hits, false), Some(alarm))
}
