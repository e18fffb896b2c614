//! What changes all the time on a GPU.

use batchstep_proto::inventory::{Absent, Record, catalogue::gpu};
use nvml_wrapper::{
    Device,
    enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor},
    enums::device::SampleValue,
    error::{NvmlError, nvml_sym, nvml_try},
    structs::device::FieldId,
};
use nvml_wrapper_sys::bindings::{self, NvmlLib, nvmlDevice_t};

use crate::{
    ask::{Asker, CELSIUS},
    places::{Root, meminfo_bytes},
};

/// Temperature of the memory, in NVML's number of field values.
const MEMORY_TEMPERATURE: u32 = 82;
/// No performance state.
const UNKNOWN_STATE: u32 = 32;

/// Memory in bytes, as NVML tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Memory {
    total: u64,
    /// Only newer drivers tell it apart from what is used.
    reserved: Option<u64>,
    used: u64,
    free: u64,
}

/// True for a chip that has no window into memory of its own: only such a one uses its host's.
pub(crate) fn has_no_window(record: &Record) -> bool {
    record.reading(gpu::BAR1_TOTAL_BYTES.field()) == Some(&Err(Absent::NotSupported))
}

/// Every live field but the processes.
pub(crate) fn read(asker: &mut Asker<'_>, root: &Root, may_be_unified: bool) {
    memory(asker, Some(root).filter(|_| may_be_unified));
    asker.count(gpu::PCIE_GENERATION, Device::current_pcie_link_gen);
    asker.count(gpu::PCIE_REPLAYS, Device::pcie_replay_counter);
    asker.power(gpu::POWER_DRAW_WATTS, Device::power_usage);
    asker.power(
        gpu::POWER_LIMIT_ENFORCED_WATTS,
        Device::enforced_power_limit,
    );
    asker.read(gpu::ENERGY_JOULES, |device| {
        Ok(device.total_energy_consumption()? as f64 / 1e3)
    });
    let (lib, handle) = (asker.lib(), asker.handle());
    let state = asker.number(gpu::PERFORMANCE_STATE.field(), |lib| {
        &lib.nvmlDeviceGetPerformanceState
    });
    let state = match state {
        Ok(UNKNOWN_STATE) => Err(Absent::Unknown),
        other => other.map(u64::from),
    };
    asker.record.set(gpu::PERFORMANCE_STATE, state);
    asker.clock(gpu::SM_CLOCK_MHZ, |device| device.clock_info(Clock::SM));
    asker.clock(gpu::MEMORY_CLOCK_MHZ, |device| {
        device.clock_info(Clock::Memory)
    });
    asker.temperature(gpu::TEMPERATURE_CELSIUS, |device| {
        device.temperature(TemperatureSensor::Gpu)
    });
    let memory = asker.attempt(gpu::MEMORY_TEMPERATURE_CELSIUS.field(), |device| {
        let values = device.field_values_for(&[FieldId(MEMORY_TEMPERATURE)])?;
        let value = values.into_iter().next().ok_or(NvmlError::NoData)?;
        integer(value?.value?)
    });
    // 0: there is no such sensor.
    let memory = match memory {
        Ok(0) => Err(Absent::NotSupported),
        other => other.map(|celsius| celsius as f64),
    };
    let memory = asker.plausible(gpu::MEMORY_TEMPERATURE_CELSIUS, memory, CELSIUS);
    asker.record.set(gpu::MEMORY_TEMPERATURE_CELSIUS, memory);
    let fan = asker.attempt(gpu::FAN_SPEED_PERCENT.field(), |device| device.fan_speed(0));
    asker.percent(gpu::FAN_SPEED_PERCENT, fan);
    asker.read(gpu::CLOCK_EVENT_REASONS, |_| {
        clock_event_reasons(lib, handle)
    });
    let busy = asker.attempt(gpu::GPU_UTILIZATION_PERCENT.field(), |device| {
        let rates = device.utilization_rates()?;
        Ok((rates.gpu, rates.memory))
    });
    asker.percent(gpu::GPU_UTILIZATION_PERCENT, busy.map(|(gpu, _)| gpu));
    asker.percent(
        gpu::MEMORY_UTILIZATION_PERCENT,
        busy.map(|(_, memory)| memory),
    );
    asker.read(gpu::ECC_CORRECTED, |device| {
        device.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile)
    });
    asker.read(gpu::ECC_CORRECTED_LIFETIME, |device| {
        device.total_ecc_errors(MemoryError::Corrected, EccCounter::Aggregate)
    });
}

