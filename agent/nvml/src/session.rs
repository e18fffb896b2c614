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
    error::{NvmlError, nvml_sym},
};
use nvml_wrapper_sys::bindings::nvmlDevice_t;

use crate::{
    Fault, OpenError, Sample,
    ask::{Absences, Asker, Place},
    card, fault, guard, links, live, mig,
    places::Root,
    processes, sample,
};

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
    /// The PCI addresses of the driver's GPUs when the session was opened: NVML counts them once.
    bound: BTreeSet<String>,
}

struct Known {
    gpu: Gpu,
    /// By position in `gpu.instances`.
    slots: Vec<u32>,
}

impl Session {
    /// Loads `libnvidia-ml.so.1` and starts it.
    ///
    /// # Errors
    /// When it is not there, or does not work with the kernel driver.
    pub fn open(root: Root) -> Result<Self, OpenError> {
        let bound = root.bound();
        Ok(Self {
            nvml: Nvml::init()?,
            root,
            absences: Absences::default(),
            known: BTreeMap::new(),
            bound,
        })
    }

    /// Reads the GPUs.
    ///
    /// # Errors
    /// When the session must be opened anew.
    pub fn survey(&mut self, depth: Depth) -> Result<Survey, Fault> {
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
                problems.push(format!(
                    "NVML does not tell how many GPUs there are: {error}"
                ));
                u32::try_from(self.known.len()).unwrap_or(limit)
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
        let mut silent = 0_u32;
        for index in 0..count {
            match self.nvml.device_by_index(index) {
                Ok(_) => {
                    self.read(index, depth, &mut problems)?;
                    silent = 0;
                }
                Err(error) if fault::ends_session(&error) => {
                    return Err(OpenError::from(error).into());
                }
                Err(error) => {
                    silent += 1;
                    match self.known.get_mut(&index) {
                        Some(known) => lose(&mut known.gpu),
                        // A number of GPUs that makes no sense must not make as many problems.
                        None if silent <= 8 => {
                            problems.push(format!("GPU {index} cannot be asked: {error}"));
                        }
                        None => break,
                    }
                }
            }
        }
        if depth == Depth::Full {
            self.relate();
        }
        let mut gpus: Vec<Gpu> = Vec::new();
        for (index, known) in &self.known {
            let uuid = known.gpu.uuid();
            if gpus.iter().any(|other| other.uuid() == uuid) {
                problems.push(format!(
                    "GPU {index} has the UUID {uuid} of another one and is left out"
                ));
            } else {
                gpus.push(known.gpu.clone());
            }
        }
        for listed in self.root.listed() {
            if gpus.iter().all(|gpu| gpu.uuid() != listed.uuid) {
                let mut facts = Record::new(Scope::Gpu);
                facts.set(gpu::UUID, Ok(listed.uuid));
                facts.set(gpu::NAME, Ok(listed.name));
                facts.set(gpu::PCI_BUS_ID, Ok(listed.pci_bus_id));
                facts.set(gpu::TEMPERATURE_CELSIUS, Err(Absent::Lost));
                gpus.push(Gpu::new(facts));
            }
        }
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

    fn read(&mut self, index: u32, depth: Depth, problems: &mut Vec<String>) -> Result<(), Fault> {
        let Ok(device) = self.nvml.device_by_index(index) else {
            return Ok(());
        };
        let place = Place { index, slot: None };
        // A MIG instance that came or went is noticed by a full reading only.
        let depth = match self.known.get(&index) {
            Some(known) if !known.gpu.is_lost() => depth,
            _ => Depth::Full,
        };
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
        live::read(&mut asker, &self.root);
        let processes = processes::read(&mut asker, &self.root);
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
            Some(known) if lost => lose(&mut known.gpu),
            Some(known) if depth == Depth::Live => {
                known.gpu.facts.update(&gpu.facts);
                known.gpu.processes = gpu.processes;
            }
            _ => match name(&mut gpu) {
                true => {
                    if lost {
                        lose(&mut gpu);
                    }
                    self.known.insert(index, Known { gpu, slots });
                }
                false => problems.push(format!(
                    "GPU {index} tells neither UUID nor PCI address and is left out"
                )),
            },
        }
        Ok(())
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
                    if let Some(problem) = found.problem {
                        problems.push(format!("{}: {:?} {problem}", key.field().name, found.text));
                    }
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
            .map(|version| {
                let (major, minor) = (
                    cuda_driver_version_major(version),
                    cuda_driver_version_minor(version),
                );
                format!("{major}.{minor}")
            })
            .map_err(|error| fault::reason(&error));
        record.set(host::CUDA_DRIVER_VERSION, cuda);
        Ok(record)
    }
}

/// Makes sure that a GPU has a UUID, or what stands for one; false when there is nothing.
fn name(found: &mut Gpu) -> bool {
    if !found.uuid().is_empty() {
        return true;
    }
    let facts = &mut found.facts;
    let Some(address) = facts.get(gpu::PCI_BUS_ID) else {
        return false;
    };
    let stand_in = match facts.get(gpu::SERIAL) {
        Some(serial) => format!("PCI-{address}-{serial}"),
        None => format!("PCI-{address}"),
    };
    facts.set(gpu::UUID, Ok(stand_in));
    true
}

/// What remains true of a GPU that does not answer any more: what it is.
fn lose(gpu: &mut Gpu) {
    gpu.facts
        .lose(|field| field.class != Class::Fixed, Absent::Lost);
    gpu.processes.clear();
    for instance in &mut gpu.instances {
        lose(instance);
    }
}
