//! What lasts of a GPU: what it is, how it is built in and configured, and how well it is.

use std::ffi::c_ulong;

use batchstep_proto::inventory::{Absent, catalogue::gpu};
use nvml_wrapper::{
    Device,
    enum_wrappers::device::{
        Clock, EccCounter, MemoryError, RetirementCause, TemperatureThreshold,
    },
    error::{NvmlError, nvml_sym, nvml_try},
    structs::device::FieldId,
};
use nvml_wrapper_sys::bindings::{self, NvmlLib, nvmlDevice_t};

use crate::{ask::Asker, guard, places::Root};

/// CUDA's generations by NVML's number; newer ones are told by the number.
const ARCHITECTURES: &[(u32, &str)] = &[
    (bindings::NVML_DEVICE_ARCH_KEPLER, "Kepler"),
    (bindings::NVML_DEVICE_ARCH_MAXWELL, "Maxwell"),
    (bindings::NVML_DEVICE_ARCH_PASCAL, "Pascal"),
    (bindings::NVML_DEVICE_ARCH_VOLTA, "Volta"),
    (bindings::NVML_DEVICE_ARCH_TURING, "Turing"),
    (bindings::NVML_DEVICE_ARCH_AMPERE, "Ampere"),
    (bindings::NVML_DEVICE_ARCH_ADA, "Ada"),
    (bindings::NVML_DEVICE_ARCH_HOPPER, "Hopper"),
    (bindings::NVML_DEVICE_ARCH_BLACKWELL, "Blackwell"),
];

const BRANDS: &[(u32, &str)] = &[
    (1, "Quadro"),
    (2, "Tesla"),
    (3, "NVS"),
    (4, "GRID"),
    (5, "GeForce"),
    (6, "Titan"),
    (7, "NVIDIA vApps"),
    (8, "NVIDIA vPC"),
    (9, "NVIDIA vCS"),
    (10, "NVIDIA vWS"),
    (11, "NVIDIA Cloud Gaming"),
    (12, "Quadro RTX"),
    (13, "NVIDIA RTX"),
    (14, "NVIDIA"),
    (15, "GeForce RTX"),
    (16, "Titan RTX"),
];

const COMPUTE_MODES: &[(u32, &str)] = &[
    (0, "default"),
    (1, "exclusive_thread"),
    (2, "prohibited"),
    (3, "exclusive_process"),
];

const VIRTUALIZATION_MODES: &[(u32, &str)] = &[
    (0, "none"),
    (1, "passthrough"),
    (2, "vgpu"),
    (3, "host_vgpu"),
    (4, "host_vsga"),
];

/// Words of 64 processors or nodes: more than any host has.
const AFFINITY_WORDS: usize = 64;
/// `NVML_AFFINITY_SCOPE_NODE`.
const NODE_SCOPE: u32 = 0;

/// Field values of the row remapper, in NVML's numbers.
const ROW_FIELDS: [u32; 4] = [142, 143, 144, 145];

/// CUDA cores of a multiprocessor, from the CUDA programming guide's table of arithmetic throughput (f32 per cycle and SM); `None`: not known.
pub(crate) fn cores_per_sm(capability: (i64, i64)) -> Option<u64> {
    match capability {
        (3, _) => Some(192),
        (5, _) | (6, 1 | 2) | (8, 6..=9) | (9..=12, _) => Some(128),
        (6 | 8, 0) | (7, _) => Some(64),
        _ => None,
    }
}

