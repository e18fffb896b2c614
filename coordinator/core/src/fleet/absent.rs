//! Devices that nobody can measure on: who had them last and what became of it, and the series that end with them. Asked by whoever explains why something
//! waits; told when an agent goes for good, or is cordoned.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::ids::{AgentId, SeriesId};

use super::{State, lanes::Turn, series::Series};

/// Devices whose reasons are part of the message of a series that none may measure any more.
const DEVICES_TOLD: usize = 8;

/// Who offered a device last, and why it does not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gone {
    pub agent: AgentId,
    pub hostname: String,
    pub cause: Cause,
}

/// Why an agent does not offer a device any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A person took the agent off the list; another one comes with its devices, or none does.
    Removed { replaced: bool },
    /// It said nothing for so long that it is not waited for.
    Forgotten { silence: Duration },
    /// It has said hello without the device.
    GivenUp,
}

/// A device, or a series, that nobody can measure.
struct Hopeless {
    why: String,
    /// An agent that can is to come.
    is_awaited: bool,
}

impl Gone {
    fn explain(&self, device: &str) -> String {
        let Self {
            agent,
            hostname,
            cause,
        } = self;
        match cause {
            Cause::Removed { replaced: false } => {
                format!("the agent {agent} on {hostname}, which had device {device}, was removed")
            }
            Cause::Removed { replaced: true } => format!(
                "the agent {agent} on {hostname}, which had device {device}, was removed; the one that replaces it has not offered it yet"
            ),
            Cause::Forgotten { silence } => format!(
                "the agent {agent} on {hostname}, which had device {device}, was forgotten after {} h without a word; if it is gone for good, `batchstep \
                 agents remove {agent}` ends what waits for it",
                silence.as_secs().div_ceil(3600)
            ),
            Cause::GivenUp => format!("the agent on {hostname} has no device {device} any more"),
        }
    }
}

impl State {
    /// Why a device has no agent that is connected.
    pub(super) fn absence(&self, device: &str) -> String {
        let lane = self.lanes.get(device);
        let last = lane
            .into_iter()
            .flat_map(|lane| &lane.claimants)
            .filter_map(|id| self.agents.get(id))
            .max_by_key(|agent| agent.heard);
        if let Some(agent) = last {
            return format!(
                "the agent on {} is not connected; last heard of {} s ago",
                agent.host.hostname,
                self.now.saturating_sub(agent.heard).as_secs()
            );
        }
        match lane.and_then(|lane| lane.gone.as_ref()) {
            Some(gone) => gone.explain(device),
            None => {
                format!("no agent with device {device} has connected since the coordinator started")
            }
        }
    }

    /// Devices whose last agent this one was, and nobody offers them.
    pub(super) fn left_by(&self, id: AgentId) -> BTreeSet<String> {
        let lanes = self.lanes.iter().filter(|(_, lane)| {
            let gone = lane.gone.as_ref();
            gone.is_some_and(|gone| gone.agent == id)
        });
        lanes.map(|(device, _)| device.clone()).collect()
    }

    /// Notes that an agent was removed where nobody offers its devices any more, and it did not itself when it was.
    pub(super) fn note_removal(&mut self, removed: &Gone, devices: &BTreeSet<String>) {
        for device in devices {
            let Some(lane) = self.lanes.get_mut(device) else {
                continue;
            };
            if !lane.claimants.is_empty() {
                continue;
            }
            match &mut lane.gone {
                Some(gone) if gone.agent == removed.agent => {
                    gone.cause = removed.cause;
                }
                Some(_) => {}
                none => *none = Some(removed.clone()),
            }
        }
    }

    /// Ends the series that nobody can run without these devices: their sweeps are not to wait for somebody to mend a host, nor for one that is gone.
    /// Answers with how many they were, and how many are like them and wait for an agent that is to come.
    pub(super) fn fail_hopeless_series(&mut self, devices: &BTreeSet<String>) -> (usize, usize) {
        let lanes = devices.iter().filter_map(|device| self.lanes.get(device));
        let turns: BTreeSet<&Turn> = lanes.flat_map(|lane| &lane.queue).collect();
        let series: Vec<(SeriesId, Hopeless)> = turns
            .into_iter()
            .filter_map(|turn| Some((turn.series, self.hopeless_series(turn.series)?)))
            .collect();
        let (waiting, failed): (Vec<_>, Vec<_>) =
            series.into_iter().partition(|(_, it)| it.is_awaited);
        let count = failed.len();
        for (series, Hopeless { why, .. }) in failed {
            self.give_up(series, why);
        }
        (count, waiting.len())
    }

