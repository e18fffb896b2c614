//! S4: what all devices of a model show together and none of them alone. Called by `night` after each series was judged alone.

use serde::{Deserialize, Serialize};

use crate::{
    Policy,
    alone::Alone,
    stats::median,
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// Standard deviation of a median of n normal values, times √n: √(π/2).
const MEDIAN_SPREAD: f64 = 1.2533;

/// What is remembered of a model with one workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelBook {
    /// The last judged nights, oldest first; as many as a confirmation or the end of an alarm takes.
    pub nights: Vec<ModelNight>,
    /// Night of the first hit, while there is an alarm.
    pub alarm: Option<u32>,
    /// The alarm has been told.
    pub is_told: bool,
    /// Last day on which nobody is told; counted as [`crate::Night::day`].
    pub muted_until: Option<i32>,
}

/// A night of a model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ModelNight {
    /// Which.
    pub night: u32,
    /// Median shift of the devices.
    pub shift: f64,
    /// Beyond the gates.
    pub is_hit: bool,
    /// Near enough to none to end an alarm.
    pub is_near: bool,
}

/// Standard deviation of the median of so many values.
pub(crate) fn spread_of_median(sigma: f64, count: usize) -> f64 {
    sigma * MEDIAN_SPREAD / (count.max(1) as f64).sqrt()
}

/// S4 of one group: enters the night, freezes the baselines of the devices while there is an alarm, and silences what it says for them.
pub(crate) fn judge(
    policy: &Policy,
    book: &mut ModelBook,
    (night, day): (u32, i32),
    devices: &mut [&mut Alone],
) -> Option<Verdict> {
    let is_past = |last: &ModelNight| night <= last.night;
    if book.nights.last().is_some_and(is_past) {
        return None;
    }
    if book.muted_until.is_some_and(|until| day > until) {
        book.muted_until = None;
        book.is_told = false;
    }
    let before = book.alarm;
    let verdict = match together(policy, night, devices) {
        Some((tonight, numbers)) => {
            let mut verdict = book.enter(policy, tonight);
            if let Some(verdict) = &mut verdict {
                verdict.numbers = numbers;
                verdict.numbers.since = before.or(book.alarm);
            }
            verdict
        }
        None => renewed(book, devices).or_else(|| {
            // Too few to tell tonight: it goes on.
            let since = book.alarm?;
            let mut verdict = book.tell();
            verdict.numbers.since = Some(since);
            Some(verdict)
        }),
    };
    // One night of a model: the next one decides whether its devices speak for themselves.
    let undecided = book
        .nights
        .last()
        .filter(|last| last.night == night && last.is_hit && book.alarm.is_none());
    for alone in devices {
        freeze(policy, book, before, alone);
        if undecided.is_some_and(|tonight| !is_apart(tonight, alone)) {
            let was_told = alone.book.told.contains(&Kind::Confirmed);
            alone.silence(|verdict| verdict.kind == Kind::Confirmed && !was_told);
        }
    }
    verdict
}

/// The devices' shifts as one; `None` for too few devices.
fn together(policy: &Policy, night: u32, devices: &[&mut Alone]) -> Option<(ModelNight, Numbers)> {
    let shifts = devices.iter().filter_map(|alone| {
        let (level, baseline) = (alone.measured.as_ref()?.level, alone.baseline.as_ref()?);
        Some((level - baseline.level, baseline.sigma))
    });
    let shifts: Vec<(f64, f64)> = shifts.collect();
    if shifts.len() < policy.model_devices {
        return None;
    }
    let shift = median(shifts.iter().map(|(shift, _)| *shift))?;
    let sigma = median(shifts.iter().map(|(_, sigma)| *sigma))?;
    let sigmas = median(shifts.iter().map(|(shift, sigma)| shift / sigma))?
        / spread_of_median(1.0, shifts.len());
    let of_median = spread_of_median(sigma, shifts.len());
    let near = (policy.resolving_sigmas * of_median).max(policy.resolving_shift.ln_1p());
    let gate = policy
        .model_shift
        .ln_1p()
        .max(policy.model_sigmas * of_median);
    let night = ModelNight {
        night,
        shift,
        is_hit: sigmas > policy.model_sigmas && shift >= policy.model_shift.ln_1p(),
        is_near: shift <= near,
    };
    let numbers = Numbers {
        sigma: Some(sigma),
        shift: Some(shift),
        sigmas: Some(sigmas),
        gate: Some(gate),
        devices: Some(shifts.len()),
        ..Numbers::default()
    };
    Some((night, numbers))
}

/// An alarm ends where most of what it was about has a new environment: that is told by what the change did.
fn renewed(book: &mut ModelBook, devices: &[&mut Alone]) -> Option<Verdict> {
    let measured = devices
        .iter()
        .filter(|alone| alone.measured.is_some())
        .count();
    let renewed = devices.iter().filter(|alone| alone.is_renewed).count();
    if renewed == 0 || 2 * renewed < measured {
        return None;
    }
    // Hits of the old environment do not count with those of the new.
    for night in &mut book.nights {
        night.is_hit = false;
    }
    book.alarm?;
    let mut verdict = book.resolve(Reason::EnvironmentChanged);
    verdict.changes = devices
        .iter()
        .filter_map(|alone| alone.book.boundary.as_ref())
        .map(|boundary| boundary.changes.clone())
        .next()
        .unwrap_or_default();
    Some(verdict)
}

