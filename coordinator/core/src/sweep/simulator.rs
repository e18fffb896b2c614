//! A device for tests of `sweep` and `steptable`: a simulated machine, and its series run to their ends.
//!
//! Only compiled for tests.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use batchstep_laws::Scatter;
use batchstep_proto::{
    domain::{
        BatchSizes, Device, DeviceKind, DeviceSelector, Dtype, Mode, Round, RoundKind, Scheduling,
        Software, Strategy, SweepSpec, VisitOrder, VisitRole, WorkerFacts,
    },
    ids::{SeriesId, SweepId},
};
use batchstep_simulated::{
    Behaviour, Contention, Event, Faults, Machine, Throttling, Timings, Window,
};

use super::{
    Ahead, History, Next, PoolDevice, RoundRecord, SeriesPlan, ahead, next, remaining, repeated,
};

/// A sweep of `linear` with everything at its default.
pub(crate) fn spec(batch_sizes: &str, budget_seconds: u64) -> SweepSpec {
    SweepSpec {
        workloads: vec!["linear".parse().unwrap()],
        batch_sizes: batch_sizes.parse::<BatchSizes>().unwrap(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: Some(1),
        strategy: Strategy::Dense,
        budget: Duration::from_secs(budget_seconds),
        precision: 0.003,
        iterations: None,
        seed: 7,
        devices: DeviceSelector::All,
        preset: None,
        visit_order: VisitOrder::Random,
        scheduling: Scheduling::default(),
    }
}

/// A series of `spec` on a simulated device of that name.
pub(crate) fn plan(spec: SweepSpec, device: &str) -> SeriesPlan {
    let sweep: SweepId = "0190d3a0-0000-7000-8000-000000000001".parse().unwrap();
    let workload = spec.workloads[0].clone();
    SeriesPlan {
        id: SeriesId::of(sweep, device, &workload.to_string()),
        sweep,
        threads: spec.threads,
        workload,
        spec,
        device: Device {
            id: device.to_owned(),
            kind: DeviceKind::Simulated,
            model: "Law".to_owned(),
            compute_units: Some(4),
            memory_bytes: None,
            mig_profile: None,
            compute_capability: None,
            driver: None,
            pci_device_id: None,
            ineligible: Vec::new(),
        },
        hostname: "here".to_owned(),
        others: Vec::new(),
        departed: BTreeMap::new(),
    }
}

/// 2 ms, and 1 ms for every `step` samples begun.
pub(crate) fn staircase(step: u32) -> impl Fn(u32) -> f64 {
    move |size| 2e-3 + 1e-3 * f64::from(size.div_ceil(step))
}

/// The device: a [`Machine`] whose disturbances a test sets one by one.
pub(crate) struct Simulator<'a> {
    pub law: Box<dyn Fn(u32) -> f64 + 'a>,
    /// Relative standard deviation of a block.
    pub noise: f64,
    /// Share of blocks that something else slows down.
    pub bursts: f64,
    /// Factor on the time at a moment in seconds.
    pub drift: Box<dyn Fn(f64) -> f64 + 'a>,
    pub out_of_memory_at: u32,
    pub crashes_at: BTreeSet<u32>,
    pub errors_at: BTreeSet<u32>,
    pub hangs_at: BTreeSet<u32>,
    /// Every so many visits the worker is killed from outside; 0: never.
    pub killed_every: u32,
    pub foreign_cores: Option<f64>,
    pub throttle_reasons: Option<u64>,
}

impl<'a> Simulator<'a> {
    pub(crate) fn new(law: impl Fn(u32) -> f64 + 'a) -> Self {
        Self {
            law: Box::new(law),
            noise: 0.001,
            bursts: 0.0,
            drift: Box::new(|_| 1.0),
            out_of_memory_at: u32::MAX,
            crashes_at: BTreeSet::new(),
            errors_at: BTreeSet::new(),
            hangs_at: BTreeSet::new(),
            killed_every: 0,
            foreign_cores: None,
            throttle_reasons: None,
        }
    }

