//! What a visit comes to: a timed block, or the reason why there is none.

use std::time::Duration;

use super::{
    InvalidField, VisitRole,
    convert::{batch_size, finite, nanos, text},
};
use crate::wire;

/// K iterations at one batch size between two device synchronisations.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Position of its visit in the round, from 0.
    pub visit: u32,
    /// Samples per iteration.
    pub batch_size: u32,
    /// Why the visit was made.
    pub role: VisitRole,
    /// Iterations timed, at least 1.
    pub iterations: u32,
    /// Wall time of the whole block, monotonic clock, above zero.
    pub elapsed: Duration,
    /// The same on the device's clock (CUDA events), where the host kept ahead of the device; else only what the device still had to do
    /// when the host was done, since the rest may have been waiting.
    pub device_elapsed: Option<Duration>,
    /// From the round's start to the block's.
    pub started_after: Duration,
    /// Iterations run before the clock started.
    pub warm_up_iterations: u32,
    /// Their time.
    pub warm_up: Duration,
    /// Processor time other processes used during the block, in cores.
    pub foreign_cores: Option<f64>,
    /// Highest memory in use at this batch size, bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// Watts.
    pub power_watts: Option<f64>,
    /// Megahertz.
    pub sm_clock_mhz: Option<f64>,
    /// NVML's clock event bits.
    pub throttle_reasons: Option<u64>,
    /// Foreign compute processes on the device.
    pub foreign_processes: Option<u32>,
}

/// Share by which the wall clock may exceed the device's time with work before the host is the one that is measured.
const HOST_BOUND_GAP: f64 = 0.05;

impl Block {
    /// Wall seconds per iteration, as timed.
    #[must_use]
    pub fn seconds_per_iteration(&self) -> f64 {
        self.elapsed.as_secs_f64() / f64::from(self.iterations)
    }

    /// True when the host set the pace: it was never ahead of the device, or the device waited for more than 5 % of the block. Such points
    /// hide steps.
    #[must_use]
    pub fn host_bound(&self) -> bool {
        self.device_elapsed.is_some_and(|device| {
            self.elapsed.as_secs_f64() > device.as_secs_f64() * (1.0 + HOST_BOUND_GAP)
        })
    }
}

/// Why a visit has no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VisitFailureKind {
    /// The device's allocator refused.
    OutOfMemory,
    /// Not tried: its extrapolated need, or that of the network alone, is above the allowed share of memory.
    MemoryLimit,
    /// One iteration takes longer than the round allows, there or at a smaller batch size on the way.
    TimeLimit,
    /// The workload failed at this batch size.
    Error,
}

impl VisitFailureKind {
    /// True when larger batch sizes will fail in the same way.
    #[must_use]
    pub const fn bounds_the_sweep(self) -> bool {
        !matches!(self, Self::Error)
    }

    const fn to_wire(self) -> i32 {
        use wire::visit_failure::Kind;
        (match self {
            Self::OutOfMemory => Kind::OutOfMemory,
            Self::MemoryLimit => Kind::MemoryLimit,
            Self::TimeLimit => Kind::TimeLimit,
            Self::Error => Kind::Error,
        }) as i32
    }

    fn from_wire(number: i32) -> Result<Self, InvalidField> {
        use wire::visit_failure::Kind;
        match Kind::try_from(number) {
            Ok(Kind::OutOfMemory) => Ok(Self::OutOfMemory),
            Ok(Kind::MemoryLimit) => Ok(Self::MemoryLimit),
            Ok(Kind::TimeLimit) => Ok(Self::TimeLimit),
            Ok(Kind::Error) => Ok(Self::Error),
            _ => Err(InvalidField::new(
                "failure.kind",
                format!("{number} is not a kind of failure"),
            )),
        }
    }
}

/// A visit that ended without a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VisitFailure {
    /// Position of the visit in the round, from 0.
    pub visit: u32,
    /// Samples per iteration.
    pub batch_size: u32,
    /// What kept it from being timed.
    pub kind: VisitFailureKind,
    /// The first line of the error, or the numbers behind a limit.
    pub message: String,
}

impl TryFrom<wire::Block> for Block {
    type Error = InvalidField;

    fn try_from(block: wire::Block) -> Result<Self, InvalidField> {
        if block.iterations == 0 {
            return Err(InvalidField::new("block.iterations", "is zero"));
        }
        if block.elapsed_ns == 0 {
            return Err(InvalidField::new("block.elapsed_ns", "is zero"));
        }
        let number =
            |field, value: Option<f64>| value.map(|value| finite(field, value)).transpose();
        Ok(Self {
            visit: block.visit,
            batch_size: batch_size("block.batch_size", block.batch_size)?,
            role: VisitRole::from_wire("block.role", block.role)?,
            iterations: block.iterations,
            elapsed: Duration::from_nanos(block.elapsed_ns),
            device_elapsed: block.device_ns.map(Duration::from_nanos),
            started_after: Duration::from_nanos(block.started_after_ns),
            warm_up_iterations: block.warm_up_iterations,
            warm_up: Duration::from_nanos(block.warm_up_ns),
            foreign_cores: number("block.foreign_cores", block.foreign_cores)?,
            peak_memory_bytes: block.peak_memory_bytes,
            temperature_celsius: number("block.temperature_celsius", block.temperature_celsius)?,
            power_watts: number("block.power_watts", block.power_watts)?,
            sm_clock_mhz: number("block.sm_clock_mhz", block.sm_clock_mhz)?,
            throttle_reasons: block.throttle_reasons,
            foreign_processes: block.foreign_processes,
        })
    }
}

impl From<Block> for wire::Block {
    fn from(block: Block) -> Self {
        Self {
            visit: block.visit,
            batch_size: block.batch_size,
            role: block.role.to_wire(),
            iterations: block.iterations,
            elapsed_ns: nanos(block.elapsed),
            device_ns: block.device_elapsed.map(nanos),
            started_after_ns: nanos(block.started_after),
            warm_up_iterations: block.warm_up_iterations,
            warm_up_ns: nanos(block.warm_up),
            foreign_cores: block.foreign_cores,
            peak_memory_bytes: block.peak_memory_bytes,
            temperature_celsius: block.temperature_celsius,
            power_watts: block.power_watts,
            sm_clock_mhz: block.sm_clock_mhz,
            throttle_reasons: block.throttle_reasons,
            foreign_processes: block.foreign_processes,
        }
    }
}

impl TryFrom<wire::VisitFailure> for VisitFailure {
    type Error = InvalidField;

    fn try_from(failure: wire::VisitFailure) -> Result<Self, InvalidField> {
        Ok(Self {
            visit: failure.visit,
            batch_size: batch_size("failure.batch_size", failure.batch_size)?,
            kind: VisitFailureKind::from_wire(failure.kind)?,
            message: text("failure.message", failure.message)?,
        })
    }
}

impl From<VisitFailure> for wire::VisitFailure {
    fn from(failure: VisitFailure) -> Self {
        Self {
            visit: failure.visit,
            batch_size: failure.batch_size,
            kind: failure.kind.to_wire(),
            message: failure.message,
        }
    }
}
