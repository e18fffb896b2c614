//! A device of the file: every field is in the unit of the C function that it answers, and answers `not_supported` where it is absent.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::answer::{Answer, Code, Text};

/// A GPU. Enumerations are NVML's raw numbers, so that ones unknown to a reader can be given; states are 0 disabled, 1 enabled.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    /// The preset that the other fields were laid over.
    pub preset: Option<String>,
    /// `GPU-…`. Two devices may share one.
    pub uuid: Answer<Text>,
    /// The product.
    pub name: Answer<Text>,
    /// Short for `name = { bytes = [..] }`.
    pub name_bytes: Option<Vec<u8>>,
    /// Of the board.
    pub serial: Answer<Text>,
    /// Of the board.
    pub board_part_number: Answer<Text>,
    /// `nvmlBrandType_t`.
    pub brand: Answer<u32>,
    /// `nvmlDeviceArchitecture_t`.
    pub architecture: Answer<u32>,
    /// Major, minor.
    pub compute_capability: Answer<[i32; 2]>,
    /// CUDA cores.
    pub num_gpu_cores: Answer<u32>,
    /// The N of `/dev/nvidiaN`; the device's place in the file where nothing is said.
    pub minor_number: Answer<u32>,
    /// Of the video BIOS.
    pub vbios_version: Answer<Text>,
    /// Of the whole infoROM.
    pub inforom_image_version: Answer<Text>,
    /// Of the infoROM's objects.
    pub inforom: Inforom,
    /// Of the GPU's own processor.
    pub gsp_firmware_version: Answer<Text>,
    /// Enabled, enabled by default.
    pub gsp_firmware_mode: Answer<[u32; 2]>,
    /// Where it is on the bus, and what it says there.
    pub pci: Answer<Pci>,
    /// Frame buffer.
    pub memory: Answer<Memory>,
    /// The window that the bus sees.
    pub bar1: Answer<Bar1>,
    /// Bits.
    pub memory_bus_width: Answer<u32>,
    /// The link to the host.
    pub pcie: Pcie,
    /// Draw and limits.
    pub power: Power,
    /// `nvmlPstates_t`: 0 is the fastest.
    pub performance_state: Answer<u32>,
    /// Now, at most and set.
    pub clocks: Clocks,
    /// °C. C's type is unsigned: a negative one comes out as the number with the same bits.
    pub temperature: Answer<i64>,
    /// °C, field 82.
    pub memory_temperature: Answer<u32>,
    /// °C.
    pub temperature_thresholds: Thresholds,
    /// Percent of each fan; `[]` is a card without any.
    pub fans: Answer<Vec<u32>>,
    /// The bits of `nvmlClocksEventReason…` that hold.
    pub throttle_reasons: Answer<u64>,
    /// The bits that can.
    pub supported_throttle_reasons: Answer<u64>,
    /// Mode and counters.
    pub ecc: Ecc,
    /// Every read of an error count adds this much to what the next one finds.
    pub ecc_growth_per_read: u64,
    /// Rows of memory that were replaced.
    pub remapped_rows: Answer<RemappedRows>,
    /// Pages of memory that are avoided.
    pub retired_pages: RetiredPages,
    /// Partitions.
    pub mig: Mig,
    /// All links of the device, of one kind.
    pub nvlinks: Answer<NvLinks>,
    /// The host's CPUs near it, 64 in a word.
    pub cpu_affinity: Answer<Vec<u64>>,
    /// The host's NUMA nodes near it, 64 in a word.
    pub memory_affinity: Answer<Vec<u64>>,
    /// The NUMA node of its own memory: only where the host's kernel manages that.
    pub numa_node: Answer<u32>,
    /// `nvmlComputeMode_t`.
    pub compute_mode: Answer<u32>,
    /// State.
    pub persistence_mode: Answer<u32>,
    /// `nvmlGpuVirtualizationMode_t`.
    pub virtualization_mode: Answer<u32>,
    /// State: a display is initialised.
    pub display_active: Answer<u32>,
    /// State: a display is connected.
    pub display_mode: Answer<u32>,
    /// Percent of the last sampling period.
    pub utilization: Utilization,
    /// Who uses it.
    pub processes: Answer<Vec<Process>>,
    /// Samples per process; `[]` answers `not_found`.
    pub process_utilization: Answer<Vec<ProcessSample>>,

    /// Every call answers `gpu_is_lost`.
    pub lost: bool,
    /// Every call from the N-th on answers `gpu_is_lost`, counted since the file has this number.
    pub lost_after_calls: Option<u64>,
    /// Functions that block for as long as the file names them.
    pub hang: Names,
    /// What the process queries report as their number, whatever there is.
    pub process_count: Option<u32>,
    /// Functions that answer an error, whatever the fields say.
    pub fail: BTreeMap<String, Code>,
}

