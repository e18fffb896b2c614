//! A device that follows a law on a clock of its own.

use std::{collections::BTreeSet, time::Duration};

use batchstep_core::sweep::RoundRecord;
use batchstep_laws::{Draw, Moment, Random};
use batchstep_proto::domain::{
    AttemptOutcome, Block, Round, RoundKind, VisitFailure, VisitFailureKind, VisitRole,
};

pub struct Device<'a> {
    draw: &'a Draw,
    random: Random,
    now: f64,
    visited: BTreeSet<u32>,
    warm: Option<u32>,
}

impl<'a> Device<'a> {
    pub fn new(draw: &'a Draw, seed: u64) -> Self {
        Self {
            draw,
            random: Random::named("device", seed),
            now: 0.0,
            visited: BTreeSet::new(),
            warm: None,
        }
    }

    pub fn execute(&mut self, round: &Round) -> RoundRecord {
        let start = self.now;
        let mut record = RoundRecord::new(round.clone());
        let phase = self.random.uniform(0.0, std::f64::consts::TAU);
        if round.reference_batch_size != self.warm {
            self.warm = round.reference_batch_size;
            let warm = round.timing.device_warm_up_min;
            record.warm_up += warm;
            self.now += warm.as_secs_f64();
        }
        let count = round.visits.len() as f64;
        for (position, visit) in (0_u32..).zip(&round.visits) {
            let moment = if self.draw.scatter.drift_seconds > 0.0 {
                Moment::Seconds(self.now)
            } else {
                Moment::Round {
                    phase,
                    at: f64::from(position) / count,
                }
            };
            let seconds = self.draw.law.seconds(visit.batch_size);
            if let Some(limit) = round.timing.iteration_limit
                && seconds > limit.as_secs_f64()
            {
                self.now += 2.0 * seconds;
                record.warm_up += Duration::from_secs_f64(2.0 * seconds);
                record.failures.push(VisitFailure {
                    visit: position,
                    batch_size: visit.batch_size,
                    kind: VisitFailureKind::TimeLimit,
                    message: "too long".to_owned(),
                });
                if round.kind == RoundKind::Probe {
                    break;
                }
                continue;
            }
            let warm_ups = if self.visited.insert(visit.batch_size) {
                round.timing.first_visit_warm_up
            } else {
                round.timing.later_visit_warm_up
            };
            let iterations = visit.iterations.unwrap_or_else(|| {
                ((round.timing.block_target.as_secs_f64() / seconds).ceil() as u32).max(3)
            });
            let warm_up = seconds * f64::from(warm_ups);
            self.now += warm_up;
            let per = self
                .draw
                .scatter
                .block(&mut self.random, seconds, iterations, moment);
            let elapsed = per * f64::from(iterations);
            record.blocks.push(Block {
                visit: position,
                batch_size: visit.batch_size,
                role: visit.role,
                iterations,
                elapsed: Duration::from_secs_f64(elapsed),
                device_elapsed: None,
                started_after: Duration::from_secs_f64(self.now - start),
                warm_up_iterations: warm_ups,
                warm_up: Duration::from_secs_f64(warm_up),
                foreign_cores: None,
                peak_memory_bytes: None,
                temperature_celsius: None,
                power_watts: None,
                sm_clock_mhz: None,
                throttle_reasons: None,
                foreign_processes: None,
            });
            debug_assert!(visit.role != VisitRole::Probe || round.kind == RoundKind::Probe);
            record.measuring += Duration::from_secs_f64(elapsed);
            record.warm_up += Duration::from_secs_f64(warm_up);
            self.now += elapsed;
        }
        record
            .outcomes
            .push((AttemptOutcome::Finished, String::new()));
        record.elapsed = Duration::from_secs_f64(self.now - start);
        record
    }
}
