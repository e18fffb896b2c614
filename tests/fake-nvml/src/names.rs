//! The functions of NVML that this library has, once: the file's names are checked against this list, and so are the types of the functions.

/// Calls a macro with every function's name.
macro_rules! for_every_function {
    ($callback:ident) => {
        $callback! {
            nvmlInit_v2
            nvmlInitWithFlags
            nvmlShutdown
            nvmlErrorString
            nvmlSystemGetDriverVersion
            nvmlSystemGetNVMLVersion
            nvmlSystemGetCudaDriverVersion
            nvmlSystemGetCudaDriverVersion_v2
            nvmlSystemGetProcessName
            nvmlDeviceGetCount_v2
            nvmlDeviceGetHandleByIndex_v2
            nvmlDeviceGetHandleByUUID
            nvmlDeviceGetHandleByPciBusId_v2
            nvmlDeviceGetUUID
            nvmlDeviceGetIndex
            nvmlDeviceGetMinorNumber
            nvmlDeviceGetName
            nvmlDeviceGetPciInfo_v3
            nvmlDeviceGetSerial
            nvmlDeviceGetBoardPartNumber
            nvmlDeviceGetBrand
            nvmlDeviceGetArchitecture
            nvmlDeviceGetCudaComputeCapability
            nvmlDeviceGetNumGpuCores
            nvmlDeviceGetVbiosVersion
            nvmlDeviceGetInforomImageVersion
            nvmlDeviceGetInforomVersion
            nvmlDeviceGetGspFirmwareVersion
            nvmlDeviceGetGspFirmwareMode
            nvmlDeviceGetMemoryInfo
            nvmlDeviceGetMemoryInfo_v2
            nvmlDeviceGetBAR1MemoryInfo
            nvmlDeviceGetMemoryBusWidth
            nvmlDeviceGetCurrPcieLinkGeneration
            nvmlDeviceGetCurrPcieLinkWidth
            nvmlDeviceGetMaxPcieLinkGeneration
            nvmlDeviceGetMaxPcieLinkWidth
            nvmlDeviceGetGpuMaxPcieLinkGeneration
            nvmlDeviceGetPcieReplayCounter
            nvmlDeviceGetPowerUsage
            nvmlDeviceGetEnforcedPowerLimit
            nvmlDeviceGetPowerManagementLimit
            nvmlDeviceGetPowerManagementLimitConstraints
            nvmlDeviceGetPowerManagementDefaultLimit
            nvmlDeviceGetTotalEnergyConsumption
            nvmlDeviceGetPerformanceState
            nvmlDeviceGetClockInfo
            nvmlDeviceGetMaxClockInfo
            nvmlDeviceGetApplicationsClock
            nvmlDeviceGetDefaultApplicationsClock
            nvmlDeviceGetMaxCustomerBoostClock
            nvmlDeviceGetTemperature
            nvmlDeviceGetTemperatureThreshold
            nvmlDeviceGetFieldValues
            nvmlDeviceGetFanSpeed
            nvmlDeviceGetFanSpeed_v2
            nvmlDeviceGetNumFans
            nvmlDeviceGetCurrentClocksThrottleReasons
            nvmlDeviceGetCurrentClocksEventReasons
            nvmlDeviceGetSupportedClocksThrottleReasons
            nvmlDeviceGetSupportedClocksEventReasons
            nvmlDeviceGetEccMode
            nvmlDeviceGetTotalEccErrors
            nvmlDeviceGetRemappedRows
            nvmlDeviceGetRetiredPages
            nvmlDeviceGetRetiredPages_v2
            nvmlDeviceGetRetiredPagesPendingStatus
            nvmlDeviceGetMigMode
            nvmlDeviceGetMaxMigDeviceCount
            nvmlDeviceGetMigDeviceHandleByIndex
            nvmlDeviceIsMigDeviceHandle
            nvmlDeviceGetDeviceHandleFromMigDeviceHandle
            nvmlDeviceGetAttributes_v2
            nvmlDeviceGetGpuInstanceId
            nvmlDeviceGetComputeInstanceId
            nvmlDeviceGetNvLinkState
            nvmlDeviceGetNvLinkVersion
            nvmlDeviceGetNvLinkRemotePciInfo_v2
            nvmlDeviceGetNvLinkRemoteDeviceType
            nvmlDeviceGetNvLinkErrorCounter
            nvmlDeviceGetTopologyCommonAncestor
            nvmlDeviceGetTopologyNearestGpus
            nvmlDeviceGetP2PStatus
            nvmlDeviceGetComputeMode
            nvmlDeviceGetPersistenceMode
            nvmlDeviceGetVirtualizationMode
            nvmlDeviceGetDisplayActive
            nvmlDeviceGetDisplayMode
            nvmlDeviceGetComputeRunningProcesses
            nvmlDeviceGetComputeRunningProcesses_v2
            nvmlDeviceGetComputeRunningProcesses_v3
            nvmlDeviceGetGraphicsRunningProcesses
            nvmlDeviceGetGraphicsRunningProcesses_v2
            nvmlDeviceGetGraphicsRunningProcesses_v3
            nvmlDeviceGetMPSComputeRunningProcesses_v3
            nvmlDeviceGetProcessUtilization
            nvmlDeviceGetUtilizationRates
            nvmlDeviceGetEncoderUtilization
            nvmlDeviceGetDecoderUtilization
            nvmlDeviceGetMemoryAffinity
            nvmlDeviceGetCpuAffinity
            nvmlDeviceGetNumaNodeId
        }
    };
}

macro_rules! list {
    ($($name:ident)*) => {
        /// The functions of NVML that this library has.
        pub const FUNCTIONS: &[&str] = &[$(stringify!($name)),*];
    };
}

for_every_function!(list);