    /// Takes devices whose agent was removed off the series that they share with others. That is on record, so that a restart does not wait for them.
    pub(super) fn depart_for_good(&mut self, devices: &BTreeSet<String>) {
        for device in devices {
            let Some(lane) = self.lanes.get(device).filter(|it| it.claimants.is_empty()) else {
                continue;
            };
            let Some(gone) = &lane.gone else { continue };
            let reason = gone.explain(device);
            let turns = lane.queue.iter().map(|turn| turn.series);
            let is_shared = |id: &SeriesId| {
                let series = self.series.get(id);
                series.is_some_and(|series| series.plan.is_shared())
            };
            for id in turns.filter(is_shared).collect::<Vec<_>>() {
                self.depart(id, device, reason.clone());
            }
        }
    }

    /// Ends a shared series that none of its devices may measure any more.
    pub(super) fn fail_if_abandoned(&mut self, id: SeriesId) {
        let goes_on = |it: &&Series| it.over.is_none();
        if self.series.get(&id).filter(goes_on).is_none() {
            return;
        }
        if let Some(hopeless) = self.hopeless_series(id).filter(|it| !it.is_awaited) {
            self.give_up(id, hopeless.why);
        }
    }

    /// Why nobody can run a series on any of its devices; `None`: somebody can, or may be able to again.
    fn hopeless_series(&self, id: SeriesId) -> Option<Hopeless> {
        let plan = &self.series.get(&id)?.plan;
        let hopeless = |device: &str| match plan.departed.get(device) {
            Some(reason) => Some(Hopeless {
                why: reason.clone(),
                is_awaited: false,
            }),
            None => self.hopeless(device),
        };
        let places = plan.places();
        let places: Vec<(&str, &str, Hopeless)> = places
            .map(|(device, host)| Some((device, host, hopeless(device)?)))
            .collect::<Option<_>>()?;
        let is_awaited = places.iter().any(|(.., hopeless)| hopeless.is_awaited);
        if !plan.is_shared() {
            return places.into_iter().next().map(|(.., hopeless)| hopeless);
        }
        let reasons = places
            .iter()
            .map(|(device, host, hopeless)| format!("{device} on {host}: {}", hopeless.why));
        let mut reasons: Vec<String> = reasons.take(DEVICES_TOLD).collect();
        if let Some(more) = places.len().checked_sub(DEVICES_TOLD).filter(|it| *it > 0) {
            reasons.push(format!("and {more} more devices"));
        }
        Some(Hopeless {
            why: format!("no device is left to measure it: {}", reasons.join("; ")),
            is_awaited,
        })
    }

    /// Why nobody will measure on a device before a person does something about it: its agent was removed, or it is cordoned and no other one has it.
    /// Agents that are lost do not count, unless there are only such: they may come back.
    fn hopeless(&self, device: &str) -> Option<Hopeless> {
        let lane = self.lanes.get(device)?;
        if lane.claimants.is_empty() {
            let gone = lane.gone.as_ref()?;
            let Cause::Removed { replaced } = gone.cause else {
                return None;
            };
            return Some(Hopeless {
                why: format!("{}, and no other agent offers it", gone.explain(device)),
                is_awaited: replaced,
            });
        }
        let mut here = lane
            .claimants
            .iter()
            .filter(|id| self.agents.get(id).is_some_and(|agent| !agent.lost));
        let first = *here.next()?;
        let restriction = self.restrictions.get(&first);
        let cordon = restriction.and_then(|restriction| restriction.cordon.as_ref())?;
        if here.any(|id| !self.is_cordoned(*id)) {
            return None;
        }
        let host = &self.agents.get(&first)?.host.hostname;
        Some(Hopeless {
            why: format!("the agent on {host} is cordoned: it fails at everything ({cordon})"),
            is_awaited: false,
        })
    }
}
