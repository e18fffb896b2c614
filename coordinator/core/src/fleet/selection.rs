//! Which devices a sweep runs on, and with how many threads. Pure functions of what is asked and which devices are known.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_proto::domain::{Device, DeviceKind, DeviceSelector, Dtype, HostFacts, SweepSpec};

use super::{Refusal, views::shortened};

/// A device with its host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate<'a> {
    pub device: &'a Device,
    pub host: &'a HostFacts,
    /// Its agent fails at everything.
    pub cordoned: bool,
}

impl Candidate<'_> {
    /// Why no set of devices means this one: nothing will start on it until somebody mends something.
    pub fn left_out(&self) -> Option<&str> {
        if self.cordoned {
            return Some("its agent is cordoned");
        }
        let mut reasons = self.device.ineligible.iter();
        reasons
            .find(|reason| LASTING.contains(&reason.code.as_str()))
            .map(|reason| reason.message.as_str())
    }
}

/// Known devices by id.
pub(super) type Candidates<'a> = BTreeMap<&'a str, Candidate<'a>>;

/// Codes of reasons that stay until somebody changes the hardware or its software. A device with one of them is no part of a set of devices: a sweep of
/// all would never end. Listed by its id it is taken, and its series says what it waits for.
pub(super) const LASTING: [&str; 9] = [
    "no_uuid",
    "worker_broken",
    "mig_parent",
    "compute_capability",
    "driver_too_old",
    "cuda_unreachable",
    "cuda_not_visible",
    "row_remap_failed",
    "lost",
];

/// Why TF32 cannot be measured on a processor.
const TF32_NEEDS_CUDA: &str =
    "dtype tf32 needs the tensor cores of an NVIDIA GPU; for processors use f32, bf16 or f16";

/// The devices a sweep means among the known ones, by id; none: wait for one.
///
/// # Errors
/// When no device that could ever turn up would do, or a listed one is not known.
pub(super) fn select<'a>(
    spec: &SweepSpec,
    known: &Candidates<'a>,
) -> Result<Vec<Candidate<'a>>, Refusal> {
    let mut chosen = meant(&spec.devices, known)?;
    if !matches!(spec.devices, DeviceSelector::Listed(_)) {
        chosen.retain(|candidate| candidate.left_out().is_none());
    }
    if spec.dtype == Dtype::Tf32 {
        let is_cpu = |candidate: &Candidate<'_>| candidate.device.kind == DeviceKind::Cpu;
        let impossible = match &spec.devices {
            DeviceSelector::Cpu => true,
            DeviceSelector::Listed(_) => chosen.iter().any(is_cpu),
            // A GPU may still come, but then not as a surprise: a fleet of processors only is told at once.
            DeviceSelector::All => !chosen.is_empty() && chosen.iter().all(is_cpu),
            DeviceSelector::Gpu => false,
        };
        if impossible {
            return Err(Refusal::Invalid(TF32_NEEDS_CUDA.to_owned()));
        }
        chosen.retain(|candidate| !is_cpu(candidate));
    }
    if let Some(threads) = spec.threads {
        refuse_more_threads_than_cores(threads, &chosen)?;
    }
    Ok(chosen)
}

/// The known devices that a selector means, whether trials may start on them or not.
///
/// # Errors
/// When a listed one is not known.
pub(super) fn meant<'a>(
    selector: &DeviceSelector,
    known: &Candidates<'a>,
) -> Result<Vec<Candidate<'a>>, Refusal> {
    Ok(match selector {
        DeviceSelector::All => defaults(known),
        DeviceSelector::Cpu => of_kind(known, DeviceKind::Cpu),
        DeviceSelector::Gpu => of_kind(known, DeviceKind::Cuda),
        DeviceSelector::Listed(ids) => listed(ids, known)?,
    })
}

/// More threads than logical cores would time the scheduler of the host instead of the processor.
fn refuse_more_threads_than_cores(threads: u32, chosen: &[Candidate<'_>]) -> Result<(), Refusal> {
    let too_small = chosen
        .iter()
        .filter(|candidate| candidate.device.kind == DeviceKind::Cpu)
        .find_map(|candidate| {
            let cores = candidate
                .host
                .logical_cores
                .or(candidate.device.compute_units)?;
            (cores < threads).then_some((&candidate.device.id, cores))
        });
    too_small.map_or(Ok(()), |(device, cores)| {
        Err(Refusal::Invalid(format!(
            "threads is {threads}, and {device} has {cores} logical cores; ask for at most {cores} threads there"
        )))
    })
}

/// Threads of a series on this device: as asked, else all physical cores of its host.
pub(super) fn threads(spec: &SweepSpec, candidate: &Candidate<'_>) -> Option<u32> {
    (candidate.device.kind == DeviceKind::Cpu).then(|| {
        spec.threads
            .or(candidate.host.physical_cores)
            .or(candidate.host.logical_cores)
            .unwrap_or(1)
            .max(1)
    })
}

/// What `All` means: of each host everything but the processors, or those where there is nothing else. Simulated devices stand for real ones only
/// where no host has any.
fn defaults<'a>(known: &Candidates<'a>) -> Vec<Candidate<'a>> {
    let is_cpu = |candidate: &Candidate<'_>| candidate.device.kind == DeviceKind::Cpu;
    let is_real = |candidate: &&Candidate<'_>| candidate.device.kind != DeviceKind::Simulated;
    if !known.values().any(|candidate| is_real(&candidate)) {
        return known.values().copied().collect();
    }
    let equipped: BTreeSet<*const HostFacts> = known
        .values()
        .filter(is_real)
        .filter(|candidate| !is_cpu(candidate))
        .map(|candidate| std::ptr::from_ref(candidate.host))
        .collect();
    known
        .values()
        .filter(is_real)
        .filter(|candidate| {
            !is_cpu(candidate) || !equipped.contains(&std::ptr::from_ref(candidate.host))
        })
        .copied()
        .collect()
}

fn of_kind<'a>(known: &Candidates<'a>, kind: DeviceKind) -> Vec<Candidate<'a>> {
    known
        .values()
        .filter(|candidate| candidate.device.kind == kind)
        .copied()
        .collect()
}

fn listed<'a>(ids: &[String], known: &Candidates<'a>) -> Result<Vec<Candidate<'a>>, Refusal> {
    let mut chosen: BTreeMap<&str, Candidate<'a>> = BTreeMap::new();
    for id in ids {
        match known.get_key_value(id.as_str()) {
            Some((id, candidate)) => {
                chosen.insert(id, *candidate);
            }
            None if known.is_empty() => {
                return Err(Refusal::Invalid(format!(
                    "no device {id:?}: no agent is connected yet; start one with `batchstep-agent run`"
                )));
            }
            None => {
                let known: Vec<String> = known.keys().map(ToString::to_string).collect();
                return Err(Refusal::Invalid(format!(
                    "no device {id:?}; known: {}",
                    shortened(&known)
                )));
            }
        }
    }
    Ok(chosen.into_values().collect())
}
