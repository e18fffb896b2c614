//! An open NVML and what it has told so far.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_proto::{
    inventory::{
        Absent, Class, Gpu, Reading, Record, Scope,
        catalogue::{gpu, host},
    },
    limits,
};
use nvml_wrapper::{
    Nvml, cuda_driver_version_major, cuda_driver_version_minor,
    error::{NvmlError, nvml_sym, nvml_try},
};
use nvml_wrapper_sys::bindings::{NvmlLib, nvmlDevice_t};

use crate::{
    Fault, OpenError, Sample,
    ask::{Absences, Asker, Place},
    card, fault, guard, links, live, mig,
    places::Root,
    processes, sample,
};

/// Problems that are told of a host, and GPUs in a row that may be silent.
const PROBLEMS: usize = 16;

/// How much of the GPUs is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Everything.
    Full,
    /// Live fields and processes; everything else is as it was.
    Live,
}

/// What a reading found.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Versions of driver, NVML and CUDA: fields of the host.
    pub system: Record,
    /// The GPUs in NVML's order, then those that only the kernel driver still lists.
    pub gpus: Vec<Gpu>,
    /// What concerns no single GPU.
    pub problems: Vec<String>,
}

/// An open NVML. Dropping it unloads the library, so that the next one may be another version.
pub struct Session {
    nvml: Nvml,
    root: Root,
    absences: Absences,
    /// What each of NVML's numbers was at the last reading, with the slots of its MIG instances.
    known: BTreeMap<u32, Known>,
    /// Tells GPUs without UUID and serial number of different machines apart.
    machine: String,
    /// The PCI addresses of the driver's GPUs when the session was opened: NVML counts them once.
    bound: BTreeSet<String>,
}

struct Known {
    gpu: Gpu,
    /// By position in `gpu.instances`.
    slots: Vec<u32>,
    /// Problems of what lasts; those of live values are of the last look.
    problems: Vec<String>,
}

impl Session {
    /// Loads `libnvidia-ml.so.1` and starts it. `machine` names this machine, for GPUs that have no name of their own.
    ///
    /// # Errors
    /// When it is not there, or does not work with the kernel driver.
    pub fn open(root: Root, machine: &str) -> Result<Self, OpenError> {
        let bound = root.bound();
        let checked = Checked::open()?;
        let nvml = Nvml::init()?;
        drop(checked);
        Ok(Self {
            nvml,
            root,
            absences: Absences::default(),
            known: BTreeMap::new(),
            machine: machine.to_owned(),
            bound,
        })
    }

