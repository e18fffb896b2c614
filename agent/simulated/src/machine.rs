//! One simulated device with its clock and its worker: takes rounds, one at a time.

use std::time::Duration;

use batchstep_laws::{Moment, Random};
use batchstep_proto::domain::Round;

use crate::{Behaviour, Event, RoundInProgress, Step, Timings, worker::Worker};

/// A device on a virtual clock. What a worker has learned is kept between rounds and lost when it dies.
#[derive(Debug, Clone)]
pub struct Machine<T> {
    pub(crate) timings: T,
    pub(crate) behaviour: Behaviour,
    random: Random,
    /// Since the device was started.
    pub(crate) now: Duration,
    /// Visits begun so far.
    pub(crate) visits: u64,
    pub(crate) worker: Option<Worker>,
}

impl<T> Machine<T> {
    /// A device that has just been started.
    #[must_use]
    pub fn new(timings: T, behaviour: Behaviour, seed: u64) -> Self {
        Self {
            timings,
            behaviour,
            random: Random::named("simulated device", seed),
            now: Duration::ZERO,
            visits: 0,
            worker: None,
        }
    }

    /// Its clock: device time since it was started.
    #[must_use]
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// Lets device time pass in which nobody measures.
    pub fn idle(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    /// What is being changed beside its timings; a test may change it between rounds.
    pub const fn behaviour_mut(&mut self) -> &mut Behaviour {
        &mut self.behaviour
    }
}

impl<T: Timings> Machine<T> {
    /// Begins a round.
    pub fn begin<'a>(&'a mut self, round: &'a Round) -> RoundInProgress<'a, T> {
        RoundInProgress::new(self, round)
    }

    /// Runs a round to its end, at once; its last step is its [`Ending`](crate::Ending).
    pub fn run(&mut self, round: &Round) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut progress = self.begin(round);
        loop {
            let step = progress.step();
            let ended = matches!(step.event, Event::Ended(_));
            steps.push(step);
            if ended {
                return steps;
            }
        }
    }

    /// Scattered seconds per iteration of `iterations` that take `seconds` each undisturbed.
    pub(crate) fn scattered(&mut self, seconds: f64, iterations: u32) -> f64 {
        let moment = Moment::Seconds(self.now.as_secs_f64());
        let seconds = seconds * self.behaviour.slowdown(self.now);
        self.behaviour
            .scatter
            .block(&mut self.random, seconds, iterations, moment)
    }
}

/// A time from seconds: above zero, and bounded.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds)
        .unwrap_or(if seconds > 0.0 {
            Duration::MAX
        } else {
            Duration::ZERO
        })
        .max(Duration::from_nanos(1))
}
