//! What runs on a GPU. One call with a buffer that is large enough from the start: asking for the number first races with processes that come,
//! and fails on some drivers.

use std::{fs, mem};

use batchstep_proto::inventory::{GpuProcess, Reading, catalogue::gpu};
use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper_sys::bindings::{
    NvmlLib, nvmlDevice_t, nvmlProcessInfo_v1_t, nvmlProcessInfo_v2_t,
    nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE as INSUFFICIENT_SIZE,
    nvmlReturn_enum_NVML_ERROR_NOT_FOUND as NOT_FOUND, nvmlReturn_t,
};

use crate::{ask::Asker, places::Root};

/// Processes on a GPU at most times.
const SLOTS: usize = 64;
/// More than any GPU has.
const MOST_SLOTS: usize = 1024;
/// "Not available", as memory in use.
const NOT_AVAILABLE: u64 = u64::MAX;

/// A process as NVML lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) pid: u32,
    used_memory_bytes: Option<u64>,
}

/// Which of NVML's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Compute,
    Graphics,
}

/// The processes that compute on a device, by the newest function that its driver has.
pub(crate) fn compute(lib: &NvmlLib, handle: nvmlDevice_t) -> Result<Vec<Listed>, NvmlError> {
    list(lib, handle, List::Compute)
}

fn list(lib: &NvmlLib, handle: nvmlDevice_t, which: List) -> Result<Vec<Listed>, NvmlError> {
    // SAFETY (all three): an all-zero structure of integers is valid; `count` says how many of them there are; NVML writes no more.
    let newest = match which {
        List::Compute => nvml_sym(lib.nvmlDeviceGetComputeRunningProcesses_v3.as_ref()),
        List::Graphics => nvml_sym(lib.nvmlDeviceGetGraphicsRunningProcesses_v3.as_ref()),
    }
    .and_then(|function| {
        fill::<nvmlProcessInfo_v2_t>(|count, slots| unsafe { function(handle, count, slots) })
    });
    if !is_missing(&newest) {
        return newest.map(|found| found.iter().map(Listed::from).collect());
    }
    let second = match which {
        List::Compute => nvml_sym(lib.nvmlDeviceGetComputeRunningProcesses_v2.as_ref()),
        List::Graphics => nvml_sym(lib.nvmlDeviceGetGraphicsRunningProcesses_v2.as_ref()),
    }
    .and_then(|function| {
        fill::<nvmlProcessInfo_v2_t>(|count, slots| unsafe { function(handle, count, slots) })
    });
    if !is_missing(&second) {
        return second.map(|found| found.iter().map(Listed::from).collect());
    }
    let oldest = match which {
        List::Compute => nvml_sym(lib.nvmlDeviceGetComputeRunningProcesses.as_ref()),
        List::Graphics => nvml_sym(lib.nvmlDeviceGetGraphicsRunningProcesses.as_ref()),
    }
    .and_then(|function| {
        fill::<nvmlProcessInfo_v1_t>(|count, slots| unsafe { function(handle, count, slots) })
    });
    oldest.map(|found| found.iter().map(Listed::from).collect())
}

const fn is_missing<T>(result: &Result<T, NvmlError>) -> bool {
    matches!(
        result,
        Err(NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound)
    )
}

/// Calls with 64 slots, and once more with as many as NVML says there must be.
fn fill<T: Copy>(
    mut call: impl FnMut(*mut u32, *mut T) -> nvmlReturn_t,
) -> Result<Vec<T>, NvmlError> {
    let mut slots = SLOTS;
    loop {
        // SAFETY: `T` is one of NVML's process structures: integers only.
        let mut found: Vec<T> = vec![unsafe { mem::zeroed() }; slots];
        let mut count = u32::try_from(slots).unwrap_or(u32::MAX);
        let code = call(&raw mut count, found.as_mut_ptr());
        let told = usize::try_from(count).unwrap_or(usize::MAX);
        if code == INSUFFICIENT_SIZE && slots < MOST_SLOTS {
            slots = told.saturating_add(SLOTS).clamp(SLOTS * 2, MOST_SLOTS);
            continue;
        }
        if code == NOT_FOUND {
            return Ok(Vec::new());
        }
        nvml_try(code)?;
        // A driver that says more than it was given room for has not written more.
        found.truncate(told);
        return Ok(found);
    }
}