    /// Reads the GPUs. `seen` are the UUIDs of those that NVML has ever shown to this process, and grows: only such a one can be lost, while others that
    /// the kernel driver lists may belong to another container.
    ///
    /// # Errors
    /// When the session must be opened anew.
    pub fn survey(&mut self, depth: Depth, seen: &mut BTreeSet<String>) -> Result<Survey, Fault> {
        if self.root.bound() != self.bound {
            return Err(Fault::Changed);
        }
        let mut problems = Vec::new();
        let system = self.system(&mut problems)?;
        let limit = u32::try_from(limits::DEVICES_PER_AGENT).unwrap_or(u32::MAX);
        let count = match self.nvml.device_count() {
            Ok(count) if count > limit => {
                problems.push(format!(
                    "NVML tells of {count} GPUs; only the first {limit} are looked at"
                ));
                limit
            }
            Ok(count) => count,
            Err(error) if fault::ends_session(&error) => return Err(OpenError::from(error).into()),
            Err(error) => {
                let what = format!("it does not tell how many GPUs there are ({error})");
                return Err(OpenError::Other(what).into());
            }
        };
        let had = self.known.len();
        self.known.retain(|index, _| *index < count);
        // Others than before: everything is read.
        let depth = if had == count as usize {
            depth
        } else {
            Depth::Full
        };
        let mut answering = 0_u32;
        let mut last_error = None;
        for index in 0..count {
            let Err(error) = self.read(index, depth, &mut problems)? else {
                answering += 1;
                continue;
            };
            if fault::ends_session(&error) {
                return Err(OpenError::from(error).into());
            }
            match self.known.get_mut(&index) {
                Some(known) if fault::is_lost(&error) => {
                    // Its record says so itself.
                    lose(&mut known.gpu, Absent::Lost);
                    answering += 1;
                    continue;
                }
                // Who does not answer now may answer at the next look: only what is of the moment is not known.
                Some(known) => forget_the_moment(&mut known.gpu),
                None => {}
            }
            // A number of GPUs that makes no sense must not make as many problems.
            if problems.len() < PROBLEMS {
                problems.push(format!("GPU {index} cannot be asked: {error}"));
            } else if answering == 0 {
                break;
            }
            last_error = Some(error);
        }
        if answering == 0
            && let Some(error) = last_error.filter(|error| !fault::is_lost(error))
        {
            return Err(OpenError::Other(format!("no GPU can be asked ({error})")).into());
        }
        if depth == Depth::Full {
            self.relate();
        }
        let mut gpus: Vec<Gpu> = Vec::new();
        let mut uuids = BTreeSet::new();
        for (index, known) in &self.known {
            if !uuids.insert(known.gpu.uuid()) {
                let uuid = known.gpu.uuid();
                problems.push(format!(
                    "GPU {index} has the UUID {uuid} of another one and is left out"
                ));
                continue;
            }
            let mut gpu = known.gpu.clone();
            gpu.instances.retain(|instance| {
                let is_new = uuids.insert(instance.uuid());
                if !is_new {
                    problems.push(format!(
                        "a MIG instance of GPU {index} has the UUID {} of another device and is left out",
                        instance.uuid()
                    ));
                }
                is_new
            });
            gpus.push(gpu);
        }
        problems.truncate(limits::PROBLEMS);
        for listed in self.root.listed() {
            if seen.contains(&listed.uuid) && !uuids.contains(&listed.uuid) {
                let mut facts = Record::new(Scope::Gpu);
                facts.set(gpu::UUID, Ok(listed.uuid));
                facts.set(gpu::NAME, Ok(listed.name));
                facts.set(gpu::PCI_BUS_ID, Ok(listed.pci_bus_id));
                facts.set(gpu::TEMPERATURE_CELSIUS, Err(Absent::Lost));
                gpus.push(Gpu::new(facts));
            }
        }
        seen.extend(uuids);
        Ok(Survey {
            system,
            gpus,
            problems,
        })
    }

    /// Reads a few values of one device, by the UUID it had at the last survey.
    ///
    /// # Errors
    /// When the device is not known, is lost, or the session has ended.
    pub fn sample(&self, uuid: &str) -> Result<Sample, NvmlError> {
        let (index, slot) = self
            .known
            .iter()
            .find_map(|(index, known)| {
                if known.gpu.uuid() == uuid {
                    return Some((*index, None));
                }
                let mut instances = known.gpu.instances.iter().zip(&known.slots);
                let (_, slot) = instances.find(|(instance, _)| instance.uuid() == uuid)?;
                Some((*index, Some(*slot)))
            })
            .ok_or(NvmlError::NotFound)?;
        let whole = self.nvml.device_by_index(index)?;
        match slot {
            None => sample::read(&whole, &whole),
            Some(slot) => sample::read(&whole.mig_device_by_index(slot)?, &whole),
        }
    }

