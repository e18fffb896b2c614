//! Decides what runs when: takes assignments, starts rounds, stops them, and winds everything down at the end. One task owns all of it.
//!
//! It must never start a round whose acceptance is not on record, nor one while there is no coordinator.

mod assign;
mod devices;
mod lane;
mod pulse;
mod runner;
mod stop;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use batchstep_proto::{
    domain::{AttemptOutcome, Device},
    ids::{AgentId, BootId},
    version::SUPPORTED,
    wire::{
        self, agent_message::Message as Outgoing, attempt_verdict::Verdict,
        coordinator_message::Message as Incoming, held_attempt::State,
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::{Id, JoinError, JoinSet},
    time::{self, Instant},
};
use tracing::{error, info, warn};

use crate::{
    AgentError, Shutdown,
    config::Config,
    executor::{Executor, Job, Stop},
    inventory::Snapshot,
    models::Models,
    outbox::Outbox,
    session::LineEvent,
};
use lane::{Lane, Running};
use stop::unstarted;

/// Until the first welcome says otherwise.
const DEFAULT_OFFLINE_BUDGET: Duration = Duration::from_secs(15 * 60);

/// Owner of everything that runs.
pub(crate) struct Supervisor<E> {
    agent_id: AgentId,
    boot_id: BootId,
    config: Config,
    executor: Arc<E>,
    outbox: Arc<Outbox>,
    models: Arc<Models>,
    lanes: BTreeMap<String, Lane>,
    /// The devices as this connection's coordinator has been told them.
    told: BTreeMap<String, Device>,
    rounds: JoinSet<()>,
    progress: mpsc::UnboundedSender<wire::AttemptProgress>,
    progress_out: mpsc::UnboundedReceiver<wire::AttemptProgress>,
    coordinator: Option<mpsc::UnboundedSender<Outgoing>>,
    draining: watch::Sender<bool>,
    offline_budget: Duration,
    /// When running rounds are given up for lack of a coordinator.
    offline_until: Option<Instant>,
    /// When the winding down goes one step further.
    leave_by: Option<Instant>,
    shutdown: Shutdown,
}

impl<E: Executor> Supervisor<E> {
    pub(crate) fn new(
        agent_id: AgentId,
        config: Config,
        executor: Arc<E>,
        outbox: Arc<Outbox>,
        models: Arc<Models>,
        draining: watch::Sender<bool>,
    ) -> Self {
        let lanes = config
            .devices
            .iter()
            .map(|device| (device.id.clone(), Lane::new(device.clone())))
            .collect();
        let (progress, progress_out) = mpsc::unbounded_channel();
        Self {
            agent_id,
            boot_id: BootId::generate(),
            config,
            executor,
            outbox,
            models,
            lanes,
            told: BTreeMap::new(),
            rounds: JoinSet::new(),
            progress,
            progress_out,
            coordinator: None,
            draining,
            offline_budget: DEFAULT_OFFLINE_BUDGET,
            offline_until: None,
            leave_by: None,
            shutdown: Shutdown::No,
        }
    }

    /// Runs until the shutdown is complete or the coordinator rejects this agent. Final reports are in the outbox by then.
    pub(crate) async fn run(
        &mut self,
        mut line: mpsc::Receiver<LineEvent>,
        mut shutdown: watch::Receiver<Shutdown>,
    ) -> Result<(), AgentError> {
        let mut result = Ok(());
        let mut beats = pulse::beats(&self.config);
        shutdown.mark_changed();
        loop {
            if self.shutdown != Shutdown::No && self.is_idle() {
                return result;
            }
            tokio::select! {
                Some(event) = line.recv() => {
                    if let LineEvent::Rejected(reason) = event {
                        error!(reason, "The coordinator does not want this agent; it stops.");
                        result = Err(AgentError::Rejected { reason });
                        self.shut_down(Shutdown::Now, "the coordinator rejected this agent");
                    } else {
                        self.heard(event);
                    }
                }
                Some(ended) = self.rounds.join_next_with_id() => self.round_ended(ended),
                Some(progress) = self.progress_out.recv() => self.tell(Outgoing::Progress(progress)),
                Ok(()) = shutdown.changed() => {
                    let wanted = *shutdown.borrow_and_update();
                    self.shut_down(wanted, "the agent was stopped");
                }
                () = next_snapshot(&mut self.config.inventory) => self.looked(),
                () = pulse::next(&mut beats) => self.beat(),
                () = until(self.leave_by) => {
                    if self.shutdown == Shutdown::Now {
                        warn!("A worker did not end in time; the agent leaves without its last report.");
                        return result;
                    }
                    self.leave_by = None;
                    self.stop_running(|| Stop::Gently("the agent drained and its time was up".to_owned()));
                }
                () = until(self.offline_until) => {
                    self.offline_until = None;
                    self.stop_running(|| Stop::Gently("the coordinator was out of reach for too long".to_owned()));
                }
            }
            self.start_rounds();
        }
    }

    fn heard(&mut self, event: LineEvent) {
        match event {
            LineEvent::HelloWanted(answer) => {
                let _ = answer.send(self.hello());
            }
            LineEvent::Connected { welcome, outbound } => self.welcomed(welcome, outbound),
            LineEvent::Message(message) => self.told(*message),
            LineEvent::Disconnected => {
                self.coordinator = None;
                self.offline_until = Some(Instant::now() + self.offline_budget);
            }
            LineEvent::Rejected(_) => {}
        }
    }