impl From<&nvmlProcessInfo_v2_t> for Listed {
    fn from(info: &nvmlProcessInfo_v2_t) -> Self {
        Self {
            pid: info.pid,
            used_memory_bytes: (info.usedGpuMemory != NOT_AVAILABLE).then_some(info.usedGpuMemory),
        }
    }
}

impl From<&nvmlProcessInfo_v1_t> for Listed {
    fn from(info: &nvmlProcessInfo_v1_t) -> Self {
        Self {
            pid: info.pid,
            used_memory_bytes: (info.usedGpuMemory != NOT_AVAILABLE).then_some(info.usedGpuMemory),
        }
    }
}

/// Reads both lists of a device; those that compute are counted in the record, too.
pub(crate) fn read(asker: &mut Asker<'_>, root: &Root) -> Vec<GpuProcess> {
    let (lib, handle) = (asker.lib(), asker.handle());
    let field = gpu::COMPUTE_PROCESSES;
    let compute: Reading<Vec<Listed>> =
        asker.attempt(field.field(), |_| self::compute(lib, handle));
    let count = compute
        .as_ref()
        .map(|found| found.len() as u64)
        .map_err(|reason| *reason);
    asker.record.set(field, count);
    // Not worth a problem of its own: who draws is no concern of a trial.
    let graphics = if asker.lost {
        Vec::new()
    } else {
        list(lib, handle, List::Graphics).unwrap_or_default()
    };
    let compute = compute.unwrap_or_default();
    let told = |kind: &'static str, process: &Listed| GpuProcess {
        pid: process.pid,
        kind: kind.to_owned(),
        name: name(root, process.pid),
        used_memory_bytes: process.used_memory_bytes,
        own: false,
    };
    let both = graphics
        .iter()
        .filter(|process| compute.iter().all(|other| other.pid != process.pid));
    compute
        .iter()
        .map(|process| told("compute", process))
        .chain(both.map(|process| told("graphics", process)))
        .take(batchstep_proto::limits::PROCESSES_PER_GPU)
        .collect()
}

/// The kernel's name of a process. In a container without the host's process ids there is none, or that of another process.
fn name(root: &Root, pid: u32) -> Option<String> {
    let bytes = fs::read(root.path(&format!("proc/{pid}/comm"))).ok()?;
    let name = String::from_utf8_lossy(&bytes).replace(char::is_control, "");
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> nvmlProcessInfo_v2_t {
        nvmlProcessInfo_v2_t {
            pid,
            usedGpuMemory: NOT_AVAILABLE,
            gpuInstanceId: u32::MAX,
            computeInstanceId: u32::MAX,
        }
    }

    #[test]
    fn a_list_that_grows_meanwhile_is_asked_again_and_an_absurd_one_is_cut() {
        let mut calls = 0;
        let grown = fill::<nvmlProcessInfo_v2_t>(|count, slots| {
            calls += 1;
            // SAFETY: `count` and as many slots are those of `fill`.
            unsafe {
                if *count < 100 {
                    *count = 100;
                    return INSUFFICIENT_SIZE;
                }
                *count = 100;
                for slot in 0..100 {
                    *slots.add(slot) = process(u32::try_from(slot).unwrap());
                }
            }
            0
        })
        .unwrap();
        assert_eq!((calls, grown.len(), grown[99].pid), (2, 100, 99));
        assert_eq!(Listed::from(&grown[5]).used_memory_bytes, None);

        let absurd = fill::<nvmlProcessInfo_v2_t>(|count, _| {
            // SAFETY: as above.
            unsafe { *count = u32::MAX };
            0
        })
        .unwrap();
        assert_eq!(absurd.len(), SLOTS);
        let endless = fill::<nvmlProcessInfo_v2_t>(|count, _| {
            // SAFETY: as above.
            unsafe { *count = u32::MAX };
            INSUFFICIENT_SIZE
        });
        assert!(matches!(endless, Err(NvmlError::InsufficientSize(_))));
    }
}
