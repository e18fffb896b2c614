//! The agents of the simulated worlds: what they hold, and what of it they begin, as the real one does.

use std::collections::BTreeMap;

use batchstep_proto::{
    domain::{Device, DeviceKind, Software, WorkerFacts},
    ids::{AgentId, AttemptId, BootId},
};

use super::fixtures::{Held, device, uuid};
use crate::fleet::{HeldState, SessionKey};

/// An agent that behaves: what it holds survives its connection and the coordinator.
pub struct Agent {
    pub id: AgentId,
    pub boot: BootId,
    pub devices: Vec<Device>,
    /// What it says its workers measure with.
    pub software: Option<Software>,
    /// What its workers tell when they measure.
    pub facts: Option<WorkerFacts>,
    pub draining: bool,
    pub session: Option<SessionKey>,
    pub closed: Option<bool>,
    pub held: BTreeMap<AttemptId, Held>,
    /// Attempts it was ever given.
    pub given: u64,
}

impl Agent {
    /// The `number`-th, with these devices, not connected. `CPU-..` are processors, `SIM-..` simulated, everything else GPUs.
    pub fn new(number: u64, devices: &[&str]) -> Self {
        let devices = devices.iter().map(|id| {
            let kind = match id.split('-').next() {
                Some("CPU") => DeviceKind::Cpu,
                Some("SIM") => DeviceKind::Simulated,
                _ => DeviceKind::Cuda,
            };
            device(id, kind)
        });
        Self {
            id: uuid(number),
            boot: uuid(number),
            devices: devices.collect(),
            software: None,
            facts: None,
            draining: false,
            session: None,
            closed: None,
            held: BTreeMap::new(),
            given: 0,
        }
    }

    /// Begins what may begin with a coordinator: one attempt for each device, in the order in which they came. Answers with what it has begun.
    pub fn begin(&mut self) -> Vec<AttemptId> {
        if self.session.is_none() {
            return Vec::new();
        }
        let mut begun = Vec::new();
        for id in self.waiting() {
            let device = self.held[&id].round.device_id.clone();
            let is_busy = self
                .held
                .values()
                .any(|held| held.round.device_id == device && held.state == HeldState::Running);
            if let Some(held) = self.held.get_mut(&id)
                && held.recorded
                && !is_busy
            {
                held.state = HeldState::Running;
                begun.push(id);
            }
        }
        begun
    }

    /// What it holds and has not begun, in the order in which it came.
    pub fn waiting(&self) -> Vec<AttemptId> {
        let held = self.held.iter();
        let mut waiting: Vec<(u64, AttemptId)> = held
            .filter(|(_, held)| held.state == HeldState::Accepted)
            .map(|(id, held)| (held.order, *id))
            .collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, id)| id).collect()
    }

    /// What it would act on next, if it does not just wait: it accepts before it measures, and measures in order. Of what `waits` nothing can be reported.
    pub fn acts_on(&self, waits: impl Fn(AttemptId) -> bool) -> Option<AttemptId> {
        self.held
            .iter()
            .filter(|(_, held)| held.state != HeldState::Accepted || !held.recorded)
            .filter(|(id, held)| held.state == HeldState::Accepted || !waits(**id))
            .min_by_key(|(_, held)| (held.state != HeldState::Accepted, held.order))
            .map(|(id, _)| *id)
    }
}
