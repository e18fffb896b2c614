//! Devices that nobody can measure on: who had them last and what became of it, and the series that end with them. Asked by whoever explains why something
//! waits; told when an agent goes for good, or is cordoned.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::ids::{AgentId, SeriesId};

use super::{State, lanes::Turn};

/// Who offered a device last, and why it does not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Departure {
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

impl Departure {
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
        match lane.and_then(|lane| lane.departure.as_ref()) {
            Some(departure) => departure.explain(device),
            None => {
                format!("no agent with device {device} has connected since the coordinator started")
            }
        }
    }

    /// Devices whose last agent this one was, and nobody offers them.
    pub(super) fn left_by(&self, id: AgentId) -> BTreeSet<String> {
        let lanes = self.lanes.iter().filter(|(_, lane)| {
            let departure = lane.departure.as_ref();
            departure.is_some_and(|departure| departure.agent == id)
        });
        lanes.map(|(device, _)| device.clone()).collect()
    }

    /// Notes that an agent was removed where nobody offers its devices any more, and it did not itself when it was.
    pub(super) fn note_removal(&mut self, removed: &Departure, devices: &BTreeSet<String>) {
        for device in devices {
            let Some(lane) = self.lanes.get_mut(device) else {
                continue;
            };
            if !lane.claimants.is_empty() {
                continue;
            }
            match &mut lane.departure {
                Some(departure) if departure.agent == removed.agent => {
                    departure.cause = removed.cause;
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

    /// Why nobody can run a series on any of its devices; `None`: somebody can, or may be able to again.
    fn hopeless_series(&self, id: SeriesId) -> Option<Hopeless> {
        let series = self.series.get(&id)?;
        let devices = series.plan.devices().map(|device| self.hopeless(device));
        let devices: Vec<Hopeless> = devices.collect::<Option<_>>()?;
        let is_awaited = devices.iter().any(|device| device.is_awaited);
        let first = devices.into_iter().next()?;
        Some(Hopeless {
            is_awaited,
            ..first
        })
    }

    /// Why nobody will measure on a device before a person does something about it: its agent was removed, or it is cordoned and no other one has it.
    /// Agents that are lost do not count, unless there are only such: they may come back.
    fn hopeless(&self, device: &str) -> Option<Hopeless> {
        let lane = self.lanes.get(device)?;
        if lane.claimants.is_empty() {
            let departure = lane.departure.as_ref()?;
            let Cause::Removed { replaced } = departure.cause else {
                return None;
            };
            return Some(Hopeless {
                why: format!(
                    "{}, and no other agent offers it",
                    departure.explain(device)
                ),
                is_awaited: replaced,
            });
        }
        let mut here = lane
            .claimants
            .iter()
            .filter(|id| self.agents.get(id).is_some_and(|agent| !agent.lost));
        let first = *here.next()?;
        if !self.is_cordoned(first) || here.any(|id| !self.is_cordoned(*id)) {
            return None;
        }
        let host = &self.agents.get(&first)?.host.hostname;
        Some(Hopeless {
            why: format!("the agent on {host} is cordoned: it fails at everything"),
            is_awaited: false,
        })
    }
}