    /// Started anew.
    fn machine(&self) -> Machine<impl Fn(u32, Duration) -> f64> {
        let behaviour = Behaviour {
            scatter: Scatter {
                bursts: self.bursts,
                ..Scatter::quiet(self.noise)
            },
            throttling: Vec::from_iter(self.throttle_reasons.map(|reasons| Throttling {
                window: Window::ALWAYS,
                slowdown: 1.0,
                reasons,
                sm_clock_mhz: None,
            })),
            contention: Vec::from_iter(self.foreign_cores.map(|foreign_cores| Contention {
                window: Window::ALWAYS,
                slowdown: 1.0,
                foreign_processes: 0,
                foreign_cores,
            })),
            faults: Faults {
                out_of_memory_at: Some(self.out_of_memory_at),
                errors_at: self.errors_at.clone(),
                crashes_at: self.crashes_at.clone(),
                hangs_at: self.hangs_at.clone(),
                killed_every: self.killed_every,
            },
            ..Behaviour::default()
        };
        let seconds = |size, now: Duration| (self.law)(size) * (self.drift)(now.as_secs_f64());
        Machine::new(seconds, behaviour, 1)
    }

    /// Runs a series to its end; panics when it never ends or a round breaks the rules every round keeps.
    pub(crate) fn run(&self, plan: &SeriesPlan) -> (History, Next) {
        let mut machine = self.machine();
        let mut history = History::default();
        for index in 0..2000 {
            match next(plan, &history) {
                Next::Round(round) => {
                    assert_eq!(round.index, index);
                    check(plan, &round);
                    history.rounds.push(executed(&mut machine, round));
                }
                end => return (history, end),
            }
        }
        panic!("the series did not end within 2000 rounds");
    }

    /// The same with a device that has the next round, where it can be known, before it reports the last one.
    pub(crate) fn run_ahead(&self, plan: &SeriesPlan) -> Prefetched {
        let mut machine = self.machine();
        let mut history = History::default();
        let mut waiting = VecDeque::new();
        let (mut foreseen, mut prefetched, mut questions) = (0_u32, 0, 0);
        for _ in 0..2000 {
            // As the fleet does.
            let goes_on = history.rounds.last().is_some_and(|last| {
                let left = foreseen.saturating_sub(last.round.index + 1);
                let is_foreseen = |round: &Round| round.index < foreseen;
                last.is_as_foreseen(left, remaining(plan, &history))
                    && waiting.front().is_some_and(is_foreseen)
            });
            if !goes_on {
                questions += 1;
                match next(plan, &history) {
                    // What waits is started before the planner has seen the last round; it is called back when nothing more is wanted.
                    Next::Round(round) => {
                        waiting.truncate(1);
                        foreseen = 0;
                        if waiting.is_empty() {
                            waiting.push_back(round);
                        }
                    }
                    end => {
                        return Prefetched {
                            history,
                            end,
                            prefetched,
                            questions,
                        };
                    }
                }
            }
            let Some(round) = waiting.pop_front() else {
                break;
            };
            check(plan, &round);
            if waiting.is_empty() {
                questions += 1;
                let open = RoundRecord::new(round.clone());
                if let Some(Ahead { round, further }) = ahead(plan, &history, &[&open]) {
                    let behind = round.index + 1..=round.index + further;
                    foreseen = if further > 0 {
                        behind.end() + 1
                    } else {
                        foreseen
                    };
                    let behind: Vec<_> =
                        behind.map(|index| repeated(plan, &round, index)).collect();
                    waiting.push_back(round);
                    waiting.extend(behind);
                }
            }
            prefetched += usize::from(!waiting.is_empty());
            history.rounds.push(executed(&mut machine, round));
        }
        panic!("the series did not end within 2000 rounds");
    }
}

/// What came of a series on a device that has its next round early.
pub(crate) struct Prefetched {
    pub history: History,
    pub end: Next,
    /// Rounds that waited for the one before.
    pub prefetched: usize,
    /// How often the planner was asked.
    pub questions: usize,
}

/// A series of `spec` that devices of these names share.
pub(crate) fn shared_plan(spec: SweepSpec, devices: &[&str]) -> SeriesPlan {
    let others = devices[1..].iter().map(|device| PoolDevice {
        device: plan(spec.clone(), device).device,
        hostname: format!("host of {device}"),
    });
    SeriesPlan {
        others: others.collect(),
        ..plan(spec.clone(), devices[0])
    }
}

