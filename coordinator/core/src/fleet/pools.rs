//! Pools: the devices that measure one series together. A device has series of its own, or shares the rounds of those of all devices like it.
//!
//! Each round of a shared series is measured by one device. It goes to whichever is free, so a device that is lost delays nothing but the round it has:
//! what it measured of that counts, and the rest is planned anew.

use std::collections::BTreeMap;

use batchstep_proto::{
    domain::{DeviceKind, SweepSpec},
    ids::{AgentId, AttemptId, SeriesId, SweepId},
    workload::WorkloadSpec,
};

use super::{
    State,
    attempts::Attempt,
    selection::{Candidate, threads},
};
use crate::sweep::{PoolDevice, RoundRecord, SeriesPlan};

/// What makes devices alike: of the key of a row in the step table all that is known before anything was measured.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Likeness<'a> {
    model: &'a str,
    kind: DeviceKind,
    compute_units: Option<u32>,
    mig_profile: Option<&'a str>,
    driver: Option<&'a str>,
    /// Its workers are of the same version.
    agent: &'a str,
    threads: Option<u32>,
}

/// What its workers measure with, by the word of its agent: beside the driver all that a result of its kind depends on.
fn software<'a>(candidate: &Candidate<'a>) -> Option<[Option<&'a str>; 4]> {
    let software = candidate.host.software.as_ref()?;
    let on_gpu = |version: &'a Option<String>| {
        let version = version.as_deref();
        version.filter(|_| candidate.device.kind == DeviceKind::Cuda)
    };
    Some([
        software.batchstep.as_deref(),
        software.libtorch.as_deref(),
        on_gpu(&software.cuda),
        on_gpu(&software.cudnn),
    ])
}

/// Devices that share series, by id; the first gives the series its name.
struct Pool<'c, 'a> {
    /// As far as one of them knows it.
    software: Option<[Option<&'a str>; 4]>,
    lead: &'c Candidate<'a>,
    others: Vec<&'c Candidate<'a>>,
}

/// The series of a sweep: every workload on every chosen device, or on all that are alike where they are to share; device by device.
pub(super) fn plans(sweep: SweepId, spec: &SweepSpec, chosen: &[Candidate<'_>]) -> Vec<SeriesPlan> {
    let plan = |pool: &Pool<'_, '_>, workload: &WorkloadSpec| SeriesPlan {
        id: SeriesId::of(sweep, &pool.lead.device.id, &workload.to_string()),
        sweep,
        spec: spec.clone(),
        workload: workload.clone(),
        device: pool.lead.device.clone(),
        hostname: pool.lead.host.hostname.clone(),
        threads: threads(spec, pool.lead),
        others: pool
            .others
            .iter()
            .map(|candidate| PoolDevice {
                device: candidate.device.clone(),
                hostname: candidate.host.hostname.clone(),
            })
            .collect(),
        departed: BTreeMap::new(),
    };
    pools(spec, chosen)
        .iter()
        .flat_map(|pool| {
            spec.workloads
                .iter()
                .map(move |workload| plan(pool, workload))
        })
        .collect()
}

/// The chosen devices, which ascend by id, as they share; in the order of their first ones. A device of which nobody knows yet what it measures with goes
/// with the first that it may be like: its first round tells.
fn pools<'c, 'a>(spec: &SweepSpec, chosen: &'c [Candidate<'a>]) -> Vec<Pool<'c, 'a>> {
    let mut pools: Vec<Pool<'c, 'a>> = Vec::new();
    let mut alike: BTreeMap<Likeness<'_>, Vec<usize>> = BTreeMap::new();
    for candidate in chosen {
        let device = candidate.device;
        let likeness = Likeness {
            model: &device.model,
            kind: device.kind,
            compute_units: device.compute_units,
            mig_profile: device.mig_profile.as_deref(),
            driver: device.driver.as_deref(),
            agent: &candidate.host.agent_version,
            threads: threads(spec, candidate),
        };
        let software = software(candidate);
        let may_join = |pool: &Pool<'_, '_>| {
            let (Some(own), Some(others)) = (software, pool.software) else {
                return true;
            };
            own == others
        };
        let known = alike.entry(likeness).or_default();
        let place = known.iter().copied().find(|&pool| may_join(&pools[pool]));
        match place.filter(|_| spec.scheduling.share_across_model) {
            Some(pool) => {
                let pool = &mut pools[pool];
                pool.software = pool.software.or(software);
                pool.others.push(candidate);
            }
            None => {
                known.push(pools.len());
                pools.push(Pool {
                    software,
                    lead: candidate,
                    others: Vec::new(),
                });
            }
        }
    }
    pools
}

impl State {
    /// Ends the rounds of a shared series that were begun and are not out: what was measured of them counts, and they wait for no device.
    pub(super) fn end_remnants(&mut self, id: SeriesId) {
        let Some(series) = self.series.get(&id).filter(|it| it.plan.is_shared()) else {
            return;
        };
        let remnants: Vec<u32> = series
            .open
            .iter()
            .filter(|(_, record)| !record.is_empty())
            .map(|(index, _)| *index)
            .filter(|index| self.out(series, *index).is_none())
            .collect();
        for index in remnants {
            self.end_round(id, index);
        }
    }

    /// True of an attempt that was given up and with which its round of a shared series has ended, of which the rest may still come: nobody else has that.
    pub(super) fn may_complete(&self, id: AttemptId) -> bool {
        let series = |attempt: &Attempt| {
            let series = self.series.get(&attempt.series)?;
            Some((series, series.tries_of(attempt.round).last()? == &id))
        };
        let attempt = self.attempts.get(&id);
        attempt.and_then(series).is_some_and(|(series, is_last)| {
            is_last && series.plan.is_shared() && series.over.is_none()
        })
    }

    /// True when another device was given the round of an attempt after it.
    pub(super) fn is_taken(&self, id: AttemptId) -> bool {
        let Some(attempt) = self.attempts.get(&id) else {
            return false;
        };
        let tries = self.series.get(&attempt.series);
        let tries = tries.map_or(&[][..], |series| series.tries_of(attempt.round));
        let mut later = tries.iter().rev().take_while(|other| **other != id);
        later.any(|other| {
            let other = self.attempts.get(other);
            other.is_some_and(|other| other.device != attempt.device)
        })
    }

    /// Ends them where an attempt that was given up has brought more of its round, and what follows from it.
    pub(super) fn end_late_remnants(&mut self, id: SeriesId) {
        if self.series.get(&id).is_some_and(|it| it.plan.is_shared()) {
            self.reconsider(id);
        }
    }

    /// True when a device that an agent does not offer has measured a series that both share, be it in rounds that are not over.
    pub(super) fn others_measured(&self, id: SeriesId, agent: AgentId) -> bool {
        let (Some(series), Some(agent)) = (self.series.get(&id), self.agents.get(&agent)) else {
            return false;
        };
        let is_other = |record: &RoundRecord| {
            !record.blocks.is_empty() && !agent.devices.contains_key(&record.round.device_id)
        };
        let mut rounds = series.history.rounds.iter().chain(series.open.values());
        series.plan.is_shared() && rounds.any(is_other)
    }
}
