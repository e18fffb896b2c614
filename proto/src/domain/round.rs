//! Rounds: ordered lists of visits for one device, the unit of assignment.

use std::time::Duration;

use super::{
    Dtype, InvalidField, Mode, RoundKind, VisitRole,
    convert::{at_most, batch_size, finite, name, nanos, parsed, present},
};
use crate::{
    ids::{RoundId, SeriesId, SweepId},
    limits, wire,
    workload::WorkloadSpec,
};

/// One block to time at one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Samples per iteration.
    pub batch_size: u32,
    /// Why it is made.
    pub role: VisitRole,
    /// Iterations of the block; `None`: the worker settles it by [`Timing`].
    pub iterations: Option<u32>,
}

/// How blocks are timed: the rules of the measurement protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Timing {
    /// Length a block should have.
    pub block_target: Duration,
    /// Least iterations of a block while it stays below `block_ceiling`; above it one iteration is a block.
    pub block_min_iterations: u32,
    /// Length above which a block shrinks to one iteration.
    pub block_ceiling: Duration,
    /// Warm-up iterations at a batch size's first visit in a worker process.
    pub first_visit_warm_up: u32,
    /// Warm-up iterations at later visits.
    pub later_visit_warm_up: u32,
    /// Least time spent warming the device on a reference batch it is not warm from.
    pub device_warm_up_min: Duration,
    /// Most time spent so; zero: no device warm-up.
    pub device_warm_up_max: Duration,
    /// Relative range of the last five reference blocks that ends the device warm-up.
    pub device_warm_up_drift: f64,
    /// An iteration above this ends an ascending probe; `None`: no limit.
    pub iteration_limit: Option<Duration>,
    /// Share of a GPU's memory, or of the available RAM, that a batch may take.
    pub memory_share: f64,
}

impl Timing {
    /// The protocol's values for a kind of device (`docs/guide/measurement.md`).
    #[must_use]
    pub fn protocol(cpu: bool) -> Self {
        Self {
            block_target: Duration::from_millis(100),
            block_min_iterations: 3,
            block_ceiling: Duration::from_secs(2),
            first_visit_warm_up: 3,
            later_visit_warm_up: 1,
            // A processor settles its clock within tenths of a second; what drifts more slowly is corrected by the reference. A GPU heats up.
            device_warm_up_min: if cpu {
                Duration::from_millis(300)
            } else {
                Duration::from_secs(10)
            },
            device_warm_up_max: if cpu {
                Duration::from_secs(1)
            } else {
                Duration::from_secs(120)
            },
            device_warm_up_drift: if cpu { 0.02 } else { 0.005 },
            iteration_limit: None,
            memory_share: if cpu { 0.5 } else { 0.9 },
        }
    }
}

/// An ordered list of visits for one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Round {
    /// Derived from series and index.
    pub id: RoundId,
    /// The series it belongs to.
    pub series: SeriesId,
    /// The sweep it belongs to.
    pub sweep: SweepId,
    /// The device it is for.
    pub device_id: String,
    /// Counts the rounds of a series from 0.
    pub index: u32,
    /// What it is for.
    pub kind: RoundKind,
    /// The network.
    pub workload: WorkloadSpec,
    /// What one iteration does.
    pub mode: Mode,
    /// Arithmetic.
    pub dtype: Dtype,
    /// CPU threads; `None` on GPUs.
    pub threads: Option<u32>,
    /// Seeds weights and data.
    pub seed: u64,
    /// The batch that warms the device up and shows drift.
    pub reference_batch_size: Option<u32>,
    /// In the order in which they are made.
    pub visits: Vec<Visit>,
    /// How blocks are timed.
    pub timing: Timing,
    /// After this the agent ends the round and reports what there is.
    pub time_limit: Duration,
    /// It starts only on a GPU that nobody else uses, and stops when somebody does.
    pub idle_only: bool,
}

impl TryFrom<wire::Visit> for Visit {
    type Error = InvalidField;

    fn try_from(visit: wire::Visit) -> Result<Self, InvalidField> {
        if visit.iterations == Some(0) {
            return Err(InvalidField::new("visit.iterations", "is zero"));
        }
        Ok(Self {
            batch_size: batch_size("visit.batch_size", visit.batch_size)?,
            role: VisitRole::from_wire("visit.role", visit.role)?,
            iterations: visit.iterations,
        })
    }
}

impl From<Visit> for wire::Visit {
    fn from(visit: Visit) -> Self {
        Self {
            batch_size: visit.batch_size,
            role: visit.role.to_wire(),
            iterations: visit.iterations,
        }
    }
}

