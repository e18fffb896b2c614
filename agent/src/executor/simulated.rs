//! Rounds on simulated devices: plays what a `batchstep-simulated` machine says in real time, in accelerated time or at once, and ends it as the process
//! executor ends a worker. No process is started; nothing is measured.

use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};

use batchstep_proto::{
    domain::{AttemptOutcome, Round, WorkerFacts},
    wire,
};
use batchstep_simulated::{Ending, Event, Laws, Machine, Speed, Step};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task,
    time::{self, Instant},
};

use super::{Executor, Job, RoundEnding, RoundEvent, RoundTimes, Stop};

/// Device time after which an iteration that does not return is given up, once the round is to stop; the process executor sends its SIGTERM then.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// A device that exists only in this process.
struct Simulated {
    machine: Machine<Laws>,
    facts: WorkerFacts,
}

/// Runs rounds on machines.
pub struct SimulatedExecutor {
    speed: Speed,
    /// By device id. A lock is held while a round runs; there is never a second one that waits.
    devices: BTreeMap<String, Mutex<Simulated>>,
}

impl SimulatedExecutor {
    /// For these devices: their ids, machines, and what they tell of themselves.
    pub fn new(
        speed: Speed,
        devices: impl IntoIterator<Item = (String, Machine<Laws>, WorkerFacts)>,
    ) -> Self {
        Self {
            speed,
            devices: devices
                .into_iter()
                .map(|(id, machine, facts)| (id, Mutex::new(Simulated { machine, facts })))
                .collect(),
        }
    }
}

impl Executor for SimulatedExecutor {
    async fn execute(
        &self,
        job: Job,
        events: mpsc::UnboundedSender<RoundEvent>,
        stop: watch::Receiver<Stop>,
    ) -> RoundEnding {
        let Some(device) = self.devices.get(&job.device.id) else {
            let message = format!("there is no simulated device {}", job.device.id);
            return RoundEnding::new(AttemptOutcome::Refused, message);
        };
        let round = match Round::try_from(job.round) {
            Ok(round) => round,
            Err(invalid) => {
                let message = format!("the round cannot be read: {invalid}");
                return RoundEnding::new(AttemptOutcome::Broken, message);
            }
        };
        let mut device = device.lock().await;
        let Simulated { machine, facts } = &mut *device;
        let _ = events.send(RoundEvent::Ready(facts.clone().into()));
        let mut clock = Clock::start(self.speed, stop);
        let mut progress = machine.begin(&round);
        loop {
            let step = progress.step();
            if let Some(cut) = clock.pass(&step).await {
                return progress.stop(cut.spent, cut.killed, cut.reason).into();
            }
            match told(step.event) {
                ControlFlow::Break(ending) => return ending,
                ControlFlow::Continue(event) => {
                    if round.idle_only
                        && let Some(reason) = company(&event)
                    {
                        // As a worker is ended: the block that was disturbed is lost with it.
                        return progress.stop(Duration::ZERO, true, reason).into();
                    }
                    let _ = events.send(event);
                }
            }
        }
    }

    async fn shut_down(&self) {}
}

/// Why a round that is to run on an idle device makes room.
fn company(event: &RoundEvent) -> Option<String> {
    let RoundEvent::Block(block) = event else {
        return None;
    };
    (block.foreign_processes.unwrap_or(0) > 0).then(|| {
        "another process computes on the device; the round makes room and is tried again later"
            .to_owned()
    })
}

/// A step that is cut short.
struct Cut {
    /// Device time after the step began.
    spent: Duration,
    /// Whether the worker would have been killed.
    killed: bool,
    reason: String,
}

/// Device time as it passes, and the wish to stop.
struct Clock {
    speed: Speed,
    began: Instant,
    /// Device time of the steps so far.
    passed: Duration,
    stop: watch::Receiver<Stop>,
    /// Why the round ends with the step that comes next.
    leaving: Option<String>,
}