/// While the model has an alarm, its nights are no part of a device's baseline, and are none after it either. A device that was not measured is looked at when it is.
fn freeze(policy: &Policy, book: &ModelBook, before: Option<u32>, alone: &mut Alone) {
    if alone.measured.is_none() {
        return;
    }
    let knows_before = |since: &u32| {
        let first = alone.book.current().first();
        first.is_some_and(|first| first.night < *since)
    };
    let frozen = book.alarm.filter(knows_before);
    if alone.is_renewed && before.is_some() {
        goes_on_known(alone);
    }
    if let (Some(since), None) = (alone.book.frozen_since, book.alarm) {
        end_with_the_model(policy, since, alone);
    }
    alone.book.frozen_since = frozen;
    if frozen.is_some() && !stands_out(policy, book, alone) {
        alone.silence(|verdict| matches!(verdict.kind, Kind::Confirmed | Kind::Provisional));
    }
}

/// A slowdown that was told with its model's alarm, and goes on where the environment has ended that.
fn goes_on_known(alone: &mut Alone) {
    let was_told = alone.book.told.contains(&Kind::Confirmed);
    if let Some(alarm) = alone.book.alarm.as_mut().filter(|_| !was_told) {
        alarm.is_known = true;
        alone.silence(|verdict| verdict.kind == Kind::Confirmed);
    }
}

/// What was said by the model's alarm ends with it, except for a device that is beyond its own gate still: that speaks for itself from now on.
fn end_with_the_model(policy: &Policy, since: u32, alone: &mut Alone) {
    let is_beyond = || {
        let (measured, baseline) = (alone.measured.as_ref()?, alone.baseline.as_ref()?);
        Some(measured.level - baseline.level > baseline.gate)
    };
    let was_told = alone.book.told.contains(&Kind::Confirmed);
    if alone.book.slowdown().is_some() && !was_told && is_beyond() == Some(false) {
        alone.book.alarm = None;
        for verdict in alone
            .verdicts
            .iter_mut()
            .filter(|verdict| verdict.kind == Kind::Confirmed)
        {
            verdict.kind = Kind::Resolved;
            verdict.reason = Reason::NearBaseline;
            verdict.is_alarm = false;
            verdict.is_silenced = true;
        }
    }
    if alone.book.slowdown().is_none() {
        alone.book.leave_out(since, policy.resolving_nights);
    }
}

/// True for a device that is as far beyond its model's shift as beyond a baseline, on as many nights as a confirmation takes, tonight's among them.
fn stands_out(policy: &Policy, book: &ModelBook, alone: &Alone) -> bool {
    let first = book.nights.len().saturating_sub(policy.confirming_nights);
    let nights = &book.nights[first..];
    let is_tonight = nights
        .last()
        .is_some_and(|tonight| is_apart(tonight, alone));
    let count = nights.iter().filter(|night| is_apart(night, alone)).count();
    is_tonight && count >= policy.confirming_hits
}

/// The same on one night.
fn is_apart(night: &ModelNight, alone: &Alone) -> bool {
    let mut entries = alone.book.current().iter().rev();
    let entry = entries.find(|entry| entry.night <= night.night);
    let apart = || {
        let (entry, baseline) = (
            entry.filter(|entry| entry.night == night.night)?,
            alone.baseline.as_ref()?,
        );
        Some(entry.level - baseline.level - night.shift > baseline.gate)
    };
    apart() == Some(true)
}

impl ModelBook {
    /// Begins anew; a person has accepted what is. The devices' books are to be rebaselined with it.
    pub fn rebaseline(&mut self) {
        self.nights.clear();
        self.alarm = None;
        self.is_told = false;
    }

    /// Silences the model from `day` on, for the policy's days or until its alarm is resolved.
    pub fn mute(&mut self, policy: &Policy, day: i32) {
        self.muted_until = Some(day.saturating_add_unsigned(policy.muted_days));
    }

    fn enter(&mut self, policy: &Policy, tonight: ModelNight) -> Option<Verdict> {
        self.nights.push(tonight);
        let keep = policy.confirming_nights.max(policy.resolving_nights);
        self.nights.drain(..self.nights.len().saturating_sub(keep));
        let last = |count: usize| &self.nights[self.nights.len().saturating_sub(count)..];
        if self.alarm.is_some() {
            let quiet = last(policy.resolving_nights);
            let is_over =
                quiet.len() == policy.resolving_nights && quiet.iter().all(|night| night.is_near);
            return Some(if is_over {
                self.resolve(Reason::NearBaseline)
            } else {
                self.tell()
            });
        }
        let hits = last(policy.confirming_nights)
            .iter()
            .filter(|night| night.is_hit);
        let hits: Vec<u32> = hits.map(|night| night.night).collect();
        let is_confirmed = tonight.is_hit && hits.len() >= policy.confirming_hits;
        self.alarm = hits.first().copied().filter(|_| is_confirmed);
        self.alarm.map(|_| self.tell())
    }

    fn tell(&mut self) -> Verdict {
        let mut verdict = Verdict::new(Kind::ModelWide, Reason::ModelMedian).alarm();
        verdict.is_silenced = self.muted_until.is_some();
        verdict.is_new = !verdict.is_silenced && !std::mem::replace(&mut self.is_told, true);
        verdict
    }

    fn resolve(&mut self, reason: Reason) -> Verdict {
        let was_told = std::mem::take(&mut self.is_told);
        self.alarm = None;
        self.muted_until = None;
        let mut verdict = Verdict::new(Kind::Resolved, reason).new_if(was_told);
        verdict.is_silenced = !was_told;
        verdict
    }
}
