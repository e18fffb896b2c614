//! Sweeps that were over long ago: series of one round after the other whose times have a step of 8.

use std::time::Duration;

use batchstep_core::{
    fleet::{Disposition, Record, SeriesState, SeriesSummary, SweepState},
    sweep::SeriesPlan,
};
use batchstep_proto::{
    domain::{
        AttemptReport, BatchSizes, Block, DeviceKind, Round, Software, SweepSpec, Visit, VisitRole,
        WorkerFacts,
    },
    ids::{AgentId, AttemptId, RequestId, RoundId, SweepId},
};

use super::{block, plan, report, round, spec};

/// Rounds of a series: as many as an answer takes.
pub const ROUNDS: u32 = 5;
/// Batch sizes of a round, each visited once.
pub const BATCH_SIZES: u32 = 48;

/// A sweep of one series on each of some devices.
pub struct Past {
    pub sweep: SweepId,
    pub series: Vec<SeriesPlan>,
    /// All there is to commit of it.
    pub records: Vec<Record>,
}

impl Past {
    pub fn of(kind: DeviceKind, devices: &[&str]) -> Self {
        let sweep = SweepId::generate();
        let spec = SweepSpec {
            batch_sizes: BatchSizes::Listed((1..=BATCH_SIZES).collect()),
            ..spec()
        };
        let mut past = Self {
            sweep,
            series: Vec::new(),
            records: vec![Record::SweepSubmitted {
                sweep,
                request: RequestId::generate(),
                spec: spec.clone(),
            }],
        };
        for (ordinal, device) in (0..).zip(devices) {
            let mut plan = plan(sweep, device);
            plan.spec = spec.clone();
            plan.device.kind = kind;
            past.add(plan, ordinal);
        }
        past.records.push(Record::SweepEnded {
            sweep,
            state: SweepState::Done,
            message: "all series are over".to_owned(),
        });
        past
    }

    fn add(&mut self, plan: SeriesPlan, ordinal: u32) {
        self.records.push(Record::SeriesCreated {
            plan: plan.clone(),
            ordinal,
        });
        for index in 0..ROUNDS {
            let round = visits(&plan, index);
            let (agent, attempt) = (AgentId::generate(), AttemptId::of(round.id, 0));
            let mut digest = [0; 32];
            digest[..16].copy_from_slice(attempt.as_uuid().as_bytes());
            let report = measured(attempt, &round, ordinal);
            self.records.extend([
                Record::AttemptAssigned {
                    attempt,
                    number: 0,
                    agent,
                    round: round.clone(),
                },
                Record::Report {
                    agent,
                    digest,
                    disposition: Disposition::Accepted,
                    report,
                },
                Record::RoundEnded { round: round.id },
            ]);
        }
        self.records.push(Record::SeriesEnded {
            series: plan.id,
            state: SeriesState::Done,
            message: "every batch size is precise".to_owned(),
            summary: Some(SeriesSummary {
                rounds_done: ROUNDS,
                blocks: ROUNDS * BATCH_SIZES,
                measuring: Duration::from_secs(10),
            }),
        });
        self.series.push(plan);
    }
}

fn visits(plan: &SeriesPlan, index: u32) -> Round {
    Round {
        id: RoundId::of(plan.id, index),
        index,
        visits: (1..=BATCH_SIZES)
            .map(|batch_size| Visit {
                batch_size,
                role: VisitRole::Measure,
                iterations: Some(10),
            })
            .collect(),
        ..round(plan, index)
    }
}

/// A started group of eight samples takes a millisecond; the last digits differ from block to block and from device to device.
fn measured(attempt: AttemptId, round: &Round, device: u32) -> AttemptReport {
    let blocks = (0_u32..).zip(&round.visits).map(|(position, visit)| {
        let size = visit.batch_size;
        let wave = u64::from(size.div_ceil(8)) * 1_000_000;
        let noise = u64::from((position * 7919 + round.index * 104_729 + device * 31) % 9973);
        Block {
            batch_size: size,
            elapsed: Duration::from_nanos(10 * (500_000 + wave) + noise),
            foreign_cores: Some(0.0),
            throttle_reasons: Some(0),
            ..block(position, size)
        }
    });
    AttemptReport {
        blocks: blocks.collect(),
        facts: Some(WorkerFacts {
            software: Software {
                libtorch: Some("2.11.0".to_owned()),
                ..Software::default()
            },
            ..WorkerFacts::default()
        }),
        ..report(attempt, round, 0, true)
    }
}
