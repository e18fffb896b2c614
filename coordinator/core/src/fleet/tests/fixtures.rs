//! The plan, the devices, the sweeps and the reports that tests share.

use std::time::Duration;

use batchstep_proto::{
    domain::{
        AttemptOutcome, AttemptReport, BatchSizes, Block, DailyWindow, Device, DeviceKind,
        DeviceSelector, Dtype, Mode, Round, RoundKind, Scheduling, Strategy, SweepSpec, Times,
        Timing, Visit, VisitOrder, VisitRole,
    },
    ids::{AttemptId, RoundId},
};

use crate::{
    fleet::{HeldState, Planner},
    sweep::{Ahead, Conclusion, ConclusionReason, History, Next, RoundRecord, SeriesPlan},
};

/// So many rounds of two visits; the batch sizes depend on what was measured, so that a wrong history shows in the plan.
#[derive(Clone, Copy)]
pub struct Script {
    pub rounds: usize,
    pub fails: bool,
    pub settles: bool,
}

impl Script {
    fn round(plan: &SeriesPlan, index: usize, blocks: usize) -> Round {
        let index = u32::try_from(index).unwrap();
        let visit = |batch_size| Visit {
            batch_size,
            role: VisitRole::Measure,
            iterations: None,
        };
        let first = u32::try_from(blocks).unwrap() + 1;
        Round {
            id: RoundId::of(plan.id, index),
            series: plan.id,
            sweep: plan.sweep,
            device_id: plan.device.id.clone(),
            index,
            kind: RoundKind::Measure,
            workload: plan.workload.clone(),
            mode: plan.spec.mode,
            dtype: plan.spec.dtype,
            threads: plan.threads,
            seed: 1,
            reference_batch_size: None,
            visits: vec![visit(first), visit(first + 100)],
            timing: Timing::protocol(true),
            time_limit: Duration::from_mins(1),
            idle_only: false,
        }
    }
}

fn blocks(history: &History) -> usize {
    history.rounds.iter().map(|round| round.blocks.len()).sum()
}

impl Planner for Script {
    fn next(&self, plan: &SeriesPlan, history: &History) -> Next {
        if self.fails {
            return Next::Failed("scripted".to_owned());
        }
        // Like the real planner it may have enough before its last round: a round of a single block is an answer.
        let is_certain = self.settles && blocks(history) % 2 == 1;
        if history.rounds.len() >= self.rounds || is_certain {
            return Next::Done(Conclusion {
                reason: ConclusionReason::BudgetSpent,
                message: "all rounds are in".to_owned(),
            });
        }
        Next::Round(Self::round(plan, history.rounds.len(), blocks(history)))
    }

    fn ahead(&self, plan: &SeriesPlan, history: &History, open: &[&RoundRecord]) -> Option<Ahead> {
        let index = history.rounds.len() + open.len();
        let expected = blocks(history) + 2 * open.len();
        if self.fails || index >= self.rounds {
            return None;
        }
        // Now and then it sees further.
        let further = (index % 4).min(self.rounds - index - 1);
        Some(Ahead {
            round: Self::round(plan, index, expected),
            further: u32::try_from(further).unwrap(),
        })
    }

    fn repeated(&self, plan: &SeriesPlan, round: &Round, index: u32) -> Round {
        let before = round.visits[0].batch_size - 1;
        let expected = before + 2 * (index - round.index);
        Self::round(plan, index as usize, expected as usize)
    }

    fn remaining(&self, _: &SeriesPlan, history: &History) -> Duration {
        // Like that of the real planner it follows every round, and every block.
        let left = self.rounds - history.rounds.len().min(self.rounds);
        Duration::from_secs(left as u64)
            .saturating_sub(Duration::from_nanos(blocks(history) as u64))
    }
}

pub fn uuid<T: std::str::FromStr<Err: std::fmt::Debug>>(number: u64) -> T {
    format!("00000000-0000-7000-8000-{number:012x}")
        .parse()
        .unwrap()
}

pub fn device(id: &str, kind: DeviceKind) -> Device {
    Device {
        id: id.to_owned(),
        kind,
        model: "a model".to_owned(),
        compute_units: None,
        memory_bytes: None,
        mig_profile: None,
        compute_capability: None,
        driver: None,
        pci_device_id: None,
        ineligible: Vec::new(),
    }
}

pub fn spec() -> SweepSpec {
    SweepSpec {
        workloads: vec!["linear".parse().unwrap()],
        batch_sizes: BatchSizes::Auto,
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
        strategy: Strategy::Adaptive,
        budget: Duration::from_mins(1),
        precision: 0.01,
        iterations: None,
        seed: 1,
        devices: DeviceSelector::All,
        preset: None,
        visit_order: VisitOrder::Random,
        scheduling: Scheduling::default(),
    }
}

/// One that devices of a model share.
pub fn shared() -> SweepSpec {
    let mut spec = spec();
    spec.scheduling.share_across_model = true;
    spec
}

/// From eight in the evening to six in the morning.
pub fn night() -> DailyWindow {
    let times: Times = "20:00-06:00".parse().unwrap();
    DailyWindow {
        from: times.from,
        to: times.to,
        time_zone: "UTC".to_owned(),
    }
}

/// An attempt at its agent.
pub struct Held {
    pub round: Round,
    pub state: HeldState,
    /// The coordinator has its acceptance on record.
    pub recorded: bool,
    /// Counts what an agent was given.
    pub order: u64,
    pub parts: u32,
    pub last: Option<AttemptReport>,
}

impl Held {
    pub fn is_over(&self) -> bool {
        self.state == HeldState::Spooled
    }
}

/// A part of a report; every block has its own length, so that it can be found again.
pub fn report(
    attempt: AttemptId,
    held: &mut Held,
    outcome: Option<AttemptOutcome>,
    blocks: usize,
    counter: &mut u64,
) -> AttemptReport {
    let part = held.parts;
    held.parts += 1;
    let blocks: Vec<Block> = held
        .round
        .visits
        .iter()
        .zip(0..)
        .skip(part as usize)
        .take(blocks)
        .map(|(visit, position)| {
            *counter += 1;
            Block {
                visit: position,
                batch_size: visit.batch_size,
                role: visit.role,
                iterations: 3,
                elapsed: Duration::from_nanos(*counter),
                device_elapsed: None,
                started_after: Duration::ZERO,
                warm_up_iterations: 0,
                warm_up: Duration::ZERO,
                foreign_cores: None,
                peak_memory_bytes: None,
                temperature_celsius: None,
                power_watts: None,
                sm_clock_mhz: None,
                throttle_reasons: None,
                foreign_processes: None,
            }
        })
        .collect();
    AttemptReport {
        attempt,
        round: held.round.id,
        part,
        outcome,
        message: outcome.map_or_else(String::new, |outcome| format!("{outcome:?}")),
        measuring: Duration::from_secs(blocks.len() as u64),
        blocks,
        failures: Vec::new(),
        facts: None,
        warm_up: Duration::ZERO,
        elapsed: Duration::from_secs(1),
    }
}
