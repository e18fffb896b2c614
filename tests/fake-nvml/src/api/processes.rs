//! Who uses a device. The three versions of the queries differ in the size of their items: a reader that takes one for another reads nonsense.

use std::{
    ffi::{c_uint, c_ulonglong},
    ptr,
};

use nvml_wrapper_sys::bindings::{
    NVML_VALUE_NOT_AVAILABLE, nvmlDevice_t, nvmlProcessInfo_t, nvmlProcessInfo_v1_t,
    nvmlProcessInfo_v2_t, nvmlProcessUtilizationSample_t, nvmlReturn_t,
};

use crate::{
    answer::Code,
    call::{Gpu, on_device, since_510},
    device::{Process, ProcessKind},
    out::{given, put_list},
};

/// What an item says of an instance where there is none.
const NO_INSTANCE: c_uint = c_uint::MAX;

const _: () = assert!(size_of::<nvmlProcessInfo_v1_t>() == 16);
const _: () = assert!(size_of::<nvmlProcessInfo_v2_t>() == 24);
const _: () = assert!(size_of::<nvmlProcessInfo_t>() == 24);

macro_rules! process_queries {
    ($($name:ident -> $item:ty, $kind:expr, $convert:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(
                device: nvmlDevice_t,
                info_count: *mut c_uint,
                infos: *mut $item,
            ) -> nvmlReturn_t {
                on_device(stringify!($name), device, |device| {
                    let items: Vec<$item> = processes(device, $kind)?
                        .map(|process| $convert(device, process))
                        .collect();
                    let reported = device.parent()?.process_count;
                    // SAFETY: the caller's, with room for as many as the count says by NVML's contract.
                    unsafe { put_list(info_count, infos, &items, reported) }
                })
            }
        )*
    };
}

process_queries! {
    nvmlDeviceGetComputeRunningProcesses -> nvmlProcessInfo_v1_t, ProcessKind::Compute, first;
    nvmlDeviceGetComputeRunningProcesses_v2 -> nvmlProcessInfo_v2_t, ProcessKind::Compute, second;
    nvmlDeviceGetGraphicsRunningProcesses -> nvmlProcessInfo_v1_t, ProcessKind::Graphics, first;
    nvmlDeviceGetGraphicsRunningProcesses_v2 -> nvmlProcessInfo_v2_t, ProcessKind::Graphics, second;
}

macro_rules! third_queries {
    ($($name:ident = $kind:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(
                device: nvmlDevice_t,
                info_count: *mut c_uint,
                infos: *mut nvmlProcessInfo_t,
            ) -> nvmlReturn_t {
                on_device(stringify!($name), device, |device| {
                    since_510(&device.loaded.world)?;
                    // SAFETY: the caller's, with room for as many as the count says by NVML's contract.
                    unsafe { put_third(device, $kind, info_count, infos) }
                })
            }
        )*
    };
}

third_queries! {
    nvmlDeviceGetComputeRunningProcesses_v3 = ProcessKind::Compute;
    nvmlDeviceGetGraphicsRunningProcesses_v3 = ProcessKind::Graphics;
    nvmlDeviceGetMPSComputeRunningProcesses_v3 = ProcessKind::Mps;
}

/// Some drivers have items of another size than the caller's header says. They write as many as the count says and with that past the end of a full
/// array; here the array ends where the caller believes.
unsafe fn put_third(
    gpu: &Gpu,
    kind: ProcessKind,
    count: *mut c_uint,
    infos: *mut nvmlProcessInfo_t,
) -> Result<(), Code> {
    let items: Vec<_> = processes(gpu, kind)?
        .map(|process| second(gpu, process))
        .collect();
    let reported = gpu.parent()?.process_count;
    let size = match gpu.loaded.world.process_info_v3_size {
        Some(size) if usize::from(size) != size_of::<nvmlProcessInfo_t>() => usize::from(size),
        // SAFETY: the caller's, as this function's caller says.
        _ => return unsafe { put_list(count, infos, &items, reported) },
    };
    let number = match reported {
        Some(number) => number,
        None => c_uint::try_from(items.len()).map_err(|_| Code::UNKNOWN)?,
    };
    given(count)?;
    // SAFETY: not null, and the caller's.
    let room = unsafe { *count };
    // SAFETY: as above; with no items only the count and the pointers are looked at.
    unsafe { put_list(count, infos, &[], Some(number))? };
    let mut bytes = Vec::new();
    for item in &items {
        let mut whole = Vec::new();
        whole.extend(u64::from(item.pid).to_ne_bytes());
        whole.extend(item.usedGpuMemory.to_ne_bytes());
        whole.extend(item.gpuInstanceId.to_ne_bytes());
        whole.extend(item.computeInstanceId.to_ne_bytes());
        // Memory protected by confidential computing.
        whole.extend([0; 8]);
        bytes.extend(&whole[..size]);
    }
    bytes.truncate((room as usize).saturating_mul(size_of::<nvmlProcessInfo_t>()));
    if !bytes.is_empty() {
        // SAFETY: no more than the array has, and not null where it has room.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), infos.cast::<u8>(), bytes.len()) };
    }
    Ok(())
}

/// An instance lists its own processes, a device all of them.
fn processes(gpu: &Gpu, kind: ProcessKind) -> Result<impl Iterator<Item = &Process>, Code> {
    gpu.instance()?;
    let slot = gpu.target.slot;
    let all = gpu.parent()?.processes.get()?;
    Ok(all
        .iter()
        .filter(move |process| process.kind == kind && (slot.is_none() || process.mig == slot)))
}

fn used(process: &Process) -> c_ulonglong {
    match process.used_bytes {
        Some(bytes) => bytes,
        None => i64::from(NVML_VALUE_NOT_AVAILABLE).cast_unsigned(),
    }
}

fn first(_gpu: &Gpu, process: &Process) -> nvmlProcessInfo_v1_t {
    nvmlProcessInfo_v1_t {
        pid: process.pid,
        usedGpuMemory: used(process),
    }
}

fn second(gpu: &Gpu, process: &Process) -> nvmlProcessInfo_v2_t {
    let instance = gpu.parent().ok().and_then(|device| {
        let mut instances = device.mig.instances.iter();
        instances.find(|instance| Some(instance.slot) == process.mig)
    });
    nvmlProcessInfo_v2_t {
        pid: process.pid,
        usedGpuMemory: used(process),
        gpuInstanceId: instance.map_or(NO_INSTANCE, |instance| instance.gpu_instance),
        computeInstanceId: instance.map_or(NO_INSTANCE, |instance| instance.compute_instance),
    }
}

/// Samples newer than the caller's last one; none at all is `not_found`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetProcessUtilization(
    device: nvmlDevice_t,
    utilization: *mut nvmlProcessUtilizationSample_t,
    process_samples_count: *mut c_uint,
    last_seen_time_stamp: c_ulonglong,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetProcessUtilization", device, |device| {
        let samples: Vec<_> = device
            .whole()?
            .process_utilization
            .get()?
            .iter()
            .filter(|sample| sample.timestamp > last_seen_time_stamp)
            .map(|sample| nvmlProcessUtilizationSample_t {
                pid: sample.pid,
                timeStamp: sample.timestamp,
                smUtil: sample.sm,
                memUtil: sample.memory,
                encUtil: sample.encoder,
                decUtil: sample.decoder,
            })
            .collect();
        if samples.is_empty() {
            return Err(Code::NOT_FOUND);
        }
        // SAFETY: the caller's, with room for as many as the count says by NVML's contract.
        unsafe { put_list(process_samples_count, utilization, &samples, None) }
    })
}
