//! From indices, UUIDs and bus ids to handles.

use std::{
    ffi::{c_char, c_uint},
    sync::Arc,
};

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlReturn_t};

use crate::{
    answer::{Code, Text},
    call::{Gpu, on_library, reachable},
    out::{given, put, text_of},
    state::{Loaded, Target, state},
};

/// A target's handle.
pub fn handle(target: Target) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(state().handle(target))
}

/// A device's handle, if the device answers.
unsafe fn put_device(
    loaded: &Arc<Loaded>,
    index: usize,
    slot: Option<u32>,
    device: *mut nvmlDevice_t,
) -> Result<(), Code> {
    let target = Target {
        key: loaded.keys.get(index).ok_or(Code::NOT_FOUND)?.clone(),
        slot,
    };
    let gpu = Gpu {
        loaded: Arc::clone(loaded),
        index,
        target: target.clone(),
    };
    reachable(&gpu, false)?;
    // SAFETY: the pointer is the caller's, and leads to its type by NVML's contract.
    unsafe { put(device, handle(target)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(device_count: *mut c_uint) -> nvmlReturn_t {
    on_library("nvmlDeviceGetCount_v2", |loaded| {
        let there = c_uint::try_from(loaded.world.devices.len()).map_err(|_| Code::UNKNOWN)?;
        // SAFETY: the pointer is the caller's, and leads to its type by NVML's contract.
        unsafe { put(device_count, loaded.world.device_count.unwrap_or(there)) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    index: c_uint,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    on_library("nvmlDeviceGetHandleByIndex_v2", |loaded| {
        given(device)?;
        let index = index as usize;
        if index >= loaded.world.devices.len() {
            return Err(Code::INVALID_ARGUMENT);
        }
        // SAFETY: the caller's.
        unsafe { put_device(loaded, index, None, device) }
    })
}

/// Instances are found by theirs, too. Of several devices with one UUID the first is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUID(
    uuid: *const c_char,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    on_library("nvmlDeviceGetHandleByUUID", |loaded| {
        given(device)?;
        // SAFETY: the caller's, and terminated by NVML's contract.
        let wanted = Text::Terminated(unsafe { text_of(uuid) }?);
        for (index, known) in loaded.world.devices.iter().enumerate() {
            let slot = if known.uuid.value() == Some(&wanted) {
                None
            } else {
                let found = known
                    .mig
                    .instances
                    .iter()
                    .find(|instance| instance.uuid.value() == Some(&wanted));
                match found {
                    Some(instance) => Some(instance.slot),
                    None => continue,
                }
            };
            // SAFETY: the caller's.
            return unsafe { put_device(loaded, index, slot, device) };
        }
        Err(Code::NOT_FOUND)
    })
}

/// `domain:bus:device.function` in hexadecimal digits; the domain may be left out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(
    pci_bus_id: *const c_char,
    device: *mut nvmlDevice_t,
) -> nvmlReturn_t {
    on_library("nvmlDeviceGetHandleByPciBusId_v2", |loaded| {
        given(device)?;
        // SAFETY: the caller's, and terminated by NVML's contract.
        let wanted = bus_id(&unsafe { text_of(pci_bus_id) }?).ok_or(Code::INVALID_ARGUMENT)?;
        let index = loaded.world.devices.iter().position(|device| {
            let pci = device.pci.value();
            pci.is_some_and(|pci| (pci.domain, pci.bus, pci.device) == wanted)
        });
        // SAFETY: the caller's.
        unsafe { put_device(loaded, index.ok_or(Code::NOT_FOUND)?, None, device) }
    })
}

fn bus_id(text: &str) -> Option<(u32, u32, u32)> {
    let (place, function) = text.rsplit_once('.')?;
    u32::from_str_radix(function, 16).ok()?;
    let mut parts = place
        .rsplit(':')
        .map(|part| u32::from_str_radix(part, 16).ok());
    let (device, bus) = (parts.next()??, parts.next()??);
    let domain = match parts.next() {
        None => 0,
        Some(domain) => domain?,
    };
    match parts.next() {
        None => Some((domain, bus, device)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::bus_id;

    #[test]
    fn bus_ids_are_read_in_all_their_forms() {
        assert_eq!(bus_id("00000000:3B:00.0"), Some((0, 0x3b, 0)));
        assert_eq!(bus_id("0001:3b:1f.0"), Some((1, 0x3b, 0x1f)));
        assert_eq!(bus_id("3B:00.0"), Some((0, 0x3b, 0)));
        for wrong in ["", "3B", "3B:00", "x:00.0", "0:0:0:0.0"] {
            assert_eq!(bus_id(wrong), None, "{wrong}");
        }
    }
}