    /// Reads one GPU; the inner error is why NVML does not give it out.
    fn read(
        &mut self,
        index: u32,
        depth: Depth,
        problems: &mut Vec<String>,
    ) -> Result<Result<(), NvmlError>, Fault> {
        let device = match self.nvml.device_by_index(index) {
            Ok(device) => device,
            Err(error) => return Ok(Err(error)),
        };
        let place = Place { index, slot: None };
        // A MIG instance that came or went is noticed by a full reading only.
        let depth = match self.known.get(&index) {
            Some(known) if !known.gpu.is_lost() => depth,
            _ => Depth::Full,
        };
        if depth == Depth::Full {
            // A setting or a reset may have brought what was not supported, and another GPU may have this number.
            self.absences.forget(index);
        }
        let may_be_unified = self
            .known
            .get(&index)
            .and_then(|known| known.gpu.facts.get(gpu::MEMORY_UNIFIED));
        let mut asker = Asker::new(&self.nvml, &device, place, &mut self.absences);
        let mut instances = Vec::new();
        let mut links = Vec::new();
        if depth == Depth::Full {
            card::identity(&mut asker, &self.root);
            card::settings(&mut asker);
            card::health(&mut asker);
            links = links::links(&mut asker);
            instances = mig::instances(&mut asker, place, &self.root);
        }
        let lasting_problems = asker.problems.len();
        let may_be_unified = may_be_unified.unwrap_or_else(|| live::has_no_window(&asker.record));
        live::read(&mut asker, &self.root, may_be_unified);
        let processes = processes::read(&mut asker, &self.root);
        if depth == Depth::Live
            && let Some(known) = self.known.get_mut(&index)
        {
            mig::refresh(
                &mut asker,
                place,
                &self.root,
                &mut known.gpu.instances,
                &known.slots,
            );
        }
        if let Some(error) = asker.broken.take() {
            return Err(OpenError::from(error).into());
        }
        let lost = asker.lost;
        let mut gpu = asker.finish(processes);
        gpu.links = links;
        let mut slots = Vec::new();
        for (slot, instance) in instances {
            slots.push(slot);
            gpu.instances.push(instance);
        }
        match self.known.get_mut(&index) {
            Some(known) if lost => lose(&mut known.gpu, Absent::Lost),
            Some(known) if depth == Depth::Live => {
                known.gpu.facts.update(&gpu.facts);
                known.gpu.processes = gpu.processes;
                known.gpu.problems.clone_from(&known.problems);
                known.gpu.problems.extend(gpu.problems);
            }
            before => match name(&mut gpu, before.map(|known| &known.gpu), &self.machine) {
                true => {
                    if lost {
                        lose(&mut gpu, Absent::Lost);
                    }
                    let problems = gpu.problems[..lasting_problems].to_vec();
                    let known = Known {
                        gpu,
                        slots,
                        problems,
                    };
                    self.known.insert(index, known);
                }
                false => problems.push(format!(
                    "GPU {index} does not tell its UUID and is left out"
                )),
            },
        }
        Ok(Ok(()))
    }

    /// How the GPUs reach each other.
    fn relate(&mut self) {
        let nvml = &self.nvml;
        let handles: Vec<(u32, String, nvmlDevice_t)> = self
            .known
            .iter()
            .filter(|(_, known)| !known.gpu.is_lost())
            .filter_map(|(index, known)| {
                // SAFETY: only passed to functions of the same library while the session lives.
                let handle = unsafe { nvml.device_by_index(*index).ok()?.handle() };
                Some((*index, known.gpu.uuid(), handle))
            })
            .collect();
        for (index, _, handle) in &handles {
            let others: Vec<(String, nvmlDevice_t)> = handles
                .iter()
                .filter(|(other, ..)| other != index)
                .map(|(_, uuid, handle)| (uuid.clone(), *handle))
                .collect();
            if let Some(known) = self.known.get_mut(index) {
                known.gpu.peers = links::peers(nvml.lib(), *handle, &others);
            }
        }
    }

    /// Versions of what the host has for its GPUs.
    fn system(&self, problems: &mut Vec<String>) -> Result<Record, Fault> {
        let lib = self.nvml.lib();
        let mut record = Record::new(Scope::Host);
        // SAFETY (both): the buffer is longer than the length that is passed.
        let driver = nvml_sym(lib.nvmlSystemGetDriverVersion.as_ref())
            .and_then(|function| guard::text(|text, length| unsafe { function(text, length) }));
        let library = nvml_sym(lib.nvmlSystemGetNVMLVersion.as_ref())
            .and_then(|function| guard::text(|text, length| unsafe { function(text, length) }));
        for (key, text) in [
            (host::DRIVER_VERSION, driver),
            (host::NVML_VERSION, library),
        ] {
            let reading = match text {
                Err(error) if fault::ends_session(&error) => {
                    return Err(OpenError::from(error).into());
                }
                Err(error) => Err(fault::reason(&error)),
                Ok(found) => {
                    problems.extend(found.flaw(key.field()));
                    if found.text.is_empty() {
                        Err(Absent::Unknown)
                    } else {
                        Ok(found.text)
                    }
                }
            };
            record.set(key, reading);
        }
        let cuda: Reading<String> = self
            .nvml
            .sys_cuda_driver_version()
            .map_err(|error| fault::reason(&error))
            .and_then(|version| {
                if version < 1000 {
                    problems.push(format!("cuda_driver_version: {version} is none"));
                    return Err(Absent::Unknown);
                }
                let (major, minor) = (
                    cuda_driver_version_major(version),
                    cuda_driver_version_minor(version),
                );
                Ok(format!("{major}.{minor}"))
            });
        record.set(host::CUDA_DRIVER_VERSION, cuda);
        Ok(record)
    }
}