impl Clock {
    fn start(speed: Speed, mut stop: watch::Receiver<Stop>) -> Self {
        // A wish from before the first look counts too.
        stop.mark_changed();
        Self {
            speed,
            began: Instant::now(),
            passed: Duration::ZERO,
            stop,
            leaving: None,
        }
    }

    /// Waits until a step has passed; where it is cut short instead.
    async fn pass(&mut self, step: &Step) -> Option<Cut> {
        if let Some(reason) = self.leaving.take()
            && !matches!(step.event, Event::Ended(_))
        {
            return Some(Cut {
                spent: Duration::ZERO,
                killed: false,
                reason,
            });
        }
        let mut until = step.took;
        let mut leaving: Option<String> = None;
        loop {
            let due = reached(self.speed, self.began, self.passed.saturating_add(until));
            tokio::select! {
                biased;
                Ok(()) = self.stop.changed() => {
                    let wish = self.stop.borrow_and_update().clone();
                    let spent = self.spent().min(until);
                    match wish {
                        Stop::No => {}
                        Stop::AtOnce(reason) => return Some(Cut { spent, killed: true, reason }),
                        Stop::Gently(reason) if leaving.is_none() => {
                            until = end_of_iteration(step, spent);
                            leaving = Some(reason);
                        }
                        Stop::Gently(_) => {}
                    }
                }
                () = due => break,
            }
        }
        match leaving {
            Some(reason) if until < step.took => Some(Cut {
                spent: until,
                killed: step.iteration.is_none(),
                reason,
            }),
            leaving => {
                self.leaving = leaving;
                self.passed = self.passed.saturating_add(step.took);
                None
            }
        }
    }

    /// Device time since the running step began.
    fn spent(&self) -> Duration {
        let elapsed = self.began.elapsed();
        let device = match self.speed {
            Speed::Real => elapsed,
            Speed::Times(factor) => elapsed.mul_f64(factor),
            Speed::Instant => self.passed,
        };
        device.saturating_sub(self.passed)
    }
}

/// Resolves when so much device time has passed since `began`.
async fn reached(speed: Speed, began: Instant, device: Duration) {
    let real = match speed {
        Speed::Real => device,
        Speed::Times(factor) => device.div_f64(factor),
        // Others have their turn all the same: the agent's heartbeats run on this thread.
        Speed::Instant => return task::yield_now().await,
    };
    match began.checked_add(real) {
        Some(at) => time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// When a worker that is asked to stop `spent` after a step began does so: at the end of the running iteration, or by force where none returns.
fn end_of_iteration(step: &Step, spent: Duration) -> Duration {
    let end = match step.iteration.map(|iteration| iteration.as_nanos()) {
        Some(iteration @ 1..) => {
            let nanos = spent.as_nanos().div_ceil(iteration) * iteration;
            u64::try_from(nanos).map_or(Duration::MAX, Duration::from_nanos)
        }
        _ => spent.saturating_add(STOP_GRACE),
    };
    end.min(step.took)
}

/// What an event is to the agent: the ending breaks off.
fn told(event: Event) -> ControlFlow<RoundEnding, RoundEvent> {
    ControlFlow::Continue(match event {
        Event::Ended(ending) => return ControlFlow::Break(ending.into()),
        Event::Block(block) => RoundEvent::Block(block.into()),
        Event::Failure(failure) => RoundEvent::Failure(failure.into()),
        Event::Progress {
            visit,
            batch_size,
            phase,
        } => RoundEvent::Progress(wire::WorkerProgress {
            visit,
            batch_size,
            phase: wire::WorkerPhase::from(phase).into(),
        }),
    })
}

impl From<Ending> for RoundEnding {
    fn from(ending: Ending) -> Self {
        Self {
            outcome: ending.outcome,
            message: ending.message,
            times: Some(RoundTimes {
                measuring: ending.measuring,
                warm_up: ending.warm_up,
                elapsed: ending.elapsed,
            }),
        }
    }
}
