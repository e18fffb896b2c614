//! One round on a machine, step by step: the worker's side of the measurement protocol (`batchstep-worker`'s `measure::round`), and the agent's time
//! limit. Every step computes what happens until the next event; the caller decides how long that is waited for.

mod visit;

use std::time::Duration;

use batchstep_proto::domain::{
    AttemptOutcome, Round, RoundKind, Visit, VisitFailure, VisitFailureKind, VisitRole,
};

use crate::{
    Ending, Event, Machine, Phase, Step, Timings,
    worker::{Miss, Worker},
};
use visit::Ready;

/// For a round that came without a limit; the agent's own.
const DEFAULT_TIME_LIMIT: Duration = Duration::from_secs(3600);
/// Between the start of a batch size that crashes and the worker's death.
const CRASH_TIME: Duration = Duration::from_millis(50);

/// A round that runs.
pub struct RoundInProgress<'a, T> {
    machine: &'a mut Machine<T>,
    round: &'a Round,
    began: Duration,
    limit: Duration,
    next: Next,
    bound: Option<Bound>,
    ended: Option<Ending>,
    /// Visits that have their block or their failure.
    done: usize,
    times: Times,
    /// The clock and the times when the last step began.
    before: (Duration, Times),
    /// The latest within the step that is being made.
    iteration: Option<Duration>,
}

/// Where time went so far.
#[derive(Debug, Clone, Copy, Default)]
struct Times {
    measuring: Duration,
    warm_up: Duration,
}

/// What comes next.
#[derive(Debug, Clone)]
enum Next {
    Begin,
    WarmDevice(u32),
    /// Every visit fails: the network alone is too large.
    Refuse(usize, String),
    Visit(usize),
    WarmUp(usize),
    Time(usize, Ready),
    Over,
}

/// A batch size that does not work, and so all above it.
#[derive(Debug, Clone)]
struct Bound {
    batch_size: u32,
    kind: VisitFailureKind,
    message: String,
}

impl<'a, T: Timings> RoundInProgress<'a, T> {
    pub(crate) fn new(machine: &'a mut Machine<T>, round: &'a Round) -> Self {
        if !machine
            .worker
            .as_ref()
            .is_some_and(|worker| worker.serves(round))
        {
            machine.worker = Some(Worker::new(round, machine.behaviour.memory.as_ref()));
        }
        let began = machine.now;
        Self {
            machine,
            round,
            began,
            limit: if round.time_limit.is_zero() {
                DEFAULT_TIME_LIMIT
            } else {
                round.time_limit
            },
            next: Next::Begin,
            bound: None,
            ended: None,
            done: 0,
            times: Times::default(),
            before: (began, Times::default()),
            iteration: None,
        }
    }

    /// The next step. After the ending it is the ending again.
    pub fn step(&mut self) -> Step {
        self.before = (self.machine.now, self.times);
        self.iteration = None;
        let place = self.place();
        let mut event = match &self.ended {
            Some(ending) => Event::Ended(ending.clone()),
            None => self.advance(&place),
        };
        if self.elapsed() > self.limit && self.ended.is_none() {
            event = Event::Ended(self.timed_out(&place));
        }
        match &event {
            Event::Block(_) | Event::Failure(_) => self.done += 1,
            Event::Ended(ending) => self.ended = Some(ending.clone()),
            Event::Progress { .. } => {}
        }
        Step {
            took: self.machine.now.saturating_sub(self.before.0),
            iteration: self.iteration,
            event,
        }
    }

    /// Ends the round within its last step, `spent` after that step began: what it was doing is lost. A worker that is `killed` loses all it has
    /// learned.
    pub fn stop(self, spent: Duration, killed: bool, reason: impl Into<String>) -> Ending {
        let (began, times) = self.before;
        self.machine.now = self.machine.now.min(began.saturating_add(spent));
        if killed {
            self.machine.worker = None;
        }
        Ending {
            outcome: AttemptOutcome::Stopped,
            message: reason.into(),
            measuring: times.measuring,
            warm_up: times.warm_up,
            elapsed: self.machine.now.saturating_sub(self.began),
        }
    }

    fn elapsed(&self) -> Duration {
        self.machine.now.saturating_sub(self.began)
    }

    fn ending(&self, outcome: AttemptOutcome, message: String) -> Ending {
        Ending {
            outcome,
            message,
            measuring: self.times.measuring,
            warm_up: self.times.warm_up,
            elapsed: self.elapsed(),
        }
    }

    /// "while timing batch size 24", for what ends a round from outside.
    fn place(&self) -> String {
        let (visit, doing) = match &self.next {
            Next::Time(visit, _) => (*visit, "timing"),
            Next::WarmUp(visit) => (*visit, "warming up"),
            Next::WarmDevice(reference) => {
                return format!(" while warming up batch size {reference}");
            }
            _ => return String::new(),
        };
        format!(
            " while {doing} batch size {}",
            self.round.visits[visit].batch_size
        )
    }