/// What a GPU is.
pub(crate) fn identity(asker: &mut Asker<'_>, root: &Root) {
    asker.text_by(gpu::UUID, |lib| &lib.nvmlDeviceGetUUID);
    asker.text_by(gpu::NAME, |lib| &lib.nvmlDeviceGetName);
    asker.text_by(gpu::SERIAL, |lib| &lib.nvmlDeviceGetSerial);
    asker.text_by(gpu::BOARD_PART_NUMBER, |lib| {
        &lib.nvmlDeviceGetBoardPartNumber
    });
    asker.count(gpu::INDEX, Device::index);
    asker.count(gpu::MINOR_NUMBER, Device::minor_number);
    asker.word(gpu::BRAND, BRANDS, |lib| &lib.nvmlDeviceGetBrand);
    asker.word(gpu::ARCHITECTURE, ARCHITECTURES, |lib| {
        &lib.nvmlDeviceGetArchitecture
    });
    let capability = asker.attempt(gpu::COMPUTE_CAPABILITY.field(), |device| {
        let found = device.cuda_compute_capability()?;
        Ok((i64::from(found.major), i64::from(found.minor)))
    });
    let capability = match capability {
        Ok((major, minor)) if !(1..1000).contains(&major) || !(0..1000).contains(&minor) => {
            asker.problem(format!("compute_capability: {major}.{minor} is none"));
            Err(Absent::Unknown)
        }
        other => other,
    };
    let text = capability.map(|(major, minor)| format!("{major}.{minor}"));
    asker.record.set(gpu::COMPUTE_CAPABILITY, text);
    asker.positive(gpu::CUDA_CORES, Device::num_cores);
    let cores = asker.record.get(gpu::CUDA_CORES);
    let multiprocessors = capability
        .ok()
        .and_then(cores_per_sm)
        .zip(cores)
        .filter(|(each, all)| all % each == 0 && *all > 0)
        .map(|(each, all)| all / each)
        .ok_or(Absent::Unknown);
    asker.record.set(gpu::SM_COUNT, multiprocessors);
    asker.positive(gpu::MEMORY_BUS_WIDTH_BITS, Device::memory_bus_width);
    slot(asker, root);
}

/// Where a GPU is.
fn slot(asker: &mut Asker<'_>, root: &Root) {
    let (lib, handle) = (asker.lib(), asker.handle());
    let info = asker.attempt(gpu::PCI_BUS_ID.field(), |_| pci_info(lib, handle));
    let address = info
        .as_ref()
        .map(|info| address(info.domain, info.bus, info.device))
        .map_err(|reason| *reason);
    let ids = |bits: u32| format!("{:04x}:{:04x}", bits & 0xffff, bits >> 16);
    let record = &mut asker.record;
    let both = info
        .as_ref()
        .map(|info| (info.pciDeviceId, info.pciSubSystemId))
        .map_err(|reason| *reason);
    record.set(gpu::PCI_DEVICE_ID, both.map(|(device, _)| ids(device)));
    record.set(
        gpu::PCI_SUBSYSTEM_ID,
        match both {
            Ok((_, 0)) => Err(Absent::NotSupported),
            other => other.map(|(_, subsystem)| ids(subsystem)),
        },
    );
    record.set(gpu::PCI_BUS_ID, address.clone());
    let near = |name| {
        address
            .as_ref()
            .ok()
            .and_then(|address| root.pci(address, name))
    };
    // -1: the machine has one node only, or does not tell.
    let node = near("numa_node").and_then(|node| node.parse::<u64>().ok());
    let processors = near("local_cpulist");
    let node = node.map_or_else(
        || {
            let nodes = asker.attempt(gpu::NUMA_NODE.field(), |device| {
                device.memory_affinity(AFFINITY_WORDS, NODE_SCOPE)
            });
            nodes.and_then(|words| set_bits(&words).next().ok_or(Absent::NotSupported))
        },
        Ok,
    );
    asker.record.set(gpu::NUMA_NODE, node);
    let processors = processors.map_or_else(
        || {
            let processors = asker.attempt(gpu::CPU_AFFINITY.field(), |device| {
                device.cpu_affinity(AFFINITY_WORDS)
            });
            processors.and_then(|words| ranges(set_bits(&words)).ok_or(Absent::NotSupported))
        },
        Ok,
    );
    asker.record.set(gpu::CPU_AFFINITY, processors);
}

/// The numbers of the bits that are set, ascending.
fn set_bits(words: &[c_ulong]) -> impl Iterator<Item = u64> + '_ {
    (0_u64..).zip(words).flat_map(|(at, word)| {
        let bits = u64::from(c_ulong::BITS);
        (0..bits)
            .filter(move |bit| word >> bit & 1 == 1)
            .map(move |bit| at * bits + bit)
    })
}

/// "0-31,64-95"; `None` of no numbers.
fn ranges(numbers: impl Iterator<Item = u64>) -> Option<String> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let texts = ranges.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    let text = texts.collect::<Vec<_>>().join(",");
    (!text.is_empty()).then_some(text)
}

/// "0000:01:00.0", as the kernel writes it.
pub(crate) fn address(domain: u32, bus: u32, device: u32) -> String {
    format!("{domain:04x}:{bus:02x}:{device:02x}.0")
}

