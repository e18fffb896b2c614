//! What runs on a GPU. One call with a buffer that is large enough from the start: asking for the number first races with processes that come,
//! and fails on some drivers.

use std::fs;

use batchstep_proto::inventory::{GpuProcess, Reading, catalogue::gpu};
use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper_sys::bindings::{
    NvmlLib, nvmlDevice_t, nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE as INSUFFICIENT_SIZE,
    nvmlReturn_enum_NVML_ERROR_NOT_FOUND as NOT_FOUND, nvmlReturn_t,
};

use crate::{
    ask::Asker,
    places::{self, Root},
};

/// Processes on a GPU at most times.
const SLOTS: usize = 64;
/// More than any GPU has.
const MOST_SLOTS: usize = 1024;
/// "Not available", as memory in use.
const NOT_AVAILABLE: u64 = u64::MAX;

/// The sizes of an item that drivers write, bytes: pid and memory; with the ids of a MIG instance; with protected memory behind those. Drivers of
/// branch 535 wrote the last one under a name that means the second, so the size is found out from what was written.
const STRIDES: [usize; 3] = [16, 24, 32];
/// What the buffer is filled with before the call. No process has this id: Linux ends at 2^22.
const UNTOUCHED: u8 = 0xa5;

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
    // SAFETY (all three): the buffer has room for `count` of the largest items that any driver writes.
    let newest = match which {
        List::Compute => nvml_sym(lib.nvmlDeviceGetComputeRunningProcesses_v3.as_ref()),
        List::Graphics => nvml_sym(lib.nvmlDeviceGetGraphicsRunningProcesses_v3.as_ref()),
    }
    .and_then(|function| fill(|count, items| unsafe { function(handle, count, items.cast()) }));
    if !is_missing(&newest) {
        return newest;
    }
    let second = match which {
        List::Compute => nvml_sym(lib.nvmlDeviceGetComputeRunningProcesses_v2.as_ref()),
        List::Graphics => nvml_sym(lib.nvmlDeviceGetGraphicsRunningProcesses_v2.as_ref()),
    }
    .and_then(|function| fill(|count, items| unsafe { function(handle, count, items.cast()) }));
    if !is_missing(&second) {
        return second;
    }
    match which {
        List::Compute => nvml_sym(lib.nvmlDeviceGetComputeRunningProcesses.as_ref()),
        List::Graphics => nvml_sym(lib.nvmlDeviceGetGraphicsRunningProcesses.as_ref()),
    }
    .and_then(|function| fill(|count, items| unsafe { function(handle, count, items.cast()) }))
}

const fn is_missing<T>(result: &Result<T, NvmlError>) -> bool {
    matches!(
        result,
        Err(NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound)
    )
}

/// Calls with 64 slots, and once more with as many as NVML says there must be.
fn fill(
    mut call: impl FnMut(*mut u32, *mut u64) -> nvmlReturn_t,
) -> Result<Vec<Listed>, NvmlError> {
    const LARGEST: usize = STRIDES[STRIDES.len() - 1];
    let mut slots = SLOTS;
    loop {
        // Of u64, so that it is aligned for the items.
        let mut buffer = vec![u64::from_ne_bytes([UNTOUCHED; 8]); slots * LARGEST / 8];
        let mut count = u32::try_from(slots).unwrap_or(u32::MAX);
        let code = call(&raw mut count, buffer.as_mut_ptr());
        let told = usize::try_from(count).unwrap_or(usize::MAX);
        if code == INSUFFICIENT_SIZE && slots < MOST_SLOTS {
            slots = told.saturating_add(SLOTS).clamp(SLOTS * 2, MOST_SLOTS);
            continue;
        }
        if code == NOT_FOUND {
            return Ok(Vec::new());
        }
        nvml_try(code)?;
        let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_ne_bytes()).collect();
        return Ok(items(&bytes, told));
    }
}

/// The size of items that bindings and drivers agree on but for branch 535.
const USUAL_STRIDE: usize = STRIDES[1];