/// A library whose driver version has an end: the wrapper reads it while it starts, and reads on where it has none. NVML counts its starts, and stays
/// started as long as this lives: the wrapper's own start then finds every GPU awake.
struct Checked(NvmlLib);

impl Checked {
    fn open() -> Result<Option<Self>, OpenError> {
        // SAFETY: loading NVIDIA's library runs its initialisers, as the wrapper is about to do as well.
        let lib = unsafe { NvmlLib::new("libnvidia-ml.so.1") }
            .map_err(|error| OpenError::from(NvmlError::LibloadingError(error)))?;
        let (Ok(init), Ok(version)) = (&lib.nvmlInit_v2, &lib.nvmlSystemGetDriverVersion) else {
            // The wrapper tells what is missing.
            return Ok(None);
        };
        // SAFETY: `nvmlInit_v2` has no preconditions.
        nvml_try(unsafe { init() })?;
        // SAFETY: the buffer is longer than the length that is passed.
        let text = guard::text(|text, length| unsafe { version(text, length) });
        let checked = Self(lib);
        match text {
            Ok(text) if text.problem == Some(guard::ENDLESS) => Err(OpenError::Other(format!(
                "the driver's version {:?} has no end",
                text.text
            ))),
            _ => Ok(Some(checked)),
        }
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        if let Ok(shutdown) = &self.0.nvmlShutdown {
            // SAFETY: there was a start before.
            unsafe { shutdown() };
        }
    }
}

/// Makes sure that a GPU has a UUID: its own, that of the same slot at the last look where it could not be read now, or what stands for one where there
/// is none; false when there is nothing.
fn name(found: &mut Gpu, before: Option<&Gpu>, machine: &str) -> bool {
    let reason = match found.facts.reading(gpu::UUID.field()) {
        Some(Ok(_)) => return true,
        Some(Err(reason)) => *reason,
        None => Absent::Unknown,
    };
    let facts = &mut found.facts;
    let Some(address) = facts.get(gpu::PCI_BUS_ID) else {
        return false;
    };
    let same_slot = before.filter(|it| it.facts.get(gpu::PCI_BUS_ID).as_ref() == Some(&address));
    let uuid = match (same_slot, reason) {
        (Some(before), _) => before.uuid(),
        (None, Absent::NotSupported | Absent::SymbolMissing) => {
            let whose = facts.get(gpu::SERIAL).unwrap_or_else(|| machine.to_owned());
            format!("PCI-{address}-{whose}")
        }
        // It may tell at the next look.
        (None, _) => return false,
    };
    facts.set(gpu::UUID, Ok(uuid));
    true
}

/// What remains true of a GPU that does not answer any more: what it is.
fn lose(gpu: &mut Gpu, reason: Absent) {
    gpu.facts.lose(|field| field.class != Class::Fixed, reason);
    gpu.processes.clear();
    for instance in &mut gpu.instances {
        lose(instance, reason);
    }
}

/// What remains true of a GPU that could not be asked this time: everything that lasts.
fn forget_the_moment(gpu: &mut Gpu) {
    gpu.facts
        .lose(|field| field.class == Class::Live, Absent::Unknown);
    gpu.processes.clear();
    gpu.instances.iter_mut().for_each(forget_the_moment);
}