    /// The agent ends the worker when the round's time is up; what ran is lost.
    fn timed_out(&mut self, place: &str) -> Ending {
        self.machine.now = self.began.saturating_add(self.limit).max(self.before.0);
        self.times = self.before.1;
        self.machine.worker = None;
        let message = format!(
            "the round was over its time limit of {} s, with {} of {} visits done{place}",
            self.limit.as_secs(),
            self.done,
            self.round.visits.len()
        );
        self.ending(AttemptOutcome::TimedOut, message)
    }

    fn advance(&mut self, place: &str) -> Event {
        loop {
            match std::mem::replace(&mut self.next, Next::Over) {
                Next::Begin => {
                    if let Some(message) = self.network_would_not_fit() {
                        self.next = Next::Refuse(0, message);
                    } else if let Some(batch_size) = self.cold_reference() {
                        self.next = Next::WarmDevice(batch_size);
                        return progress(0, batch_size, Phase::DeviceWarmUp);
                    } else {
                        self.next = Next::Visit(0);
                    }
                }
                Next::WarmDevice(batch_size) => {
                    let reference = Visit {
                        batch_size,
                        role: VisitRole::Reference,
                        iterations: None,
                    };
                    // Whatever else is wrong with the reference batch, its own visit tells it.
                    if let Err(miss) = self.warm_device(batch_size)
                        && let Err(end) = self.judge(miss, reference, place)
                    {
                        return Event::Ended(end);
                    }
                    self.next = Next::Visit(0);
                }
                Next::Refuse(index, message) => {
                    if let Some(visit) = self.round.visits.get(index).copied() {
                        self.next = Next::Refuse(index + 1, message.clone());
                        return failure(index, visit, VisitFailureKind::MemoryLimit, message);
                    }
                }
                Next::Visit(index) => {
                    let Some(visit) = self.round.visits.get(index).copied() else {
                        continue;
                    };
                    if let Some(bound) = &self.bound
                        && bound.batch_size <= visit.batch_size
                    {
                        self.next = Next::Visit(index + 1);
                        return failure(index, visit, bound.kind, bound.message.clone());
                    }
                    self.next = Next::WarmUp(index);
                    return progress(index, visit.batch_size, Phase::WarmUp);
                }
                Next::WarmUp(index) => {
                    let visit = self.round.visits[index];
                    return match self.begin_visit(visit) {
                        Ok(ready) => {
                            self.next = Next::Time(index, ready);
                            progress(index, visit.batch_size, Phase::Timing)
                        }
                        Err(miss) => match self.judge(miss, visit, place) {
                            Ok(missed) => self.missed(index, visit, missed),
                            Err(end) => Event::Ended(end),
                        },
                    };
                }
                Next::Time(index, ready) => {
                    self.next = Next::Visit(index + 1);
                    return Event::Block(self.time(index, self.round.visits[index], ready));
                }
                Next::Over => {
                    return Event::Ended(self.ending(AttemptOutcome::Finished, String::new()));
                }
            }
        }
    }

    /// What a visit without a block comes to; the end of the round where the worker is gone with it.
    fn judge(&mut self, miss: Miss, visit: Visit, place: &str) -> Result<Bound, Ending> {
        let (batch_size, kind, message) = match miss {
            Miss::Died => return Err(self.died(place)),
            Miss::Hangs => {
                self.iteration = None;
                return Err(self.timed_out(place));
            }
            Miss::Failed { kind, message } => (visit.batch_size, kind, message),
            Miss::WouldNotFit(refused) => (
                refused.batch_size,
                VisitFailureKind::MemoryLimit,
                refused.to_string(),
            ),
            Miss::TooSlow {
                batch_size,
                fastest,
                limit,
            } => (
                batch_size,
                VisitFailureKind::TimeLimit,
                format!(
                    "one iteration at batch size {batch_size} takes {:.3} s, more than the {:.3} s allowed",
                    fastest.as_secs_f64(),
                    limit.as_secs_f64()
                ),
            ),
        };
        Ok(Bound {
            batch_size,
            kind,
            message,
        })
    }

    fn died(&mut self, place: &str) -> Ending {
        self.machine.now = self.machine.now.saturating_add(CRASH_TIME);
        self.machine.worker = None;
        let message = format!(
            "the simulated worker died to order{place}, {} of {} visits are kept",
            self.done,
            self.round.visits.len()
        );
        self.ending(AttemptOutcome::Broken, message)
    }

    /// A visit without a block: its failure, and what it means for the visits after it.
    fn missed(&mut self, index: usize, visit: Visit, missed: Bound) -> Event {
        let event = failure(index, visit, missed.kind, missed.message.clone());
        self.next = match (missed.kind.bounds_the_sweep(), self.round.kind) {
            (true, RoundKind::Probe) => Next::Over,
            _ => Next::Visit(index + 1),
        };
        if missed.kind.bounds_the_sweep() {
            self.bound = Some(missed);
        }
        event
    }
}

fn progress(visit: usize, batch_size: u32, phase: Phase) -> Event {
    Event::Progress {
        visit: number(visit),
        batch_size,
        phase,
    }
}

fn failure(index: usize, visit: Visit, kind: VisitFailureKind, message: String) -> Event {
    Event::Failure(VisitFailure {
        visit: number(index),
        batch_size: visit.batch_size,
        kind,
        message,
    })
}

/// A position in a round; far below the limit.
fn number(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
