//! What happens on one device: one attempt runs, others wait behind it. Plain data; the supervisor acts on it.

use std::collections::VecDeque;

use batchstep_proto::{
    domain::Device,
    wire::{self, held_attempt::State},
    workload::ModelRef,
};
use tokio::{sync::watch, task};

use crate::{device::DeviceLock, executor::Stop};

/// A device and its attempts.
pub(super) struct Lane {
    pub(super) device: Device,
    /// Held while there is an attempt.
    pub(super) lock: Option<DeviceLock>,
    pub(super) running: Option<Running>,
    pub(super) waiting: VecDeque<Waiting>,
}

/// The attempt that has the device.
pub(super) struct Running {
    pub(super) attempt_id: String,
    pub(super) round_id: String,
    pub(super) task: task::Id,
    pub(super) stop: watch::Sender<Stop>,
}

/// An accepted attempt that has not started.
pub(super) struct Waiting {
    pub(super) attempt_id: String,
    pub(super) round: wire::Round,
    /// What it needs before it can start.
    pub(super) model: Option<ModelRef>,
    /// The coordinator has the acceptance on record.
    pub(super) recorded: bool,
}

impl Lane {
    pub(super) fn new(device: Device) -> Self {
        Self {
            device,
            lock: None,
            running: None,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    pub(super) fn holds(&self, attempt_id: &str) -> bool {
        self.runs(attempt_id).is_some()
            || self
                .waiting
                .iter()
                .any(|waiting| waiting.attempt_id == attempt_id)
    }

    pub(super) fn runs(&self, attempt_id: &str) -> Option<&Running> {
        self.running
            .as_ref()
            .filter(|running| running.attempt_id == attempt_id)
    }

    pub(super) fn waiting_mut(&mut self, attempt_id: &str) -> Option<&mut Waiting> {
        self.waiting
            .iter_mut()
            .find(|waiting| waiting.attempt_id == attempt_id)
    }

    pub(super) fn remove_waiting(&mut self, attempt_id: &str) -> Option<Waiting> {
        let position = self
            .waiting
            .iter()
            .position(|waiting| waiting.attempt_id == attempt_id)?;
        self.waiting.remove(position)
    }

    /// The next attempt to start, when the device is free and its acceptance is on record.
    pub(super) fn next(&mut self) -> Option<Waiting> {
        if self.running.is_some() {
            return None;
        }
        let position = self.waiting.iter().position(|waiting| waiting.recorded)?;
        self.waiting.remove(position)
    }

    /// For the hello.
    pub(super) fn held(&self) -> impl Iterator<Item = wire::HeldAttempt> {
        let held = |attempt_id: &String, state: State| wire::HeldAttempt {
            attempt_id: attempt_id.clone(),
            state: state as i32,
        };
        self.running
            .iter()
            .map(move |running| held(&running.attempt_id, State::Running))
            .chain(
                self.waiting
                    .iter()
                    .map(move |waiting| held(&waiting.attempt_id, State::Accepted)),
            )
    }
}
