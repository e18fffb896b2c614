//! Every field of the inventory: the one list that records, JSON, CSV, filters, events, metrics and the documentation are made of.
//!
//! A field is added here and read in the agent; nothing else needs to know it. A name is never changed and never gets another meaning.

use super::field::{Field, Scope};

macro_rules! catalogue {
    ($(#[$about_list:meta])* $module:ident, $scope:ident {
        $($key:ident: $type:ty = $name:literal, $unit:ident, $class:ident, $about:literal, $source:literal;)*
    }) => {
        $(#[$about_list])*
        pub mod $module {
            use super::super::field::{Class, Field, Key, Scope, Unit};
            use super::super::reading::Typed as _;

            $(
                #[doc = $about]
                pub const $key: Key<$type> = {
                    static FIELD: Field = Field {
                        scope: Scope::$scope,
                        name: $name,
                        kind: <$type>::KIND,
                        unit: Unit::$unit,
                        class: Class::$class,
                        about: $about,
                        source: $source,
                    };
                    Key::new(&FIELD)
                };
            )*

            /// All of them, in the order in which they are shown.
            pub static FIELDS: &[&Field] = &[$($key.field()),*];
        }
    };
}

catalogue! {
    /// Of a host.
    host, Host {
        HOSTNAME: String = "hostname", None, Setting,
            "Name of the host.",
            "gethostname, or etc/hostname below --host-root";
        MACHINE_ID: String = "machine_id", None, Fixed,
            "Stable over reboots: a digest of /etc/machine-id.",
            "/etc/machine-id";
        KERNEL: String = "kernel", Version, Setting,
            "Kernel release.",
            "/proc/sys/kernel/osrelease";
        OS: String = "os", None, Setting,
            "Distribution and version.",
            "/etc/os-release";
        CPU_MODEL: String = "cpu_model", None, Setting,
            "Model name of the processors.",
            "/proc/cpuinfo";
        LOGICAL_CORES: u64 = "logical_cores", Count, Setting,
            "Logical processors.",
            "/proc/cpuinfo";
        PHYSICAL_CORES: u64 = "physical_cores", Count, Setting,
            "Physical cores.",
            "/proc/cpuinfo";
        MEMORY_BYTES: u64 = "memory_bytes", Bytes, Setting,
            "RAM.",
            "/proc/meminfo";
        AGENT_VERSION: String = "agent_version", Version, Setting,
            "Version of the agent.",
            "the agent";
        LIBTORCH_VERSION: String = "libtorch_version", Version, Setting,
            "The libtorch that trials run with.",
            "the worker";
        LIBTORCH_CUDA_VERSION: String = "libtorch_cuda_version", Version, Setting,
            "The CUDA that this libtorch was built for.",
            "the worker";
        LIBTORCH_ARCHITECTURES: String = "libtorch_architectures", None, Setting,
            "Compute capabilities that this libtorch carries code for, ascending, separated by spaces.",
            "libtorch_cuda.so, read by the worker";
        DRIVER_VERSION: String = "driver_version", Version, Setting,
            "NVIDIA driver.",
            "nvmlSystemGetDriverVersion, else /proc/driver/nvidia/version";
        NVML_VERSION: String = "nvml_version", Version, Setting,
            "NVML library.",
            "nvmlSystemGetNVMLVersion";
        CUDA_DRIVER_VERSION: String = "cuda_driver_version", Version, Setting,
            "Newest CUDA that the driver supports.",
            "nvmlSystemGetCudaDriverVersion_v2";
    }
}

catalogue! {
    /// Of a GPU or a MIG instance.
    gpu, Gpu {
        UUID: String = "uuid", None, Fixed,
            "Name of the device for ever: GPU-.. or MIG-.. .",
            "nvmlDeviceGetUUID";
        INDEX: u64 = "index", Count, Unstable,
            "NVML's number of the device at the moment.",
            "nvmlDeviceGetIndex";
        MINOR_NUMBER: u64 = "minor_number", Count, Unstable,
            "Of /dev/nvidiaN.",
            "nvmlDeviceGetMinorNumber";
        NAME: String = "name", None, Fixed,
            "Marketing name.",
            "nvmlDeviceGetName";
        BRAND: String = "brand", None, Fixed,
            "Product line.",
            "nvmlDeviceGetBrand";
        SERIAL: String = "serial", None, Fixed,
            "Serial number of the board; consumer cards have none.",
            "nvmlDeviceGetSerial";
        BOARD_PART_NUMBER: String = "board_part_number", None, Fixed,
            "Part number of the board; consumer cards have none.",
            "nvmlDeviceGetBoardPartNumber";
        PCI_BUS_ID: String = "pci_bus_id", None, Setting,
            "The slot: PCI domain, bus and device.",
            "nvmlDeviceGetPciInfo_v3";
        PCI_DEVICE_ID: String = "pci_device_id", None, Fixed,
            "PCI vendor and device id, as lspci writes them: two products can share a name.",
            "nvmlDeviceGetPciInfo_v3";
        PCI_SUBSYSTEM_ID: String = "pci_subsystem_id", None, Fixed,
            "PCI subsystem vendor and device id.",
            "nvmlDeviceGetPciInfo_v3";
        ARCHITECTURE: String = "architecture", None, Fixed,
            "Generation of the chip; a raw number where it is newer than this program.",
            "nvmlDeviceGetArchitecture";
        COMPUTE_CAPABILITY: String = "compute_capability", Version, Fixed,
            "CUDA compute capability.",
            "nvmlDeviceGetCudaComputeCapability";
        SM_COUNT: u64 = "sm_count", Count, Fixed,
            "Streaming multiprocessors.",
            "CUDA, through the worker; else CUDA cores by cores per SM; nvmlDeviceGetAttributes_v2 of a MIG instance";
        CUDA_CORES: u64 = "cuda_cores", Count, Fixed,
            "CUDA cores.",
            "nvmlDeviceGetNumGpuCores";
        MEMORY_TOTAL_BYTES: u64 = "memory_total_bytes", Bytes, Fixed,
            "Memory of the device; with `memory_unified` that of the host.",
            "nvmlDeviceGetMemoryInfo_v2, else nvmlDeviceGetMemoryInfo, else MemTotal";
        MEMORY_UNIFIED: bool = "memory_unified", None, Fixed,
            "The device has no memory of its own and uses the host's.",
            "no memory of its own by NVML";
        MEMORY_RESERVED_BYTES: u64 = "memory_reserved_bytes", Bytes, Unstable,
            "Memory that driver and firmware keep.",
            "nvmlDeviceGetMemoryInfo_v2";
        MEMORY_USED_BYTES: u64 = "memory_used_bytes", Bytes, Live,
            "Memory in use; before driver 510 together with what is reserved.",
            "nvmlDeviceGetMemoryInfo_v2";
        MEMORY_FREE_BYTES: u64 = "memory_free_bytes", Bytes, Live,
            "Memory that is free.",
            "nvmlDeviceGetMemoryInfo_v2";
        BAR1_TOTAL_BYTES: u64 = "bar1_total_bytes", Bytes, Unstable,
            "Size of the BAR1 window.",
            "nvmlDeviceGetBAR1MemoryInfo";
        MEMORY_BUS_WIDTH_BITS: u64 = "memory_bus_width_bits", Count, Fixed,
            "Width of the memory bus.",
            "nvmlDeviceGetMemoryBusWidth";
        VBIOS_VERSION: String = "vbios_version", None, Setting,
            "Firmware of the board.",
            "nvmlDeviceGetVbiosVersion";
        INFOROM_VERSION: String = "inforom_version", None, Setting,
            "Image version of the info ROM.",
            "nvmlDeviceGetInforomImageVersion";
        GSP_FIRMWARE_VERSION: String = "gsp_firmware_version", Version, Setting,
            "Firmware of the GPU system processor.",
            "nvmlDeviceGetGspFirmwareVersion";
        GSP_FIRMWARE_ENABLED: bool = "gsp_firmware_enabled", None, Setting,
            "The GPU system processor is in use.",
            "nvmlDeviceGetGspFirmwareMode";
        PCIE_GENERATION: u64 = "pcie_generation", Count, Live,
            "PCIe generation now; idle cards lower it.",
            "nvmlDeviceGetCurrPcieLinkGeneration";
        PCIE_GENERATION_MAX: u64 = "pcie_generation_max", Count, Setting,
            "PCIe generation that card and slot can do.",
            "nvmlDeviceGetMaxPcieLinkGeneration";
        PCIE_WIDTH: u64 = "pcie_width", Count, Setting,
            "PCIe lanes in use.",
            "nvmlDeviceGetCurrPcieLinkWidth";
        PCIE_WIDTH_MAX: u64 = "pcie_width_max", Count, Setting,
            "PCIe lanes that card and slot can do.",
            "nvmlDeviceGetMaxPcieLinkWidth";
        PCIE_REPLAYS: u64 = "pcie_replays", Count, Live,
            "PCIe packets sent again.",
            "nvmlDeviceGetPcieReplayCounter";
        NUMA_NODE: u64 = "numa_node", Count, Unstable,
            "NUMA node nearest to the device.",
            "sysfs numa_node, else nvmlDeviceGetMemoryAffinity";
        CPU_AFFINITY: String = "cpu_affinity", None, Unstable,
            "Logical processors nearest to the device, as 0-31,64-95.",
            "sysfs local_cpulist, else nvmlDeviceGetCpuAffinity";
        POWER_DRAW_WATTS: f64 = "power_draw_watts", Watts, Live,
            "Power drawn.",
            "nvmlDeviceGetPowerUsage";
        POWER_LIMIT_WATTS: f64 = "power_limit_watts", Watts, Setting,
            "The limit that was set.",
            "nvmlDeviceGetPowerManagementLimit";
        POWER_LIMIT_ENFORCED_WATTS: f64 = "power_limit_enforced_watts", Watts, Live,
            "The limit in force, of all there are; the only one laptops tell.",
            "nvmlDeviceGetEnforcedPowerLimit";
        POWER_LIMIT_DEFAULT_WATTS: f64 = "power_limit_default_watts", Watts, Setting,
            "The limit after a reset.",
            "nvmlDeviceGetPowerManagementDefaultLimit";
        POWER_LIMIT_MIN_WATTS: f64 = "power_limit_min_watts", Watts, Setting,
            "Lowest limit that can be set.",
            "nvmlDeviceGetPowerManagementLimitConstraints";
        POWER_LIMIT_MAX_WATTS: f64 = "power_limit_max_watts", Watts, Setting,
            "Highest limit that can be set.",
            "nvmlDeviceGetPowerManagementLimitConstraints";
        ENERGY_JOULES: f64 = "energy_joules", Joules, Live,
            "Energy used since the driver was loaded.",
            "nvmlDeviceGetTotalEnergyConsumption";
        PERFORMANCE_STATE: u64 = "performance_state", Count, Live,
            "0 is the fastest, 15 the slowest.",
            "nvmlDeviceGetPerformanceState";
        SM_CLOCK_MHZ: u64 = "sm_clock_mhz", Megahertz, Live,
            "Clock of the multiprocessors.",
            "nvmlDeviceGetClockInfo";
        SM_CLOCK_MAX_MHZ: u64 = "sm_clock_max_mhz", Megahertz, Setting,
            "Highest clock of the multiprocessors.",
            "nvmlDeviceGetMaxClockInfo";
        MEMORY_CLOCK_MHZ: u64 = "memory_clock_mhz", Megahertz, Live,
            "Clock of the memory.",
            "nvmlDeviceGetClockInfo";
        MEMORY_CLOCK_MAX_MHZ: u64 = "memory_clock_max_mhz", Megahertz, Setting,
            "Highest clock of the memory.",
            "nvmlDeviceGetMaxClockInfo";
        APPLICATION_SM_CLOCK_MHZ: u64 = "application_sm_clock_mhz", Megahertz, Setting,
            "Clock of the multiprocessors that was asked for applications.",
            "nvmlDeviceGetApplicationsClock";
        APPLICATION_MEMORY_CLOCK_MHZ: u64 = "application_memory_clock_mhz", Megahertz, Setting,
            "Clock of the memory that was asked for applications.",
            "nvmlDeviceGetApplicationsClock";
        TEMPERATURE_CELSIUS: f64 = "temperature_celsius", Celsius, Live,
            "Temperature of the chip.",
            "nvmlDeviceGetTemperature";
        MEMORY_TEMPERATURE_CELSIUS: f64 = "memory_temperature_celsius", Celsius, Live,
            "Temperature of the memory.",
            "field value 82";
        TEMPERATURE_SLOWDOWN_CELSIUS: f64 = "temperature_slowdown_celsius", Celsius, Unstable,
            "From here the hardware slows down.",
            "nvmlDeviceGetTemperatureThreshold";
        TEMPERATURE_SHUTDOWN_CELSIUS: f64 = "temperature_shutdown_celsius", Celsius, Unstable,
            "From here the hardware turns itself off.",
            "nvmlDeviceGetTemperatureThreshold";
        TEMPERATURE_OPERATING_MAX_CELSIUS: f64 = "temperature_operating_max_celsius", Celsius, Unstable,
            "Highest temperature the chip is meant to work at.",
            "nvmlDeviceGetTemperatureThreshold";
        FAN_COUNT: u64 = "fan_count", Count, Fixed,
            "Fans of the card; 0 where the chassis cools it.",
            "nvmlDeviceGetNumFans";
        FAN_SPEED_PERCENT: u64 = "fan_speed_percent", Percent, Live,
            "Speed of the first fan.",
            "nvmlDeviceGetFanSpeed";
        CLOCK_EVENT_REASONS: u64 = "clock_event_reasons", Bits, Live,
            "Why the clocks are not higher (throttle reasons), every bit as the driver sets it.",
            "nvmlDeviceGetCurrentClocksEventReasons, before driver 535 nvmlDeviceGetCurrentClocksThrottleReasons";
        GPU_UTILIZATION_PERCENT: u64 = "gpu_utilization_percent", Percent, Live,
            "Time in which a kernel ran.",
            "nvmlDeviceGetUtilizationRates";
        MEMORY_UTILIZATION_PERCENT: u64 = "memory_utilization_percent", Percent, Live,
            "Time in which memory was read or written.",
            "nvmlDeviceGetUtilizationRates";
        ECC_ENABLED: bool = "ecc_enabled", None, Setting,
            "Memory errors are corrected.",
            "nvmlDeviceGetEccMode";
        ECC_PENDING: bool = "ecc_pending", None, Setting,
            "ECC after the next reboot.",
            "nvmlDeviceGetEccMode";
        ECC_CORRECTED: u64 = "ecc_corrected", Count, Live,
            "Corrected errors since the driver was loaded.",
            "nvmlDeviceGetTotalEccErrors, volatile";
        ECC_UNCORRECTED: u64 = "ecc_uncorrected", Count, Health,
            "Uncorrected errors since the driver was loaded.",
            "nvmlDeviceGetTotalEccErrors, volatile";
        ECC_CORRECTED_LIFETIME: u64 = "ecc_corrected_lifetime", Count, Live,
            "Corrected errors in the life of the board.",
            "nvmlDeviceGetTotalEccErrors, aggregate";
        ECC_UNCORRECTED_LIFETIME: u64 = "ecc_uncorrected_lifetime", Count, Health,
            "Uncorrected errors in the life of the board.",
            "nvmlDeviceGetTotalEccErrors, aggregate";
        REMAPPED_ROWS_CORRECTED: u64 = "remapped_rows_corrected", Count, Health,
            "Rows replaced after corrected errors.",
            "nvmlDeviceGetRemappedRows, else field value 142";
        REMAPPED_ROWS_UNCORRECTED: u64 = "remapped_rows_uncorrected", Count, Health,
            "Rows replaced after uncorrected errors.",
            "nvmlDeviceGetRemappedRows, else field value 143";
        ROW_REMAP_PENDING: bool = "row_remap_pending", None, Health,
            "A row waits for a reset of the GPU to be replaced.",
            "nvmlDeviceGetRemappedRows, else field value 144";
        ROW_REMAP_FAILED: bool = "row_remap_failed", None, Health,
            "There was no row left to replace a broken one.",
            "nvmlDeviceGetRemappedRows, else field value 145";
        RETIRED_PAGES_CORRECTED: u64 = "retired_pages_corrected", Count, Health,
            "Pages given up after corrected errors; before Ampere.",
            "nvmlDeviceGetRetiredPages";
        RETIRED_PAGES_UNCORRECTED: u64 = "retired_pages_uncorrected", Count, Health,
            "Pages given up after an uncorrected error; before Ampere.",
            "nvmlDeviceGetRetiredPages";
        RETIRED_PAGES_PENDING: bool = "retired_pages_pending", None, Health,
            "A page is given up at the next reboot.",
            "nvmlDeviceGetRetiredPagesPendingStatus";
        MIG_ENABLED: bool = "mig_enabled", None, Setting,
            "The GPU is divided into instances.",
            "nvmlDeviceGetMigMode";
        MIG_PENDING: bool = "mig_pending", None, Setting,
            "MIG after the next reset.",
            "nvmlDeviceGetMigMode";
        MIG_INSTANCE_COUNT: u64 = "mig_instance_count", Count, Setting,
            "MIG instances there are.",
            "occupied slots of nvmlDeviceGetMigDeviceHandleByIndex";
        MIG_PROFILE: String = "mig_profile", None, Fixed,
            "Size of a MIG instance, as 1g.10gb.",
            "the name and nvmlDeviceGetAttributes_v2 of a MIG instance";
        GPU_INSTANCE_ID: u64 = "gpu_instance_id", Count, Unstable,
            "GPU instance of a MIG instance.",
            "nvmlDeviceGetGpuInstanceId";
        COMPUTE_INSTANCE_ID: u64 = "compute_instance_id", Count, Unstable,
            "Compute instance of a MIG instance.",
            "nvmlDeviceGetComputeInstanceId";
        NVLINK_COUNT: u64 = "nvlink_count", Count, Fixed,
            "NVLinks of the chip.",
            "nvmlDeviceGetNvLinkState until InvalidArgument";
        NVLINK_ACTIVE: u64 = "nvlink_active", Count, Setting,
            "NVLinks that are up.",
            "nvmlDeviceGetNvLinkState";
        COMPUTE_MODE: String = "compute_mode", None, Setting,
            "Who may compute: default, exclusive_process, prohibited.",
            "nvmlDeviceGetComputeMode";
        PERSISTENCE_MODE: bool = "persistence_mode", None, Setting,
            "The driver stays loaded without clients.",
            "nvmlDeviceGetPersistenceMode";
        VIRTUALIZATION_MODE: String = "virtualization_mode", None, Setting,
            "none, passthrough, vgpu, host_vgpu or host_vsga.",
            "nvmlDeviceGetVirtualizationMode";
        DISPLAY_ACTIVE: bool = "display_active", None, Unstable,
            "A display is driven by it.",
            "nvmlDeviceGetDisplayActive";
        COMPUTE_PROCESSES: u64 = "compute_processes", Count, Live,
            "Processes that compute on it.",
            "nvmlDeviceGetComputeRunningProcesses_v3, else _v2";
    }
}

/// The fields of a scope, in the order in which they are shown.
#[must_use]
pub fn fields(scope: Scope) -> &'static [&'static Field] {
    match scope {
        Scope::Host => host::FIELDS,
        Scope::Gpu => gpu::FIELDS,
    }
}

/// The place of a field among those of its scope.
#[must_use]
pub fn position(scope: Scope, name: &str) -> Option<usize> {
    fields(scope).iter().position(|field| field.name == name)
}

/// A field by name.
#[must_use]
pub fn find(scope: Scope, name: &str) -> Option<&'static Field> {
    fields(scope)
        .iter()
        .find(|field| field.name == name)
        .copied()
}
