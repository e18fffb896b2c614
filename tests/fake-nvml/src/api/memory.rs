//! Memory of a device or an instance.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{
    nvmlBAR1Memory_t, nvmlDevice_t, nvmlMemory_t, nvmlMemory_v2_t, nvmlReturn_t,
};

use crate::{
    answer::Code,
    call::{Gpu, on_device, since_510},
    device::Memory,
    out::{given, put},
};

/// The header's `NVML_STRUCT_VERSION(Memory, 2)`: the size, and the version in the highest byte.
#[expect(clippy::cast_possible_truncation, reason = "40 bytes")]
const MEMORY_V2: c_uint = size_of::<nvmlMemory_v2_t>() as c_uint | 2 << 24;
const _: () = assert!(MEMORY_V2 == 0x0200_0028);

values! {
    nvmlDeviceGetMemoryInfo(device) -> nvmlMemory_t = {
        let memory = memory(device)?;
        nvmlMemory_t {
            total: memory.total,
            free: free(memory),
            used: memory.used.saturating_add(memory.reserved),
        }
    };
    nvmlDeviceGetBAR1MemoryInfo(device) -> nvmlBAR1Memory_t = {
        let bar1 = device.parent()?.bar1.get()?;
        nvmlBAR1Memory_t {
            bar1Total: bar1.total,
            bar1Free: bar1.total.saturating_sub(bar1.used),
            bar1Used: bar1.used,
        }
    };
    nvmlDeviceGetMemoryBusWidth(device) -> c_uint = *device.whole()?.memory_bus_width.get()?;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: nvmlDevice_t,
    memory_info: *mut nvmlMemory_v2_t,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetMemoryInfo_v2", device, |device| {
        since_510(&device.loaded.world)?;
        given(memory_info)?;
        // SAFETY: not null, and the caller's, who has written the version by NVML's contract.
        if unsafe { (*memory_info).version } != MEMORY_V2 {
            return Err(Code::ARGUMENT_VERSION_MISMATCH);
        }
        let memory = memory(device)?;
        let value = nvmlMemory_v2_t {
            version: MEMORY_V2,
            total: memory.total,
            reserved: memory.reserved,
            free: free(memory),
            used: memory.used,
        };
        // SAFETY: as above.
        unsafe { put(memory_info, value) }
    })
}

fn memory(gpu: &Gpu) -> Result<&Memory, Code> {
    match gpu.instance()? {
        Some(instance) => instance.memory.get(),
        None => gpu.parent()?.memory.get(),
    }
}

fn free(memory: &Memory) -> u64 {
    memory
        .total
        .saturating_sub(memory.reserved)
        .saturating_sub(memory.used)
}
