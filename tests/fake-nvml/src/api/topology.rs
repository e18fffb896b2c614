//! What lies between two devices.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlGpuLevel_enum_NVML_TOPOLOGY_INTERNAL as INTERNAL,
    nvmlGpuLevel_enum_NVML_TOPOLOGY_SYSTEM as SYSTEM, nvmlGpuP2PCapsIndex_t,
    nvmlGpuP2PStatus_enum_NVML_P2P_STATUS_NOT_SUPPORTED as NO_P2P, nvmlGpuP2PStatus_t,
    nvmlGpuTopologyLevel_t, nvmlReturn_t,
};

use super::handles::handle;
use crate::{
    answer::Code,
    call::{Gpu, on_device},
    config::Pair,
    out::{given, put},
    state::{Target, state},
};

/// Capabilities that peers are asked for.
const CAPABILITIES: u32 = 5;

values! {
    nvmlDeviceGetTopologyCommonAncestor(device, other: nvmlDevice_t) -> nvmlGpuTopologyLevel_t =
        level(device, place(device, other)?)?;
    nvmlDeviceGetP2PStatus(device, other: nvmlDevice_t, index: nvmlGpuP2PCapsIndex_t) -> nvmlGpuP2PStatus_t = {
        let other = place(device, other)?;
        if index >= CAPABILITIES || device.index == other {
            return Err(Code::INVALID_ARGUMENT);
        }
        match pair(device, other) {
            Some(pair) => pair.p2p.get()?[index as usize],
            None => NO_P2P,
        }
    };
}

/// The devices that are at most as far as the level says. Without room it reports their number, and that is a success.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTopologyNearestGpus(
    device: nvmlDevice_t,
    limit: nvmlGpuTopologyLevel_t,
    count: *mut c_uint,
    device_array: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetTopologyNearestGpus", device, |device| {
        given(count)?;
        if limit > SYSTEM {
            return Err(Code::INVALID_ARGUMENT);
        }
        let mut near = Vec::new();
        for (index, key) in device.loaded.keys.iter().enumerate() {
            if index != device.index && level(device, index)? <= limit {
                near.push(handle(Target {
                    key: key.clone(),
                    slot: None,
                }));
            }
        }
        // SAFETY: not null, and the caller's.
        let room = unsafe { *count } as usize;
        if room > 0 {
            given(device_array)?;
            for (number, found) in near.iter().take(room).enumerate() {
                // SAFETY: within the caller's room by NVML's contract.
                unsafe { device_array.add(number).write(*found) };
            }
            near.truncate(room);
        }
        // SAFETY: as above.
        unsafe {
            put(
                count,
                c_uint::try_from(near.len()).map_err(|_| Code::UNKNOWN)?,
            )
        }
    })
}

/// The other device's place in the file.
fn place(gpu: &Gpu, other: nvmlDevice_t) -> Result<usize, Code> {
    gpu.whole()?;
    let target = state().target(other.addr()).cloned();
    match target.ok_or(Code::INVALID_ARGUMENT)? {
        Target { key, slot: None } => gpu
            .loaded
            .keys
            .iter()
            .position(|known| *known == key)
            .ok_or(Code::GPU_IS_LOST),
        Target { slot: Some(_), .. } => Err(Code::INVALID_ARGUMENT),
    }
}

fn pair(gpu: &Gpu, other: usize) -> Option<&Pair> {
    gpu.loaded.world.pairs.iter().find(|pair| {
        let [one, another] = pair.devices.map(|place| place as usize);
        [(one, another), (another, one)].contains(&(gpu.index, other))
    })
}

fn level(gpu: &Gpu, other: usize) -> Result<nvmlGpuTopologyLevel_t, Code> {
    if gpu.index == other {
        return Ok(INTERNAL);
    }
    match pair(gpu, other) {
        Some(pair) => pair.level.get().copied(),
        None => Ok(SYSTEM),
    }
}