    fn hello(&mut self) -> wire::AgentHello {
        self.told = self.devices();
        let mut held: Vec<wire::HeldAttempt> = self.lanes.values().flat_map(Lane::held).collect();
        let spooled = self.outbox.spooled(&held);
        held.extend(spooled.into_iter().map(|attempt_id| wire::HeldAttempt {
            attempt_id,
            state: State::Spooled as i32,
        }));
        held.truncate(batchstep_proto::limits::HELD_ATTEMPTS);
        wire::AgentHello {
            protocol_min: *SUPPORTED.start(),
            protocol_max: *SUPPORTED.end(),
            agent_id: self.agent_id.to_string(),
            boot_id: self.boot_id.to_string(),
            host: Some(self.config.host.clone().into()),
            devices: self.told.values().cloned().map(Into::into).collect(),
            held,
            draining: self.shutdown != Shutdown::No,
        }
    }

    fn welcomed(&mut self, welcome: wire::Welcome, outbound: mpsc::UnboundedSender<Outgoing>) {
        self.coordinator = Some(outbound);
        self.offline_until = None;
        self.tell_devices();
        if welcome.offline_budget_ns > 0 {
            self.offline_budget = Duration::from_nanos(welcome.offline_budget_ns);
        }
        for verdict in welcome.verdicts {
            match verdict.verdict() {
                Verdict::Stop => self.stop_attempt(
                    &verdict.attempt_id,
                    Stop::Gently(
                        "the coordinator does not want it from this agent any more".to_owned(),
                    ),
                ),
                Verdict::Keep => self.accept_again(&verdict.attempt_id),
                Verdict::Unspecified => {}
            }
        }
    }

    /// The acceptance may have been lost with the last connection.
    fn accept_again(&mut self, attempt_id: &str) {
        let unrecorded = self
            .lanes
            .values_mut()
            .filter_map(|lane| lane.waiting_mut(attempt_id))
            .any(|waiting| !waiting.recorded);
        if unrecorded {
            self.tell_accepted(attempt_id);
        }
    }

    fn told(&mut self, message: Incoming) {
        match message {
            Incoming::Assignment(assignment) => self.assigned(assignment),
            Incoming::Recorded(recorded) => {
                for lane in self.lanes.values_mut() {
                    if let Some(waiting) = lane.waiting_mut(&recorded.attempt_id) {
                        waiting.recorded = true;
                    }
                }
            }
            Incoming::Stop(stop) => {
                let reason = if stop.reason.is_empty() {
                    "the coordinator stopped it".to_owned()
                } else {
                    stop.reason
                };
                let wish = if stop.at_once {
                    Stop::AtOnce(reason)
                } else {
                    Stop::Gently(reason)
                };
                self.stop_attempt(&stop.attempt_id, wish);
            }
            Incoming::Drain(drain) => {
                info!(
                    reason = drain.reason,
                    "The coordinator gives this agent no more work: what runs is finished, what waits is given back."
                );
                self.give_back_waiting(&format!("the agent gets no more work: {}", drain.reason));
            }
            // The line deals with these itself.
            Incoming::Welcome(_) | Incoming::Closing(_) | Incoming::HeartbeatAck(_) => {}
        }
    }

    /// Starts what may start; gives back the locks of idle devices.
    fn start_rounds(&mut self) {
        let may_start = self.shutdown == Shutdown::No && self.coordinator.is_some();
        for lane in self.lanes.values_mut() {
            if may_start && let Some(next) = lane.next() {
                let (stop, stopped) = watch::channel(Stop::No);
                let round_id = next.round.round_id.clone();
                let job = Job {
                    attempt_id: next.attempt_id.clone(),
                    device: lane.device.clone(),
                    round: next.round,
                    model: None,
                };
                let surroundings = runner::Surroundings {
                    executor: Arc::clone(&self.executor),
                    outbox: Arc::clone(&self.outbox),
                    models: Arc::clone(&self.models),
                    wanted: next.model,
                    progress: self.progress.clone(),
                    part_interval: self.config.part_interval,
                };
                let task = self.rounds.spawn(runner::run(job, surroundings, stopped));
                lane.running = Some(Running {
                    attempt_id: next.attempt_id,
                    round_id,
                    task: task.id(),
                    stop,
                });
            }
            if lane.is_idle() {
                lane.lock = None;
            }
        }
    }

    fn round_ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let task = match &ended {
            Ok((task, ())) => *task,
            Err(error) => error.id(),
        };
        for lane in self.lanes.values_mut() {
            if let Some(running) = lane.running.take_if(|running| running.task == task)
                && let Err(error) = &ended
            {
                error!(attempt = running.attempt_id, error = %error, "The task of a round failed.");
                self.outbox.report(unstarted(
                    &running.attempt_id,
                    &running.round_id,
                    AttemptOutcome::Broken,
                    "the agent failed; see its log",
                ));
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.lanes.values().all(Lane::is_idle)
    }

    /// True when the shutdown is to be over within a second.
    pub(crate) fn is_urgent(&self) -> bool {
        self.shutdown == Shutdown::Now
    }

    fn tell_accepted(&self, attempt_id: &str) {
        self.tell(Outgoing::Accepted(wire::AttemptAccepted {
            attempt_id: attempt_id.to_owned(),
        }));
    }

    /// Without a coordinator the message is lost, as it may be.
    fn tell(&self, message: Outgoing) {
        if let Some(coordinator) = &self.coordinator {
            let _ = coordinator.send(message);
        }
    }
}

/// Resolves when the host was looked at again; never where nobody looks.
async fn next_snapshot(snapshots: &mut Option<watch::Receiver<Arc<Snapshot>>>) {
    if let Some(snapshots) = snapshots
        && snapshots.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