/// Functions: one name or a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Names(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Names {
    fn from(names: OneOrMany) -> Self {
        match names {
            OneOrMany::One(name) => Self(vec![name]),
            OneOrMany::Many(names) => Self(names),
        }
    }
}

/// Versions of the infoROM's objects.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inforom {
    /// The manufacturer's data.
    pub oem: Answer<Text>,
    /// Error correction.
    pub ecc: Answer<Text>,
    /// Power management.
    pub power: Answer<Text>,
}

/// A place on the PCI bus.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pci {
    /// Domain.
    pub domain: u32,
    /// Bus, at most 0xff.
    pub bus: u32,
    /// Device.
    pub device: u32,
    /// Device in the upper half, vendor (0x10DE) in the lower.
    pub device_id: u32,
    /// The same of the board's maker.
    pub subsystem_id: u32,
}

/// Bytes of memory. `used` is what programs hold; free is the rest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// All of it.
    pub total: u64,
    /// Held by the driver. The first version of the call counts it as used.
    pub reserved: u64,
    /// Held by programs.
    pub used: u64,
}

/// Bytes of the window.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar1 {
    /// All of it.
    pub total: u64,
    /// Mapped.
    pub used: u64,
}

/// Generations and numbers of lanes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pcie {
    /// Now: an idle card reports a lower one.
    pub generation: Answer<u32>,
    /// Now.
    pub width: Answer<u32>,
    /// What GPU and slot allow together.
    pub max_generation: Answer<u32>,
    /// What GPU and slot allow together.
    pub max_width: Answer<u32>,
    /// What the GPU allows.
    pub gpu_max_generation: Answer<u32>,
    /// Replays since the start.
    pub replay_counter: Answer<u32>,
}

/// Milliwatts and millijoules.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Power {
    /// Draw, mW.
    pub usage: Answer<u32>,
    /// The lowest of all limits in force, mW.
    pub enforced_limit: Answer<u32>,
    /// The limit set by the administrator, mW.
    pub management_limit: Answer<u32>,
    /// The limit after a start, mW.
    pub default_limit: Answer<u32>,
    /// The lowest and the highest that can be set, mW.
    pub limit_constraints: Answer<[u32; 2]>,
    /// Since the driver was loaded, mJ.
    pub energy: Answer<u64>,
}

/// MHz.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clocks {
    /// Now.
    pub current: ClockSet,
    /// The highest.
    pub max: ClockSet,
    /// Set by the administrator.
    pub applications: ClockSet,
    /// After a start.
    pub default_applications: ClockSet,
    /// The highest that can be set.
    pub max_customer_boost: ClockSet,
}

/// MHz of each domain.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockSet {
    /// `NVML_CLOCK_GRAPHICS`.
    pub graphics: Answer<u32>,
    /// `NVML_CLOCK_SM`.
    pub sm: Answer<u32>,
    /// `NVML_CLOCK_MEM`.
    pub memory: Answer<u32>,
    /// `NVML_CLOCK_VIDEO`.
    pub video: Answer<u32>,
}

/// °C.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// The GPU shuts down.
    pub shutdown: Answer<u32>,
    /// The GPU slows down.
    pub slowdown: Answer<u32>,
    /// The memory slows down.
    pub mem_max: Answer<u32>,
    /// The GPU leaves its highest clocks.
    pub gpu_max: Answer<u32>,
    /// Acoustic, lowest.
    pub acoustic_min: Answer<u32>,
    /// Acoustic, set.
    pub acoustic_current: Answer<u32>,
    /// Acoustic, highest.
    pub acoustic_max: Answer<u32>,
}

/// Error correction.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ecc {
    /// State now, and after the next start.
    pub mode: Answer<[u32; 2]>,
    /// Errors found.
    pub errors: Answer<EccErrors>,
}

/// Numbers of errors: volatile since the driver was loaded, aggregate over the card's life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EccErrors {
    /// Single bits.
    pub volatile_corrected: u64,
    /// Double bits.
    pub volatile_uncorrected: u64,
    /// Single bits.
    pub aggregate_corrected: u64,
    /// Double bits.
    pub aggregate_uncorrected: u64,
}

