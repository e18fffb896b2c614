//! Modes, and which CPUs and memory are near.

use std::ffi::{c_uint, c_ulong};

use nvml_wrapper_sys::bindings::{
    nvmlAffinityScope_t, nvmlComputeMode_t, nvmlDevice_t, nvmlEnableState_t,
    nvmlGpuVirtualizationMode_t, nvmlReturn_t,
};

use crate::{answer::Code, call::on_device, out::given};

values! {
    nvmlDeviceGetComputeMode(device) -> nvmlComputeMode_t = *device.whole()?.compute_mode.get()?;
    nvmlDeviceGetPersistenceMode(device) -> nvmlEnableState_t = *device.whole()?.persistence_mode.get()?;
    nvmlDeviceGetVirtualizationMode(device) -> nvmlGpuVirtualizationMode_t = *device.whole()?.virtualization_mode.get()?;
    nvmlDeviceGetDisplayActive(device) -> nvmlEnableState_t = *device.whole()?.display_active.get()?;
    nvmlDeviceGetDisplayMode(device) -> nvmlEnableState_t = *device.whole()?.display_mode.get()?;
    nvmlDeviceGetNumaNodeId(device) -> c_uint = *device.whole()?.numa_node.get()?;
}

/// The highest `nvmlAffinityScope_t`: the socket.
const LAST_SCOPE: nvmlAffinityScope_t = 1;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryAffinity(
    device: nvmlDevice_t,
    node_set_size: c_uint,
    node_set: *mut c_ulong,
    scope: nvmlAffinityScope_t,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetMemoryAffinity", device, |device| {
        if scope > LAST_SCOPE {
            return Err(Code::INVALID_ARGUMENT);
        }
        let words = device.whole()?.memory_affinity.get()?;
        // SAFETY: the caller's, with this many words by NVML's contract.
        unsafe { put_words(node_set, node_set_size, words) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCpuAffinity(
    device: nvmlDevice_t,
    cpu_set_size: c_uint,
    cpu_set: *mut c_ulong,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetCpuAffinity", device, |device| {
        let words = device.whole()?.cpu_affinity.get()?;
        // SAFETY: the caller's, with this many words by NVML's contract.
        unsafe { put_words(cpu_set, cpu_set_size, words) }
    })
}

/// Writes as many words as there is room for; room beyond the words is cleared.
unsafe fn put_words(words: *mut c_ulong, room: c_uint, known: &[u64]) -> Result<(), Code> {
    given(words)?;
    if room == 0 {
        return Err(Code::INVALID_ARGUMENT);
    }
    let cleared = std::iter::repeat(0);
    for (number, word) in known
        .iter()
        .copied()
        .chain(cleared)
        .take(room as usize)
        .enumerate()
    {
        // SAFETY: within the caller's room; `c_ulong` has 64 bits on the platforms that have this library.
        unsafe { words.add(number).write(word as c_ulong) };
    }
    Ok(())
}
