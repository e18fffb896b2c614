//! S4: what all devices of a model show together and none of them alone.

use serde::{Deserialize, Serialize};

use crate::{Policy, stats::median, verdict::Numbers};

/// Standard deviation of a median of n normal values, times √n: √(π/2).
const MEDIAN_SPREAD: f64 = 1.2533;

/// What is remembered of a model with one workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelBook {
    /// The last judged nights, oldest first, and whether each was a hit.
    pub nights: Vec<(u32, bool)>,
    /// Night of the first hit, while there is an alarm.
    pub alarm: Option<u32>,
}

/// The devices' shifts and their sigmas as one; `None` for too few devices.
pub(crate) fn together(policy: &Policy, devices: &[(f64, f64)]) -> Option<(bool, Numbers)> {
    if devices.len() < policy.model_devices {
        return None;
    }
    let shift = median(devices.iter().map(|(shift, _)| *shift))?;
    let sigmas = median(devices.iter().map(|(_, sigmas)| *sigmas))?;
    let sigmas = sigmas * (devices.len() as f64).sqrt() / MEDIAN_SPREAD;
    let is_hit = sigmas > policy.model_sigmas && shift >= policy.model_shift.ln_1p();
    let numbers = Numbers {
        shift: Some(shift),
        sigmas: Some(sigmas),
        devices: Some(devices.len()),
        ..Numbers::default()
    };
    Some((is_hit, numbers))
}

impl ModelBook {
    /// Enters a night; answers with whether the alarm is open after it, and whether it is new.
    pub(crate) fn enter(&mut self, policy: &Policy, night: u32, is_hit: bool) -> Option<bool> {
        self.nights.push((night, is_hit));
        let keep = policy.confirming_nights.max(policy.resolving_nights);
        let surplus = self.nights.len().saturating_sub(keep);
        self.nights.drain(..surplus);
        let last = |count: usize| &self.nights[self.nights.len().saturating_sub(count)..];
        if self.alarm.is_some() {
            let quiet = last(policy.resolving_nights);
            let is_over =
                quiet.len() == policy.resolving_nights && quiet.iter().all(|(_, hit)| !hit);
            if is_over {
                self.alarm = None;
            }
            return self.alarm.map(|_| false);
        }
        let hits: Vec<u32> = last(policy.confirming_nights)
            .iter()
            .filter_map(|(night, hit)| hit.then_some(*night))
            .collect();
        let is_confirmed = is_hit && hits.len() >= policy.confirming_hits;
        self.alarm = hits.first().copied().filter(|_| is_confirmed);
        self.alarm.map(|_| true)
    }
}