/// PCI numbers, without the texts beside them.
pub(crate) fn pci_info(
    lib: &NvmlLib,
    handle: nvmlDevice_t,
) -> Result<bindings::nvmlPciInfo_t, NvmlError> {
    let function = nvml_sym(lib.nvmlDeviceGetPciInfo_v3.as_ref())?;
    // SAFETY: a structure of integers and characters, for which zeros are valid; NVML fills one of this layout.
    unsafe {
        let mut info: bindings::nvmlPciInfo_t = std::mem::zeroed();
        nvml_try(function(handle, &raw mut info))?;
        Ok(info)
    }
}

/// How a GPU is built in and configured.
pub(crate) fn settings(asker: &mut Asker<'_>) {
    asker.text_by(gpu::VBIOS_VERSION, |lib| &lib.nvmlDeviceGetVbiosVersion);
    asker.text_by(gpu::INFOROM_VERSION, |lib| {
        &lib.nvmlDeviceGetInforomImageVersion
    });
    asker.text(gpu::GSP_FIRMWARE_VERSION, |lib, handle| {
        let function = nvml_sym(lib.nvmlDeviceGetGspFirmwareVersion.as_ref())?;
        // SAFETY: NVML takes no length here and writes at most 64 bytes, which is less than the buffer has.
        guard::text(|text, _| unsafe { function(handle, text) })
    });
    asker.read(gpu::GSP_FIRMWARE_ENABLED, |device| {
        Ok(device.gsp_firmware_mode()?.enabled)
    });
    asker.count(gpu::PCIE_GENERATION_MAX, Device::max_pcie_link_gen);
    asker.count(gpu::PCIE_WIDTH, Device::current_pcie_link_width);
    asker.count(gpu::PCIE_WIDTH_MAX, Device::max_pcie_link_width);
    asker.power(gpu::POWER_LIMIT_WATTS, Device::power_management_limit);
    asker.power(
        gpu::POWER_LIMIT_DEFAULT_WATTS,
        Device::power_management_limit_default,
    );
    let limits = asker.attempt(gpu::POWER_LIMIT_MIN_WATTS.field(), |device| {
        let limits = device.power_management_limit_constraints()?;
        Ok((limits.min_limit, limits.max_limit))
    });
    asker.set_watts(gpu::POWER_LIMIT_MIN_WATTS, limits.map(|(least, _)| least));
    asker.set_watts(gpu::POWER_LIMIT_MAX_WATTS, limits.map(|(_, most)| most));
    asker.clock(gpu::SM_CLOCK_MAX_MHZ, |device| {
        device.max_clock_info(Clock::SM)
    });
    asker.clock(gpu::MEMORY_CLOCK_MAX_MHZ, |device| {
        device.max_clock_info(Clock::Memory)
    });
    asker.clock(gpu::APPLICATION_SM_CLOCK_MHZ, |device| {
        device.applications_clock(Clock::SM)
    });
    asker.clock(gpu::APPLICATION_MEMORY_CLOCK_MHZ, |device| {
        device.applications_clock(Clock::Memory)
    });
    asker.temperature(gpu::TEMPERATURE_SLOWDOWN_CELSIUS, |device| {
        device.temperature_threshold(TemperatureThreshold::Slowdown)
    });
    asker.temperature(gpu::TEMPERATURE_SHUTDOWN_CELSIUS, |device| {
        device.temperature_threshold(TemperatureThreshold::Shutdown)
    });
    asker.temperature(gpu::TEMPERATURE_OPERATING_MAX_CELSIUS, |device| {
        device.temperature_threshold(TemperatureThreshold::GpuMax)
    });
    asker.count(gpu::FAN_COUNT, Device::num_fans);
    let ecc = asker.attempt(gpu::ECC_ENABLED.field(), |device| {
        let state = device.is_ecc_enabled()?;
        Ok((state.currently_enabled, state.pending_enabled))
    });
    asker.record.set(gpu::ECC_ENABLED, ecc.map(|(now, _)| now));
    asker
        .record
        .set(gpu::ECC_PENDING, ecc.map(|(_, later)| later));
    let mig = asker.attempt(gpu::MIG_ENABLED.field(), |device| {
        let mode = device.mig_mode()?;
        Ok((mode.current == 1, mode.pending == 1))
    });
    asker.record.set(gpu::MIG_ENABLED, mig.map(|(now, _)| now));
    asker
        .record
        .set(gpu::MIG_PENDING, mig.map(|(_, later)| later));
    asker.word(gpu::COMPUTE_MODE, COMPUTE_MODES, |lib| {
        &lib.nvmlDeviceGetComputeMode
    });
    asker.read(gpu::PERSISTENCE_MODE, Device::is_in_persistent_mode);
    asker.word(gpu::VIRTUALIZATION_MODE, VIRTUALIZATION_MODES, |lib| {
        &lib.nvmlDeviceGetVirtualizationMode
    });
    asker.read(gpu::DISPLAY_ACTIVE, Device::is_display_active);
    asker.read(gpu::BAR1_TOTAL_BYTES, |device| {
        Ok(device.bar1_memory_info()?.total)
    });
}