/// Numbers of rows, and states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemappedRows {
    /// After correctable errors.
    pub correctable: u32,
    /// After uncorrectable errors.
    pub uncorrectable: u32,
    /// 1: more after the next reset.
    pub pending: u32,
    /// 1: one could not be replaced.
    pub failure: u32,
}

/// Pages, each as address and microseconds since 1970.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetiredPages {
    /// After several single-bit errors.
    pub single_bit: Answer<Vec<[u64; 2]>>,
    /// After a double-bit error.
    pub double_bit: Answer<Vec<[u64; 2]>>,
    /// State: more after the next reset.
    pub pending: Answer<u32>,
}

/// Partitioning.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mig {
    /// State now, and after the next reset.
    pub mode: Answer<[u32; 2]>,
    /// Slots; reported only while the mode is on.
    pub max_devices: u32,
    /// The slots that are taken.
    pub instances: Vec<MigInstance>,
}

/// A compute instance in a GPU instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigInstance {
    /// The index of `nvmlDeviceGetMigDeviceHandleByIndex`.
    pub slot: u32,
    /// Id within the GPU.
    pub gpu_instance: u32,
    /// Id within the GPU instance.
    pub compute_instance: u32,
    /// `MIG-…`.
    pub uuid: Answer<Text>,
    /// The product and the profile.
    pub name: Answer<Text>,
    /// Of the GPU instance.
    pub memory: Answer<Memory>,
    /// Sizes.
    pub attributes: Answer<MigAttributes>,
}

/// Sizes of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigAttributes {
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Shares of the GPU's compute.
    pub gpu_slices: u32,
    /// Shares of the GPU instance's compute.
    pub compute_slices: u32,
    /// MiB.
    pub memory_size_mb: u64,
    /// Shared among the compute instances.
    #[serde(default)]
    pub copy_engines: u32,
    /// Shared among the compute instances.
    #[serde(default)]
    pub decoders: u32,
    /// Shared among the compute instances.
    #[serde(default)]
    pub encoders: u32,
    /// Shared among the compute instances.
    #[serde(default)]
    pub jpegs: u32,
    /// Shared among the compute instances.
    #[serde(default)]
    pub optical_flows: u32,
}

/// Links to other GPUs or a switch.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NvLinks {
    /// Links 0 to this less one; further ones answer `invalid_argument`.
    pub count: u32,
    /// Links that are down.
    pub inactive: Vec<u32>,
    /// Version of the links.
    pub version: Answer<u32>,
    /// `nvmlIntNvLinkDeviceType_t`: 0 GPU, 2 switch.
    pub remote_type: Answer<u32>,
    /// The other end.
    pub remote: Answer<Pci>,
    /// Replays, recoveries, flits, lanes, ECC: what `nvmlNvLinkErrorCounter_t` counts.
    pub errors: Answer<[u64; 5]>,
}

/// Percent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Utilization {
    /// Time with a kernel running, time with memory traffic.
    pub rates: Answer<[u32; 2]>,
    /// Percent, and the period in µs.
    pub encoder: Answer<[u32; 2]>,
    /// Percent, and the period in µs.
    pub decoder: Answer<[u32; 2]>,
}

/// A process on the device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The host's.
    pub pid: u32,
    /// Bytes; where absent, NVML cannot tell.
    #[serde(default)]
    pub used_bytes: Option<u64>,
    /// What `nvmlSystemGetProcessName` says; where absent, it finds none.
    #[serde(default)]
    pub name: Option<String>,
    /// Which query lists it.
    #[serde(default, rename = "type")]
    pub kind: ProcessKind,
    /// The slot of the MIG instance that it runs on.
    #[serde(default)]
    pub mig: Option<u32>,
}

/// Which query lists a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessKind {
    /// `nvmlDeviceGetComputeRunningProcesses`.
    #[default]
    Compute,
    /// `nvmlDeviceGetGraphicsRunningProcesses`.
    Graphics,
    /// `nvmlDeviceGetMPSComputeRunningProcesses`.
    Mps,
}

/// What a process used of the device in a sampling period, percent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessSample {
    /// The host's.
    pub pid: u32,
    /// Microseconds since 1970; samples up to the caller's are left out.
    pub timestamp: u64,
    /// Multiprocessors.
    pub sm: u32,
    /// Memory traffic.
    pub memory: u32,
    /// Encoder.
    #[serde(default)]
    pub encoder: u32,
    /// Decoder.
    #[serde(default)]
    pub decoder: u32,
}
