//! Sweeps: what a person asks to be measured.

use std::time::Duration;

use super::{
    BatchSizes, Dtype, InvalidField, Mode, Scheduling,
    convert::{at_most, finite, name, nanos, optional_text, parsed, present},
};
use crate::{limits, wire, workload::WorkloadSpec};

/// How the planner spends the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Measures where the verdict can still change.
    Adaptive,
    /// Measures every batch size alike.
    Dense,
}

/// Order of the visits within a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisitOrder {
    /// A fresh seeded permutation each round, with reference visits.
    Random,
    /// One ascending pass without reference visits, all blocks of a batch size in a row, as a plain loop has it: shows what the default is worth.
    Ascending,
}

/// Which devices a sweep runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceSelector {
    /// GPUs where a host has some, else its processors.
    All,
    /// The processors of every host.
    Cpu,
    /// Every GPU.
    Gpu,
    /// These, by id.
    Listed(Vec<String>),
}

/// A workload over batch sizes over devices.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepSpec {
    /// One series each per device.
    pub workloads: Vec<WorkloadSpec>,
    /// The grid.
    pub batch_sizes: BatchSizes,
    /// What one iteration does.
    pub mode: Mode,
    /// Arithmetic.
    pub dtype: Dtype,
    /// CPU threads; `None`: all physical cores of the host.
    pub threads: Option<u32>,
    /// How the budget is spent.
    pub strategy: Strategy,
    /// Measuring time per device and workload.
    pub budget: Duration,
    /// Wanted relative standard error of each batch size's median.
    pub precision: f64,
    /// Iterations of every block, instead of a block length.
    pub iterations: Option<u32>,
    /// Seeds weights, data and the order of visits.
    pub seed: u64,
    /// Where it runs.
    pub devices: DeviceSelector,
    /// Name of the preset it came from.
    pub preset: Option<String>,
    /// Order of the visits within a round.
    pub visit_order: VisitOrder,
    /// When and beside whom it runs.
    pub scheduling: Scheduling,
}

impl TryFrom<wire::DeviceSelector> for DeviceSelector {
    type Error = InvalidField;

    fn try_from(selector: wire::DeviceSelector) -> Result<Self, InvalidField> {
        use wire::device_selector::Scope;
        match Scope::try_from(selector.scope) {
            Ok(Scope::All) => Ok(Self::All),
            Ok(Scope::Cpu) => Ok(Self::Cpu),
            Ok(Scope::Gpu) => Ok(Self::Gpu),
            Ok(Scope::Listed) if selector.device_ids.is_empty() => {
                Err(InvalidField::new("spec.devices", "lists no device"))
            }
            Ok(Scope::Listed) => at_most("spec.devices", selector.device_ids, 4096)?
                .into_iter()
                .map(|id| name("spec.devices", id))
                .collect::<Result<_, _>>()
                .map(Self::Listed),
            _ => Err(InvalidField::new(
                "spec.devices",
                format!("{} is not a scope", selector.scope),
            )),
        }
    }
}

impl From<DeviceSelector> for wire::DeviceSelector {
    fn from(selector: DeviceSelector) -> Self {
        use wire::device_selector::Scope;
        let (scope, device_ids) = match selector {
            DeviceSelector::All => (Scope::All, Vec::new()),
            DeviceSelector::Cpu => (Scope::Cpu, Vec::new()),
            DeviceSelector::Gpu => (Scope::Gpu, Vec::new()),
            DeviceSelector::Listed(ids) => (Scope::Listed, ids),
        };
        Self {
            scope: scope as i32,
            device_ids,
        }
    }
}

impl TryFrom<wire::SweepSpec> for SweepSpec {
    type Error = InvalidField;

