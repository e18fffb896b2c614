//! What the simulated devices really did, as opposed to what the coordinator has on record of it. Written by the executors of all agents.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchstep_agent::executor::{Executor, Job, RoundEnding, RoundEvent, Stop};
use batchstep_proto::{domain::AttemptOutcome, ids::AttemptId, wire};
use tokio::sync::{mpsc, watch};

use crate::{chronicle::Chronicle, ledger::SharedLedger, system};

/// A block: visit, batch size, nanoseconds of all of it.
pub type Timed = (u32, u32, u64);

/// One execution of an attempt.
#[derive(Debug, Clone)]
pub struct Execution {
    pub device: String,
    /// What was timed, and when that was told.
    pub blocks: Vec<(Timed, Duration)>,
    /// Visits without a block.
    pub failures: Vec<u32>,
    /// When and how it ended; `None` while it runs and where its agent was killed.
    pub ended: Option<(Duration, AttemptOutcome)>,
    /// When its agent was killed, if it was.
    pub killed: Option<Duration>,
}

/// All executions, by attempt.
#[derive(Debug)]
pub struct Executions {
    chronicle: Arc<Chronicle>,
    ledger: SharedLedger,
    by_attempt: Mutex<BTreeMap<AttemptId, Execution>>,
}

impl Executions {
    /// None yet.
    pub fn new(chronicle: Arc<Chronicle>, ledger: SharedLedger) -> Self {
        Self {
            chronicle,
            ledger,
            by_attempt: Mutex::default(),
        }
    }

    /// All of them.
    pub fn all(&self) -> BTreeMap<AttemptId, Execution> {
        self.lock().clone()
    }

    fn begin(&self, job: &Job) -> Option<AttemptId> {
        let Ok(id) = job.attempt_id.parse::<AttemptId>() else {
            self.chronicle.violation(format_args!(
                "{:?} was executed, which is no id",
                job.attempt_id
            ));
            return None;
        };
        let device = job.device.id.clone();
        self.chronicle
            .note(format_args!("{device} begins attempt {id}"));
        {
            let ledger = self.ledger.lock();
            let attempt = ledger.attempts.get(&id);
            if !attempt.is_some_and(|attempt| attempt.accepted) {
                self.chronicle.violation(format_args!(
                    "attempt {id} began before its acceptance was on record"
                ));
            }
            if let Some(attempt) = attempt.filter(|attempt| ledger.must_rest(attempt.agent)) {
                self.chronicle.violation(format_args!(
                    "attempt {id} began at agent {}, which has connected since it was drained",
                    attempt.agent
                ));
            }
        }
        let mut executions = self.lock();
        let running = executions.iter().find(|(_, other)| {
            other.device == device && other.ended.is_none() && other.killed.is_none()
        });
        if let Some((other, _)) = running {
            self.chronicle.violation(format_args!(
                "attempts {other} and {id} run on {device} at a time"
            ));
        }
        let execution = Execution {
            device,
            blocks: Vec::new(),
            failures: Vec::new(),
            ended: None,
            killed: None,
        };
        if executions.insert(id, execution).is_some() {
            self.chronicle
                .violation(format_args!("attempt {id} was executed twice"));
        }
        Some(id)
    }

    fn happened(&self, id: AttemptId, event: &RoundEvent) {
        let mut executions = self.lock();
        let Some(execution) = executions.get_mut(&id) else {
            return;
        };
        match event {
            RoundEvent::Block(wire::Block {
                visit,
                batch_size,
                elapsed_ns,
                ..
            }) => {
                let timed = (*visit, *batch_size, *elapsed_ns);
                execution.blocks.push((timed, system::elapsed()));
            }
            RoundEvent::Failure(failure) => execution.failures.push(failure.visit),
            RoundEvent::Ready(_) | RoundEvent::Progress(_) => {}
        }
    }

    fn end(&self, id: AttemptId, outcome: Option<AttemptOutcome>) {
        let mut executions = self.lock();
        if let Some(execution) = executions.get_mut(&id) {
            let blocks = execution.blocks.len();
            match outcome {
                Some(outcome) => {
                    execution.ended = Some((system::elapsed(), outcome));
                    self.chronicle.note(format_args!(
                        "{} ends attempt {id}: {outcome:?} with {blocks} blocks",
                        execution.device
                    ));
                }
                None => {
                    execution.killed = Some(system::elapsed());
                    self.chronicle.note(format_args!(
                        "{} loses attempt {id} with {blocks} blocks",
                        execution.device
                    ));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AttemptId, Execution>> {
        self.by_attempt
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An agent's executor that writes down what it does.
pub struct Witnessed<E> {
    pub inner: E,
    pub executions: Arc<Executions>,
}

impl<E: Executor> Executor for Witnessed<E> {
    async fn execute(
        &self,
        job: Job,
        events: mpsc::UnboundedSender<RoundEvent>,
        stop: watch::Receiver<Stop>,
    ) -> RoundEnding {
        let mut witness = Witness {
            executions: Arc::clone(&self.executions),
            attempt: self.executions.begin(&job),
            outcome: None,
        };
        let (tap, mut tapped) = mpsc::unbounded_channel();
        let execution = self.inner.execute(job, tap, stop);
        tokio::pin!(execution);
        let ending = loop {
            tokio::select! {
                biased;
                Some(event) = tapped.recv() => witness.pass(event, &events),
                ending = &mut execution => break ending,
            }
        };
        while let Ok(event) = tapped.try_recv() {
            witness.pass(event, &events);
        }
        witness.outcome = Some(ending.outcome);
        ending
    }

    async fn shut_down(&self) {
        self.inner.shut_down().await;
    }
}

/// Ends the entry of an execution, also when its future is dropped with its agent.
struct Witness {
    executions: Arc<Executions>,
    attempt: Option<AttemptId>,
    outcome: Option<AttemptOutcome>,
}

impl Witness {
    fn pass(&self, event: RoundEvent, events: &mpsc::UnboundedSender<RoundEvent>) {
        if let Some(attempt) = self.attempt {
            self.executions.happened(attempt, &event);
        }
        let _ = events.send(event);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt {
            self.executions.end(attempt, self.outcome);
        }
    }
}