impl TryFrom<wire::Timing> for Timing {
    type Error = InvalidField;

    fn try_from(timing: wire::Timing) -> Result<Self, InvalidField> {
        let share = finite("timing.memory_share", timing.memory_share)?;
        if !(0.0..=1.0).contains(&share) {
            return Err(InvalidField::new(
                "timing.memory_share",
                format!("{share} is not between 0 and 1"),
            ));
        }
        Ok(Self {
            block_target: Duration::from_nanos(timing.block_target_ns),
            block_min_iterations: timing.block_min_iterations.max(1),
            block_ceiling: Duration::from_nanos(timing.block_ceiling_ns),
            first_visit_warm_up: timing.first_visit_warm_up,
            later_visit_warm_up: timing.later_visit_warm_up,
            device_warm_up_min: Duration::from_nanos(timing.device_warm_up_min_ns),
            device_warm_up_max: Duration::from_nanos(timing.device_warm_up_max_ns),
            device_warm_up_drift: finite(
                "timing.device_warm_up_drift",
                timing.device_warm_up_drift,
            )?,
            iteration_limit: (timing.iteration_limit_ns > 0)
                .then(|| Duration::from_nanos(timing.iteration_limit_ns)),
            memory_share: share,
        })
    }
}

impl From<Timing> for wire::Timing {
    fn from(timing: Timing) -> Self {
        Self {
            block_target_ns: nanos(timing.block_target),
            block_min_iterations: timing.block_min_iterations,
            block_ceiling_ns: nanos(timing.block_ceiling),
            first_visit_warm_up: timing.first_visit_warm_up,
            later_visit_warm_up: timing.later_visit_warm_up,
            device_warm_up_min_ns: nanos(timing.device_warm_up_min),
            device_warm_up_max_ns: nanos(timing.device_warm_up_max),
            device_warm_up_drift: timing.device_warm_up_drift,
            iteration_limit_ns: timing.iteration_limit.map_or(0, nanos),
            memory_share: timing.memory_share,
        }
    }
}

impl TryFrom<wire::Round> for Round {
    type Error = InvalidField;

    fn try_from(round: wire::Round) -> Result<Self, InvalidField> {
        let visits = at_most("round.visits", round.visits, limits::VISITS_PER_ROUND)?;
        if visits.is_empty() {
            return Err(InvalidField::new("round.visits", "is empty"));
        }
        if round
            .threads
            .is_some_and(|threads| !(1..=limits::THREADS).contains(&threads))
        {
            return Err(InvalidField::new(
                "round.threads",
                format!("is not between 1 and {}", limits::THREADS),
            ));
        }
        Ok(Self {
            id: parsed("round.round_id", &round.round_id)?,
            series: parsed("round.series_id", &round.series_id)?,
            sweep: parsed("round.sweep_id", &round.sweep_id)?,
            device_id: name("round.device_id", round.device_id)?,
            index: round.index,
            kind: RoundKind::from_wire("round.kind", round.kind)?,
            workload: parsed("round.workload", &round.workload)?,
            mode: Mode::from_wire("round.mode", round.mode)?,
            dtype: Dtype::from_wire("round.dtype", round.dtype)?,
            threads: round.threads,
            seed: round.seed,
            reference_batch_size: round
                .reference_batch_size
                .map(|size| batch_size("round.reference_batch_size", size))
                .transpose()?,
            visits: visits
                .into_iter()
                .map(Visit::try_from)
                .collect::<Result<_, _>>()?,
            timing: present("round.timing", round.timing)?.try_into()?,
            time_limit: Duration::from_nanos(round.time_limit_ns),
            idle_only: round.idle_only,
        })
    }
}

impl From<Round> for wire::Round {
    fn from(round: Round) -> Self {
        Self {
            round_id: round.id.to_string(),
            series_id: round.series.to_string(),
            sweep_id: round.sweep.to_string(),
            device_id: round.device_id,
            index: round.index,
            kind: round.kind.to_wire(),
            workload: round.workload.labelled().to_string(),
            mode: round.mode.to_wire(),
            dtype: round.dtype.to_wire(),
            threads: round.threads,
            seed: round.seed,
            reference_batch_size: round.reference_batch_size,
            visits: round.visits.into_iter().map(Into::into).collect(),
            timing: Some(round.timing.into()),
            time_limit_ns: nanos(round.time_limit),
            idle_only: round.idle_only,
        }
    }
}