/// How well a GPU is: counters that should stand still.
pub(crate) fn health(asker: &mut Asker<'_>) {
    asker.read(gpu::ECC_UNCORRECTED, |device| {
        device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)
    });
    asker.read(gpu::ECC_UNCORRECTED_LIFETIME, |device| {
        device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Aggregate)
    });
    rows(asker);
    for (key, cause) in [
        (
            gpu::RETIRED_PAGES_CORRECTED,
            RetirementCause::MultipleSingleBitEccErrors,
        ),
        (
            gpu::RETIRED_PAGES_UNCORRECTED,
            RetirementCause::DoubleBitEccError,
        ),
    ] {
        let (lib, handle) = (asker.lib(), asker.handle());
        asker.read(key, |_| retired_pages(lib, handle, cause.as_c()));
    }
    asker.read(
        gpu::RETIRED_PAGES_PENDING,
        Device::are_pages_pending_retired,
    );
}

/// How many pages were retired for a cause. The wrapper asks for their addresses in a way that fails where there are none.
fn retired_pages(lib: &NvmlLib, handle: nvmlDevice_t, cause: u32) -> Result<u64, NvmlError> {
    let function = nvml_sym(lib.nvmlDeviceGetRetiredPages.as_ref())?;
    let mut count = 0;
    // SAFETY: with a count of 0 NVML writes the count only.
    let code = unsafe { function(handle, cause, &raw mut count, std::ptr::null_mut()) };
    if code != bindings::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE {
        nvml_try(code)?;
    }
    Ok(u64::from(count))
}

/// The row remapper, by its own function or by field values.
fn rows(asker: &mut Asker<'_>) {
    let (lib, handle) = (asker.lib(), asker.handle());
    let rows = asker.attempt(
        gpu::REMAPPED_ROWS_CORRECTED.field(),
        |device| match remapped_rows(lib, handle) {
            Err(NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound) => {
                row_fields(device)
            }
            other => other,
        },
    );
    let record = &mut asker.record;
    record.set(gpu::REMAPPED_ROWS_CORRECTED, rows.map(|rows| rows[0]));
    record.set(gpu::REMAPPED_ROWS_UNCORRECTED, rows.map(|rows| rows[1]));
    record.set(gpu::ROW_REMAP_PENDING, rows.map(|rows| rows[2] != 0));
    record.set(gpu::ROW_REMAP_FAILED, rows.map(|rows| rows[3] != 0));
}

fn remapped_rows(lib: &NvmlLib, handle: nvmlDevice_t) -> Result<[u64; 4], NvmlError> {
    let function = nvml_sym(lib.nvmlDeviceGetRemappedRows.as_ref())?;
    let [mut corrected, mut uncorrected, mut pending, mut failed] = [0_u32; 4];
    // SAFETY: four places for four integers.
    nvml_try(unsafe {
        function(
            handle,
            &raw mut corrected,
            &raw mut uncorrected,
            &raw mut pending,
            &raw mut failed,
        )
    })?;
    Ok([corrected, uncorrected, pending, failed].map(u64::from))
}

fn row_fields(device: &Device<'_>) -> Result<[u64; 4], NvmlError> {
    let mut rows = [0; 4];
    let values = device.field_values_for(&ROW_FIELDS.map(FieldId))?;
    for (row, value) in rows.iter_mut().zip(values) {
        *row = crate::live::integer(value?.value?)?;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_processors_are_told_as_ranges() {
        assert_eq!(ranges(set_bits(&[0b1011, 1])).as_deref(), Some("0-1,3,64"));
        assert_eq!(ranges(set_bits(&[0, 0])), None);
    }

    #[test]
    fn multiprocessors_are_known_for_known_generations_only() {
        assert_eq!(cores_per_sm((9, 0)), Some(128));
        assert_eq!(cores_per_sm((7, 5)), Some(64));
        assert_eq!(cores_per_sm((15, 0)), None);
    }
}