/// Memory of a GPU or MIG instance. A chip that may have none of its own has its host's, below `root`.
pub(crate) fn memory(asker: &mut Asker<'_>, root: Option<&Root>) {
    let (lib, handle) = (asker.lib(), asker.handle());
    let told = asker.attempt(gpu::MEMORY_TOTAL_BYTES.field(), |_| {
        match memory_v2(lib, handle) {
            Err(NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound) => {
                memory_v1(lib, handle)
            }
            other => other,
        }
    });
    let told = match told {
        Ok(memory) if memory.total == 0 || memory.total < memory.used.max(memory.free) => {
            asker.problem(format!(
                "memory_total_bytes: {} is nothing, or less than what is used or free",
                memory.total
            ));
            Err(Absent::Unknown)
        }
        other => other,
    };
    // NVML says "not supported" where the chip shares its host's memory, as on GB10 and Jetson.
    let shared = root.filter(|_| told == Err(Absent::NotSupported));
    let unified = shared.is_some();
    let told = match shared {
        Some(root) => host_memory(root).ok_or(Absent::Unknown),
        None => told,
    };
    let record = &mut asker.record;
    record.set(gpu::MEMORY_TOTAL_BYTES, told.map(|memory| memory.total));
    record.set(gpu::MEMORY_USED_BYTES, told.map(|memory| memory.used));
    record.set(gpu::MEMORY_FREE_BYTES, told.map(|memory| memory.free));
    record.set(
        gpu::MEMORY_RESERVED_BYTES,
        match told {
            Ok(memory) if !unified => memory.reserved.ok_or(Absent::SymbolMissing),
            Ok(_) => Err(Absent::NotSupported),
            Err(reason) => Err(reason),
        },
    );
    record.set(
        gpu::MEMORY_UNIFIED,
        if unified {
            Ok(true)
        } else {
            told.map(|_| false)
        },
    );
}

fn memory_v2(lib: &NvmlLib, handle: nvmlDevice_t) -> Result<Memory, NvmlError> {
    let function = nvml_sym(lib.nvmlDeviceGetMemoryInfo_v2.as_ref())?;
    // SAFETY: a structure of integers, with the version that says how long it is.
    unsafe {
        let mut info: bindings::nvmlMemory_v2_t = std::mem::zeroed();
        // NVML_STRUCT_VERSION(Memory, 2) of nvml.h.
        info.version = 0x0200_0000 | size_of::<bindings::nvmlMemory_v2_t>() as u32;
        nvml_try(function(handle, &raw mut info))?;
        Ok(Memory {
            total: info.total,
            reserved: Some(info.reserved),
            used: info.used,
            free: info.free,
        })
    }
}

fn memory_v1(lib: &NvmlLib, handle: nvmlDevice_t) -> Result<Memory, NvmlError> {
    let function = nvml_sym(lib.nvmlDeviceGetMemoryInfo.as_ref())?;
    // SAFETY: a structure of integers of the layout that this function fills.
    unsafe {
        let mut info: bindings::nvmlMemory_t = std::mem::zeroed();
        nvml_try(function(handle, &raw mut info))?;
        Ok(Memory {
            total: info.total,
            reserved: None,
            used: info.used,
            free: info.free,
        })
    }
}

fn host_memory(root: &Root) -> Option<Memory> {
    let text = root.text("proc/meminfo")?;
    let bytes = |key| meminfo_bytes(&text, key);
    let (total, free) = (bytes("MemTotal")?, bytes("MemAvailable")?);
    Some(Memory {
        total,
        reserved: None,
        used: total.checked_sub(free)?,
        free,
    })
}

/// Why the clocks are not higher, every bit: the wrapper drops those that it does not know.
pub(crate) fn clock_event_reasons(lib: &NvmlLib, handle: nvmlDevice_t) -> Result<u64, NvmlError> {
    // Drivers from 535 have both names.
    let function = nvml_sym(lib.nvmlDeviceGetCurrentClocksEventReasons.as_ref())
        .or_else(|_| nvml_sym(lib.nvmlDeviceGetCurrentClocksThrottleReasons.as_ref()))?;
    let mut bits = 0;
    // SAFETY: NVML writes one integer of this width.
    nvml_try(unsafe { function(handle, &raw mut bits) })?;
    Ok(bits)
}

/// A field value as a count.
pub(crate) fn integer(value: SampleValue) -> Result<u64, NvmlError> {
    match value {
        SampleValue::U32(value) => Ok(value.into()),
        SampleValue::U64(value) => Ok(value),
        SampleValue::I64(value) => u64::try_from(value).map_err(|_| NvmlError::NoData),
        SampleValue::F64(value) if value >= 0.0 && value.fract() == 0.0 && value < 1e15 => {
            Ok(value as u64)
        }
        _ => Err(NvmlError::NoData),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_memory_stands_for_a_chip_without_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::at(folder.path().to_owned());
        assert_eq!(host_memory(&root), None);
        std::fs::create_dir(root.path("proc")).unwrap();
        std::fs::write(
            root.path("proc/meminfo"),
            "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n",
        )
        .unwrap();
        let memory = host_memory(&root).unwrap();
        assert_eq!((memory.total, memory.used), (1_024_000, 614_400));
    }
}
