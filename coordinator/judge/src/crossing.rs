//! S0 together: what a change of environment did to the devices of a model that share it. Their median is sure of a shift the same night, and of there being none;
//! a device alone is asked for a second night unless it is far off. Called by `night` after each series was judged alone.

use std::collections::BTreeMap;

use crate::{
    Policy,
    alone::Alone,
    book::Direction,
    boundary::{Boundary, Look},
    environment::Change,
    model::spread_of_median,
    stats::median,
    step,
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// What the devices of one group with the same change show together.
struct Shared {
    verdict: Verdict,
    shift: f64,
}

impl Shared {
    /// The nights before the change on which devices were hits already: of half of them, and the change has an alibi.
    fn began_before(&mut self, nights: Vec<u32>) {
        let devices = self.verdict.numbers.devices.unwrap_or(0);
        if 2 * nights.len() >= devices {
            self.verdict.reason = Reason::HitBeforeChange;
            self.verdict.numbers.since = nights.into_iter().min();
        }
    }
}

/// Night of a hit before the boundary in the direction of this shift.
fn hit_before(boundary: &Boundary, shift: Option<f64>) -> Option<u32> {
    let (night, direction) = boundary.before.hit?;
    (Some(direction) == shift.map(Direction::of)).then_some(night)
}

/// Settles what was left open of the devices of one group; answers with what is said of them together.
pub(crate) fn settle(policy: &Policy, devices: &mut [&mut Alone]) -> Vec<Verdict> {
    let mut by_change: BTreeMap<Vec<Change>, Vec<usize>> = BTreeMap::new();
    for (index, alone) in devices.iter().enumerate() {
        if let (Some(_), Some(boundary)) = (&alone.crossing, &alone.book.boundary) {
            let sharing = by_change.entry(boundary.changes.clone()).or_default();
            sharing.push(index);
        }
    }
    let mut said = Vec::new();
    for (changes, sharing) in by_change {
        let looks = sharing
            .iter()
            .filter_map(|index| devices[*index].crossing.clone());
        let looks: Vec<Look> = looks.collect();
        let are_many = sharing.len() >= policy.model_devices;
        let (mut shared, wants_again) = together(policy, &looks, &changes).unwrap_or_default();
        if let Some(shared) = &mut shared {
            let before = sharing.iter().filter_map(|index| {
                let boundary = devices[*index].book.boundary.as_ref()?;
                hit_before(boundary, Some(shared.shift))
            });
            shared.began_before(before.collect());
        }
        for index in sharing {
            let alone = &mut *devices[index];
            alone.wants_again |=
                wants_again && alone.measured.as_ref().is_some_and(|it| it.again.is_none());
            if let Some(look) = alone.crossing.take() {
                one(policy, alone, &look, are_many, shared.as_ref());
            }
        }
        said.extend(shared.map(|shared| shared.verdict));
    }
    said
}

/// The verdict of the group, or whether all should be measured again for one; `None` for too few devices.
fn together(policy: &Policy, looks: &[Look], changes: &[Change]) -> Option<(Option<Shared>, bool)> {
    if looks.len() < policy.model_devices {
        return None;
    }
    let shifts: Vec<f64> = looks.iter().filter_map(|look| look.shift).collect();
    let again: Vec<f64> = looks.iter().filter_map(|look| look.again).collect();
    let sigma = median(looks.iter().filter_map(|look| look.numbers.sigma))?;
    let of_median = spread_of_median(sigma, shifts.len());
    let gate = policy
        .environment_shift
        .ln_1p()
        .max(policy.model_sigmas * of_median);
    let shift = median(shifts.iter().copied())?;
    if shift.abs() <= gate {
        return Some((None, false));
    }
    let shift_again = median(again.iter().copied());
    // Half of them is enough to tell that the same night's second measurements agree.
    let is_repeated = 2 * again.len() >= looks.len();
    let agrees =
        shift_again.is_some_and(|again| again.abs() > gate && (again > 0.0) == (shift > 0.0));
    if !is_repeated || !agrees {
        return Some((None, !is_repeated));
    }
    let mut verdict =
        Verdict::new(Kind::ChangedWithEnvironment, Reason::EnvironmentChanged).with(Numbers {
            sigma: Some(sigma),
            shift: Some(shift),
            shift_again,
            sigmas: Some(shift / of_median),
            gate: Some(gate),
            devices: Some(looks.len()),
            steps: looks.iter().find_map(|look| look.numbers.steps),
            ..Numbers::default()
        });
    verdict.changes = changes.to_vec();
    verdict.is_alarm = shift > 0.0;
    verdict.is_new = true;
    Some((Some(Shared { verdict, shift }), false))
}

/// What is said of one device.
fn one(policy: &Policy, alone: &mut Alone, look: &Look, are_many: bool, shared: Option<&Shared>) {
    let Some(boundary) = &mut alone.book.boundary else {
        return;
    };
    let beyond = look.beyond.filter(|_| !are_many || look.is_apart);
    if let Some(tonight) = boundary.nights.last_mut() {
        *tonight = beyond;
    }
    let is_first = boundary.nights.len() <= 1;
    let hit = hit_before(boundary, look.shift);
    let has_new_step = matches!(look.step, step::Look::Changed { .. });
    let is_confirmed = |direction| boundary.count(direction) >= policy.confirming_hits;
    let is_shifted =
        beyond.is_some_and(|direction| (look.is_far && !are_many) || is_confirmed(direction));
    let is_like_the_others = shared.is_some_and(|shared| {
        let gate = boundary.before.gate.max(policy.environment_far.ln_1p());
        let apart = |shift: Option<f64>| shift.is_some_and(|shift| shift - shared.shift > gate);
        !(apart(look.shift) && apart(look.again))
    });
    let is_told = is_shifted || has_new_step || shared.is_some();
    let is_slower = look.shift.is_some_and(|shift| shift > 0.0);
    let mut verdict = if is_told {
        let reason = if hit.is_some() {
            Reason::HitBeforeChange
        } else {
            Reason::EnvironmentChanged
        };
        let mut verdict = Verdict::new(Kind::ChangedWithEnvironment, reason);
        verdict.is_alarm = (is_slower && (is_shifted || shared.is_some())) || has_new_step;
        verdict.is_new = true;
        verdict.is_silenced = is_like_the_others && !has_new_step;
        verdict
    } else if beyond.is_some() {
        Verdict::new(Kind::Provisional, Reason::EnvironmentChanged)
    } else if look.wants_again {
        Verdict::new(Kind::Provisional, Reason::NotMeasuredAgain)
    } else if is_first {
        Verdict::new(Kind::Incomparable, Reason::EnvironmentChanged)
    } else {
        return;
    };
    verdict.numbers = look.numbers.clone();
    verdict.numbers.since = hit;
    verdict.changes.clone_from(&boundary.changes);
    if is_told {
        // Told once; and what was told is no creep.
        alone.book.boundary = None;
        alone.book.best = None;
        if verdict.is_alarm {
            alone.book.explained = Some(alone.book.segment);
        }
    }
    alone.verdicts.push(verdict);
}
