//! S2: is tonight slower or faster than the baseline, and on enough nights?

use crate::{
    Baseline, Book, Policy,
    book::{Alarm, Direction, Hit},
    verdict::{Kind, Reason, Verdict},
};

/// What one night's times are against a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Within the gates.
    Within,
    /// Beyond them, and not measured again yet.
    Suspect(Direction),
    /// Beyond them on the first measurement only.
    NotRepeated,
    /// Beyond them twice.
    Hit(Direction),
}

impl Look {
    pub(crate) fn at(baseline: &Baseline, level: f64, again: Option<f64>) -> Self {
        let Some(direction) = baseline.beyond(level) else {
            return Self::Within;
        };
        match again {
            None => Self::Suspect(direction),
            Some(again) if baseline.beyond(again) == Some(direction) => Self::Hit(direction),
            Some(_) => Self::NotRepeated,
        }
    }

    /// What is remembered of it.
    pub(crate) const fn hit(self) -> Option<Hit> {
        match self {
            Self::Hit(direction) => Some(Hit {
                direction,
                is_repeated: true,
            }),
            Self::Suspect(direction) => Some(Hit {
                direction,
                is_repeated: false,
            }),
            Self::Within | Self::NotRepeated => None,
        }
    }
}

/// The verdict on a night's time; enters into the book what goes on. Tonight's entry is not in it yet.
pub(crate) fn judge(
    policy: &Policy,
    book: &mut Book,
    night: u32,
    baseline: &Baseline,
    level: f64,
    look: Look,
) -> Verdict {
    let is_slower = look
        .hit()
        .is_some_and(|hit| hit.direction == Direction::Slower);
    match book.alarm {
        // An improvement hides no slowdown that comes after it.
        Some(alarm) if alarm.direction == Direction::Slower || !is_slower => {
            return go_on(policy, book, baseline, level, alarm);
        }
        _ => {}
    }
    let plain = if baseline.is_learning {
        Kind::Learning
    } else {
        Kind::Normal
    };
    match (look, look.hit()) {
        (_, Some(hit)) => beyond(policy, book, night, baseline, hit),
        (Look::NotRepeated, _) => Verdict::new(plain, Reason::NotRepeated),
        _ if baseline.is_learning => Verdict::new(plain, Reason::FewNights),
        _ => Verdict::new(plain, Reason::WithinGates),
    }
}

/// Beyond the gates tonight. Enough nights are so many on which the second measurement agreed; or all of the nights that may be looked at, where there was no time
/// for a second one.
fn beyond(
    policy: &Policy,
    book: &mut Book,
    night: u32,
    baseline: &Baseline,
    tonight: Hit,
) -> Verdict {
    let direction = tonight.direction;
    let mut nights: Vec<(u32, Hit)> = book
        .last(policy.confirming_nights.saturating_sub(1))
        .iter()
        .filter_map(|entry| {
            Some((
                entry.night,
                entry.hit.filter(|hit| hit.direction == direction)?,
            ))
        })
        .collect();
    nights.push((night, tonight));
    let repeated = nights.iter().filter(|(_, hit)| hit.is_repeated).count();
    let is_enough = tonight.is_repeated && repeated >= policy.confirming_hits;
    if !is_enough && nights.len() < policy.confirming_nights {
        let reason = if tonight.is_repeated {
            Reason::Hit
        } else {
            Reason::NotMeasuredAgain
        };
        return Verdict::new(Kind::Provisional, reason);
    }
    let since = nights.first().map_or(night, |(since, _)| *since);
    book.alarm = Some(Alarm {
        direction,
        since,
        before: baseline.level,
        near: baseline.near(policy),
        is_known: false,
    });
    confirmed(direction).new_if(direction == Direction::Faster)
}

fn confirmed(direction: Direction) -> Verdict {
    match direction {
        Direction::Slower => Verdict::new(Kind::Confirmed, Reason::Hits).alarm(),
        Direction::Faster => Verdict::new(Kind::Improved, Reason::Hits),
    }
}

/// What is open goes on until enough nights in a row are near what was before it; an improvement also until the baseline has followed it.
pub(crate) fn go_on(
    policy: &Policy,
    book: &mut Book,
    baseline: &Baseline,
    level: f64,
    alarm: Alarm,
) -> Verdict {
    let before = policy.resolving_nights.saturating_sub(1);
    let last = book.last(before);
    let are_all = |is_so: &dyn Fn(f64) -> bool| {
        let are_so = last
            .iter()
            .all(|entry| entry.night > alarm.since && is_so(entry.level));
        last.len() == before && are_so && is_so(level)
    };
    let is_over = match alarm.direction {
        Direction::Slower => are_all(&|level| level - alarm.before <= alarm.near),
        Direction::Faster => are_all(&|level| level - alarm.before >= -alarm.near),
    };
    let has_followed = || are_all(&|level| level - baseline.level >= -baseline.near(policy));
    if is_over {
        book.alarm = None;
        if alarm.direction == Direction::Faster {
            return Verdict::new(Kind::Resolved, Reason::NearBaseline).new_if(true);
        }
        book.leave_out(alarm.since, before);
        return book.resolve(Kind::Confirmed, Reason::NearBaseline);
    }
    if alarm.direction == Direction::Faster && has_followed() {
        book.alarm = None;
        return Verdict::new(Kind::Normal, Reason::BaselineFollowed);
    }
    let mut verdict = confirmed(alarm.direction);
    verdict.is_silenced = alarm.is_known;
    verdict
}