    fn try_from(spec: wire::SweepSpec) -> Result<Self, InvalidField> {
        let workloads: Vec<WorkloadSpec> = at_most(
            "spec.workloads",
            spec.workloads,
            limits::WORKLOADS_PER_SWEEP,
        )?
        .iter()
        .map(|text| parsed("spec.workloads", text))
        .collect::<Result<_, _>>()?;
        if workloads.is_empty() {
            return Err(InvalidField::new("spec.workloads", "is empty"));
        }
        if let Some(twice) = workloads
            .iter()
            .enumerate()
            .find_map(|(n, workload)| workloads[..n].contains(workload).then_some(workload))
        {
            return Err(InvalidField::new(
                "spec.workloads",
                format!("{twice} is listed twice"),
            ));
        }
        let precision = finite("spec.precision", spec.precision)?;
        if !(precision > 0.0 && precision < 1.0) {
            return Err(InvalidField::new(
                "spec.precision",
                format!("{precision} is not between 0 and 1"),
            ));
        }
        if spec.budget_ns == 0 {
            return Err(InvalidField::new("spec.budget_ns", "is zero"));
        }
        if spec.iterations == Some(0) {
            return Err(InvalidField::new("spec.iterations", "is zero"));
        }
        if spec
            .threads
            .is_some_and(|threads| !(1..=limits::THREADS).contains(&threads))
        {
            return Err(InvalidField::new(
                "spec.threads",
                format!("is not between 1 and {}", limits::THREADS),
            ));
        }
        Ok(Self {
            workloads,
            batch_sizes: BatchSizes::from_list(spec.batch_sizes)
                .map_err(|error| InvalidField::new("spec.batch_sizes", error.to_string()))?,
            mode: Mode::from_wire("spec.mode", spec.mode)?,
            dtype: Dtype::from_wire("spec.dtype", spec.dtype)?,
            threads: spec.threads,
            strategy: match wire::Strategy::try_from(spec.strategy) {
                Ok(wire::Strategy::Adaptive) => Strategy::Adaptive,
                Ok(wire::Strategy::Dense) => Strategy::Dense,
                _ => {
                    return Err(InvalidField::new(
                        "spec.strategy",
                        format!("{} is not a strategy", spec.strategy),
                    ));
                }
            },
            budget: Duration::from_nanos(spec.budget_ns),
            precision,
            iterations: spec.iterations,
            seed: spec.seed,
            devices: present("spec.devices", spec.devices)?.try_into()?,
            preset: optional_text("spec.preset", spec.preset)?,
            visit_order: match wire::VisitOrder::try_from(spec.visit_order) {
                Ok(wire::VisitOrder::Random) => VisitOrder::Random,
                Ok(wire::VisitOrder::Ascending) => VisitOrder::Ascending,
                _ => {
                    return Err(InvalidField::new(
                        "spec.visit_order",
                        format!("{} is not an order", spec.visit_order),
                    ));
                }
            },
            scheduling: spec
                .scheduling
                .map(Scheduling::try_from)
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

impl From<SweepSpec> for wire::SweepSpec {
    fn from(spec: SweepSpec) -> Self {
        Self {
            workloads: spec
                .workloads
                .iter()
                .map(|workload| workload.labelled().to_string())
                .collect(),
            batch_sizes: spec.batch_sizes.into_list(),
            mode: spec.mode.to_wire(),
            dtype: spec.dtype.to_wire(),
            threads: spec.threads,
            strategy: match spec.strategy {
                Strategy::Adaptive => wire::Strategy::Adaptive,
                Strategy::Dense => wire::Strategy::Dense,
            } as i32,
            budget_ns: nanos(spec.budget),
            precision: spec.precision,
            iterations: spec.iterations,
            seed: spec.seed,
            devices: Some(spec.devices.into()),
            preset: spec.preset,
            visit_order: match spec.visit_order {
                VisitOrder::Random => wire::VisitOrder::Random,
                VisitOrder::Ascending => wire::VisitOrder::Ascending,
            } as i32,
            scheduling: (spec.scheduling != Scheduling::default()).then(|| spec.scheduling.into()),
        }
    }
}