/// Runs a shared series to its end on several devices that measure at the same time: whichever is free first has the next round, one that measured
/// nothing in its last one once all others are done with theirs. Also the seconds that this takes.
pub(crate) fn run_shared(devices: &[Simulator<'_>], plan: &SeriesPlan) -> (History, Next, f64) {
    let names: Vec<&str> = plan.devices().collect();
    let mut machines: Vec<_> = devices.iter().map(Simulator::machine).collect();
    let mut idle: BTreeSet<usize> = (0..devices.len()).collect();
    let mut paused: BTreeSet<usize> = BTreeSet::new();
    let mut history = History::default();
    // With the time at which each is over.
    let mut out: Vec<(f64, usize, RoundRecord)> = Vec::new();
    let mut now = 0.0;
    for _ in 0..2000 {
        let end = match next(plan, &history) {
            Next::Round(_) => None,
            end => Some(end),
        };
        let free = |idle: &BTreeSet<usize>, nothing_is_out: bool| {
            let well = idle.difference(&paused).next();
            well.or_else(|| idle.first().filter(|_| nothing_is_out))
                .copied()
        };
        while let (None, Some(device)) = (&end, free(&idle, out.is_empty())) {
            let mut open: Vec<&RoundRecord> = out.iter().map(|(_, _, record)| record).collect();
            open.sort_by_key(|record| record.round.index);
            let round = if open.is_empty() {
                match next(plan, &history) {
                    Next::Round(round) => Some(round),
                    _ => None,
                }
            } else {
                let open: Vec<RoundRecord> = open
                    .into_iter()
                    .map(|record| RoundRecord::new(record.round.clone()))
                    .collect();
                ahead(plan, &history, &open.iter().collect::<Vec<_>>()).map(|it| it.round)
            };
            let Some(mut round) = round else { break };
            check(plan, &round);
            names[device].clone_into(&mut round.device_id);
            let record = executed(&mut machines[device], round);
            out.push((now + record.elapsed.as_secs_f64(), device, record));
            idle.remove(&device);
        }
        let first = (0..out.len()).min_by(|&a, &b| out[a].0.total_cmp(&out[b].0));
        let Some(first) = first else {
            return (history, end.unwrap(), now);
        };
        let (time, device, record) = out.swap_remove(first);
        paused.remove(&device);
        if record.blocks.is_empty() {
            paused.insert(device);
        }
        (now, _) = (time, idle.insert(device));
        let rounds = &mut history.rounds;
        let at = rounds.partition_point(|other| other.round.index < record.round.index);
        rounds.insert(at, record);
    }
    panic!("the series did not end within 2000 rounds");
}

/// A round with what an agent would report of it.
fn executed(machine: &mut Machine<impl Timings>, round: Round) -> RoundRecord {
    let steps = machine.run(&round);
    let mut record = RoundRecord::new(round);
    record.facts = Some(WorkerFacts {
        software: Software {
            batchstep: Some("test".to_owned()),
            ..Software::default()
        },
        ..WorkerFacts::default()
    });
    for step in steps {
        match step.event {
            Event::Progress { .. } => {}
            Event::Block(block) => record.blocks.push(block),
            Event::Failure(failure) => record.failures.push(failure),
            Event::Ended(ending) => {
                record.outcomes.push((ending.outcome, ending.message));
                record.measuring = ending.measuring;
                record.warm_up = ending.warm_up;
                record.elapsed = ending.elapsed;
            }
        }
    }
    record
}

/// What holds for every round, whatever the history.
fn check(plan: &SeriesPlan, round: &Round) {
    assert!(!round.visits.is_empty());
    assert!(round.time_limit >= Duration::from_secs(60));
    if let BatchSizes::Listed(sizes) = &plan.spec.batch_sizes {
        assert!(
            round
                .visits
                .iter()
                .all(|visit| sizes.contains(&visit.batch_size))
        );
    }
    if round.kind == RoundKind::Probe {
        assert!(
            round
                .visits
                .windows(2)
                .all(|pair| pair[0].batch_size < pair[1].batch_size)
        );
        return;
    }
    let reference = |position: usize| round.visits[position].role == VisitRole::Reference;
    if plan.spec.visit_order == VisitOrder::Random {
        assert!(reference(0) && reference(round.visits.len() - 1));
        assert!(round.visits.windows(9).all(|window| {
            window
                .iter()
                .any(|visit| visit.role == VisitRole::Reference)
        }));
    } else {
        assert!((0..round.visits.len()).all(|position| !reference(position)));
    }
}