/// Takes the items apart. Those that were announced and never written are left out.
fn items(bytes: &[u8], told: usize) -> Vec<Listed> {
    let written = bytes
        .iter()
        .rposition(|byte| *byte != UNTOUCHED)
        .map_or(0, |last| last + 1);
    // A number that the buffer has no room for says nothing about the size.
    let fits = STRIDES
        .into_iter()
        .filter(|stride| told <= bytes.len() / stride)
        .find(|stride| stride * told >= written);
    let stride = fits.unwrap_or(USUAL_STRIDE);
    bytes
        .chunks_exact(stride)
        .take(told.min(written.div_ceil(stride)))
        .map(|item| Listed {
            pid: u32::from_ne_bytes([item[0], item[1], item[2], item[3]]),
            used_memory_bytes: <[u8; 8]>::try_from(&item[8..16])
                .ok()
                .map(u64::from_ne_bytes)
                .filter(|used| *used != NOT_AVAILABLE),
        })
        .filter(|process| process.pid != u32::from_ne_bytes([UNTOUCHED; 4]))
        .collect()
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

/// The kernel's name of a process. In a container, whose process ids are not the host's, another process would have it: there is none then, unless
/// the host's files are mounted.
fn name(root: &Root, pid: u32) -> Option<String> {
    if root.is_own() && !places::sees_host_pids() {
        return None;
    }
    let bytes = fs::read(root.path(&format!("proc/{pid}/comm"))).ok()?;
    let name = String::from_utf8_lossy(&bytes).replace(char::is_control, "");
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes items of a size as a driver does.
    fn driver(pids: &[u32], stride: usize, into: &mut [u8]) {
        for (pid, item) in pids.iter().zip(into.chunks_exact_mut(stride)) {
            item.fill(0);
            item[..4].copy_from_slice(&pid.to_ne_bytes());
            item[8..16].copy_from_slice(&NOT_AVAILABLE.to_ne_bytes());
        }
    }

    #[test]
    fn items_of_every_size_are_taken_apart() {
        for stride in STRIDES {
            for count in [1, 2, 5, 64] {
                let pids: Vec<u32> = (100..100 + count).collect();
                let mut bytes = vec![UNTOUCHED; SLOTS * 32];
                driver(&pids, stride, &mut bytes);
                let found = items(&bytes, pids.len());
                let read: Vec<u32> = found.iter().map(|process| process.pid).collect();
                assert_eq!(read, pids, "{count} items of {stride} bytes");
                assert_eq!(found[0].used_memory_bytes, None);
            }
        }
        assert!(items(&[UNTOUCHED; 64], 2).is_empty());
    }

    #[test]
    fn a_list_that_grows_meanwhile_is_asked_again_and_an_absurd_one_is_cut() {
        let mut calls = 0;
        let grown = fill(|count, buffer| {
            calls += 1;
            // SAFETY: `count`, and a buffer for as many items of 32 bytes, are those of `fill`.
            unsafe {
                if *count < 100 {
                    *count = 100;
                    return INSUFFICIENT_SIZE;
                }
                *count = 100;
                let bytes = std::slice::from_raw_parts_mut(buffer.cast::<u8>(), 100 * 32);
                driver(&(0..100).collect::<Vec<u32>>(), 24, bytes);
            }
            0
        })
        .unwrap();
        assert_eq!((calls, grown.len(), grown[99].pid), (2, 100, 99));

        let absurd = fill(|count, buffer| {
            // SAFETY: as above.
            unsafe {
                *count = u32::MAX;
                let bytes = std::slice::from_raw_parts_mut(buffer.cast::<u8>(), 24);
                driver(&[7], 24, bytes);
            }
            0
        })
        .unwrap();
        assert_eq!(absurd.len(), 1);
        let endless = fill(|count, _| {
            // SAFETY: as above.
            unsafe { *count = u32::MAX };
            INSUFFICIENT_SIZE
        });
        assert!(matches!(endless, Err(NvmlError::InsufficientSize(_))));
    }
}
