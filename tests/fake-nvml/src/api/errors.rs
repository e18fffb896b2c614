//! Errors of memory: error correction, replaced rows, retired pages.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlEccCounterType_t, nvmlEnableState_t, nvmlMemoryErrorType_t,
    nvmlPageRetirementCause_t, nvmlReturn_t,
};

use crate::{
    answer::Code,
    call::{Gpu, on_device},
    out::{given, put, put_list},
    state::state,
};

values! {
    nvmlDeviceGetTotalEccErrors(device, error: nvmlMemoryErrorType_t, counter: nvmlEccCounterType_t) -> c_ulonglong =
        ecc_errors(device, error, counter)?;
    nvmlDeviceGetRetiredPagesPendingStatus(device) -> nvmlEnableState_t =
        *device.whole()?.retired_pages.pending.get()?;
}

pairs! {
    nvmlDeviceGetEccMode(device) -> nvmlEnableState_t = *device.whole()?.ecc.mode.get()?;
}

/// A count, which grows with every read where the file says so.
pub fn ecc_errors(gpu: &Gpu, error: u32, counter: u32) -> Result<u64, Code> {
    let device = gpu.whole()?;
    let errors = device.ecc.errors.get()?;
    let (count, name) = match (error, counter) {
        (0, 0) => (errors.volatile_corrected, "volatile corrected"),
        (1, 0) => (errors.volatile_uncorrected, "volatile uncorrected"),
        (0, 1) => (errors.aggregate_corrected, "aggregate corrected"),
        (1, 1) => (errors.aggregate_uncorrected, "aggregate uncorrected"),
        _ => return Err(Code::INVALID_ARGUMENT),
    };
    if device.ecc_growth_per_read == 0 {
        return Ok(count);
    }
    let before = state().read_before(&gpu.target, name);
    Ok(count.wrapping_add(before.wrapping_mul(device.ecc_growth_per_read)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetRemappedRows(
    device: nvmlDevice_t,
    correctable: *mut c_uint,
    uncorrectable: *mut c_uint,
    is_pending: *mut c_uint,
    failure_occurred: *mut c_uint,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetRemappedRows", device, |device| {
        for pointer in [correctable, uncorrectable, is_pending, failure_occurred] {
            given(pointer)?;
        }
        let rows = device.whole()?.remapped_rows.get()?;
        // SAFETY: all four are the caller's, and lead to their type by NVML's contract.
        unsafe {
            put(correctable, rows.correctable)?;
            put(uncorrectable, rows.uncorrectable)?;
            put(is_pending, rows.pending)?;
            put(failure_occurred, rows.failure)
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetRetiredPages(
    device: nvmlDevice_t,
    cause: nvmlPageRetirementCause_t,
    page_count: *mut c_uint,
    addresses: *mut c_ulonglong,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetRetiredPages", device, |device| {
        let pages: Vec<_> = pages(device, cause)?
            .iter()
            .map(|[address, _]| *address)
            .collect();
        // SAFETY: the caller's, with room for as many as the count says by NVML's contract.
        unsafe { put_list(page_count, addresses, &pages, None) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetRetiredPages_v2(
    device: nvmlDevice_t,
    cause: nvmlPageRetirementCause_t,
    page_count: *mut c_uint,
    addresses: *mut c_ulonglong,
    timestamps: *mut c_ulonglong,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetRetiredPages_v2", device, |device| {
        given(page_count)?;
        let (addresses_there, timestamps_there): (Vec<_>, Vec<_>) = pages(device, cause)?
            .iter()
            .map(|[address, timestamp]| (*address, *timestamp))
            .unzip();
        // SAFETY: not null, and the caller's.
        let mut room = unsafe { *page_count };
        if room > 0 {
            given(timestamps)?;
        }
        // SAFETY: the caller's, both with room for as many as the count says by NVML's contract.
        unsafe {
            put_list(page_count, addresses, &addresses_there, None)?;
            put_list(&raw mut room, timestamps, &timestamps_there, None)
        }
    })
}

fn pages(gpu: &Gpu, cause: nvmlPageRetirementCause_t) -> Result<&Vec<[u64; 2]>, Code> {
    let pages = &gpu.whole()?.retired_pages;
    match cause {
        0 => pages.single_bit.get(),
        1 => pages.double_bit.get(),
        _ => Err(Code::INVALID_ARGUMENT),
    }
}
