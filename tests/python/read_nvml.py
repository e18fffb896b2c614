#!/usr/bin/env python3
"""Prints everything that NVIDIA's own client reads from NVML, as JSON: each query as {"value": ..} or {"error": NVML's code}.

Needs PYTHONPATH with nvidia-ml-py, and a libnvidia-ml.so.1. What it reads is compared with what the fake library was told to say.
"""

import ctypes
import json
import sys

import pynvml as N

CLOCKS = [N.NVML_CLOCK_GRAPHICS, N.NVML_CLOCK_SM, N.NVML_CLOCK_MEM, N.NVML_CLOCK_VIDEO]
FIELDS = [1, 2, 3, 4, 5, 6, 29, 30, 31, 82, 83, 91, 94, 142, 143, 144, 145, 185, 186, 187, 188, 189, 190, 192, 250]
LEVELS = [0, 10, 20, 30, 40, 50]


class OldestProcess(ctypes.Structure):
    """The first version's item, which this client no longer has."""

    _fields_ = [("pid", ctypes.c_uint), ("usedGpuMemory", ctypes.c_ulonglong)]


def plain(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, ctypes.Structure):
        return {field[0]: plain(getattr(value, field[0])) for field in value._fields_}
    if isinstance(value, ctypes.Array):
        return [plain(item) for item in value]
    if isinstance(value, ctypes._SimpleCData):
        return value.value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "__dict__"):
        return {name: plain(item) for name, item in vars(value).items()}
    return value


def answer(query, *arguments):
    try:
        return {"value": plain(query(*arguments))}
    except N.NVMLError as error:
        return {"error": error.value}


def each(query, handle, arguments):
    return [answer(query, handle, argument) for argument in arguments]


def oldest_processes(name):
    """The first version of a process query, of which the client has no function."""

    def query(handle):
        count = ctypes.c_uint(0)
        function = N._nvmlGetFunctionPointer(name)
        code = function(handle, ctypes.byref(count), None)
        if code == N.NVML_SUCCESS:
            return []
        if code != N.NVML_ERROR_INSUFFICIENT_SIZE:
            raise N.NVMLError(code)
        items = (OldestProcess * count.value)()
        N._nvmlCheckReturn(function(handle, ctypes.byref(count), items))
        return items[: count.value]

    return query


def field_values(handle):
    values = []
    for value in N.nvmlDeviceGetFieldValues(handle, FIELDS):
        if value.nvmlReturn != N.NVML_SUCCESS:
            values.append([value.fieldId, {"error": value.nvmlReturn}])
            continue
        wide = value.valueType == N.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
        values.append([value.fieldId, {"value": value.value.ullVal if wide else value.value.uiVal}])
    return values


PROCESSES = {
    "compute_v1": oldest_processes("nvmlDeviceGetComputeRunningProcesses"),
    "compute_v2": N.nvmlDeviceGetComputeRunningProcesses_v2,
    "compute_v3": N.nvmlDeviceGetComputeRunningProcesses_v3,
    "graphics_v1": oldest_processes("nvmlDeviceGetGraphicsRunningProcesses"),
    "graphics_v2": N.nvmlDeviceGetGraphicsRunningProcesses_v2,
    "graphics_v3": N.nvmlDeviceGetGraphicsRunningProcesses_v3,
    "mps_v3": N.nvmlDeviceGetMPSComputeRunningProcesses_v3,
}

BOTH = {
    "uuid": N.nvmlDeviceGetUUID,
    "name": N.nvmlDeviceGetName,
    "index": N.nvmlDeviceGetIndex,
    "is_mig": N.nvmlDeviceIsMigDeviceHandle,
    "memory": N.nvmlDeviceGetMemoryInfo,
    "memory_v2": lambda handle: N.nvmlDeviceGetMemoryInfo(handle, version=N.nvmlMemory_v2),
    "attributes": N.nvmlDeviceGetAttributes_v2,
    "gpu_instance": N.nvmlDeviceGetGpuInstanceId,
    "compute_instance": N.nvmlDeviceGetComputeInstanceId,
    "parent_uuid": lambda handle: N.nvmlDeviceGetUUID(N.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)),
    "index_by_uuid": lambda handle: N.nvmlDeviceGetIndex(N.nvmlDeviceGetHandleByUUID(N.nvmlDeviceGetUUID(handle))),
    "temperature": lambda handle: N.nvmlDeviceGetTemperature(handle, N.NVML_TEMPERATURE_GPU),
    "serial": N.nvmlDeviceGetSerial,
    "power_usage": N.nvmlDeviceGetPowerUsage,
    **PROCESSES,
}

WHOLE = {
    "minor_number": N.nvmlDeviceGetMinorNumber,
    "pci": N.nvmlDeviceGetPciInfo,
    "index_by_bus_id": lambda handle: N.nvmlDeviceGetIndex(
        N.nvmlDeviceGetHandleByPciBusId(N.nvmlDeviceGetPciInfo(handle).busId)
    ),
    "board_part_number": N.nvmlDeviceGetBoardPartNumber,
    "brand": N.nvmlDeviceGetBrand,
    "architecture": N.nvmlDeviceGetArchitecture,
    "compute_capability": N.nvmlDeviceGetCudaComputeCapability,
    "num_gpu_cores": N.nvmlDeviceGetNumGpuCores,
    "vbios_version": N.nvmlDeviceGetVbiosVersion,
    "inforom_image_version": N.nvmlDeviceGetInforomImageVersion,
    "inforom": lambda handle: each(N.nvmlDeviceGetInforomVersion, handle, range(5)),
    "gsp_firmware_version": N.nvmlDeviceGetGspFirmwareVersion,
    "gsp_firmware_mode": N.nvmlDeviceGetGspFirmwareMode,
    "bar1": N.nvmlDeviceGetBAR1MemoryInfo,
    "memory_bus_width": N.nvmlDeviceGetMemoryBusWidth,
    "pcie_generation": N.nvmlDeviceGetCurrPcieLinkGeneration,
    "pcie_width": N.nvmlDeviceGetCurrPcieLinkWidth,
    "pcie_max_generation": N.nvmlDeviceGetMaxPcieLinkGeneration,
    "pcie_max_width": N.nvmlDeviceGetMaxPcieLinkWidth,
    "pcie_gpu_max_generation": N.nvmlDeviceGetGpuMaxPcieLinkGeneration,
    "pcie_replay_counter": N.nvmlDeviceGetPcieReplayCounter,
    "enforced_limit": N.nvmlDeviceGetEnforcedPowerLimit,
    "management_limit": N.nvmlDeviceGetPowerManagementLimit,
    "default_limit": N.nvmlDeviceGetPowerManagementDefaultLimit,
    "limit_constraints": N.nvmlDeviceGetPowerManagementLimitConstraints,
    "energy": N.nvmlDeviceGetTotalEnergyConsumption,
    "performance_state": N.nvmlDeviceGetPerformanceState,
    "clocks_current": lambda handle: each(N.nvmlDeviceGetClockInfo, handle, CLOCKS),
    "clocks_max": lambda handle: each(N.nvmlDeviceGetMaxClockInfo, handle, CLOCKS),
    "clocks_applications": lambda handle: each(N.nvmlDeviceGetApplicationsClock, handle, CLOCKS),
    "clocks_default_applications": lambda handle: each(N.nvmlDeviceGetDefaultApplicationsClock, handle, CLOCKS),
    "clocks_max_customer_boost": lambda handle: each(N.nvmlDeviceGetMaxCustomerBoostClock, handle, CLOCKS),
    "temperature_thresholds": lambda handle: each(N.nvmlDeviceGetTemperatureThreshold, handle, range(7)),
    "fan_speed": N.nvmlDeviceGetFanSpeed,
    "fan_speeds": lambda handle: each(N.nvmlDeviceGetFanSpeed_v2, handle, range(2)),
    "num_fans": N.nvmlDeviceGetNumFans,
    "throttle_reasons": N.nvmlDeviceGetCurrentClocksThrottleReasons,
    "event_reasons": N.nvmlDeviceGetCurrentClocksEventReasons,
    "supported_throttle_reasons": N.nvmlDeviceGetSupportedClocksThrottleReasons,
    "supported_event_reasons": N.nvmlDeviceGetSupportedClocksEventReasons,
    "ecc_mode": N.nvmlDeviceGetEccMode,
    "ecc_errors": lambda handle: [
        answer(N.nvmlDeviceGetTotalEccErrors, handle, error, counter) for counter in (0, 1) for error in (0, 1)
    ],
    "fields": field_values,
    "remapped_rows": N.nvmlDeviceGetRemappedRows,
    "retired_pages": lambda handle: each(N.nvmlDeviceGetRetiredPages_v2, handle, (0, 1)),
    "retired_addresses": lambda handle: each(N.nvmlDeviceGetRetiredPages, handle, (0, 1)),
    "retired_pages_pending": N.nvmlDeviceGetRetiredPagesPendingStatus,
    "mig_mode": N.nvmlDeviceGetMigMode,
    "max_mig_devices": N.nvmlDeviceGetMaxMigDeviceCount,
    "nvlink_states": lambda handle: each(N.nvmlDeviceGetNvLinkState, handle, range(19)),
    "nvlink_version": lambda handle: N.nvmlDeviceGetNvLinkVersion(handle, 0),
    "nvlink_remote_type": lambda handle: N.nvmlDeviceGetNvLinkRemoteDeviceType(handle, 0),
    "nvlink_remote": lambda handle: N.nvmlDeviceGetNvLinkRemotePciInfo(handle, 0),
    "nvlink_errors": lambda handle: [answer(N.nvmlDeviceGetNvLinkErrorCounter, handle, 0, kind) for kind in range(5)],
    "cpu_affinity": lambda handle: N.nvmlDeviceGetCpuAffinity(handle, 4),
    "memory_affinity": lambda handle: N.nvmlDeviceGetMemoryAffinity(handle, 2, 0),
    "numa_node": N.nvmlDeviceGetNumaNodeId,
    "compute_mode": N.nvmlDeviceGetComputeMode,
    "persistence_mode": N.nvmlDeviceGetPersistenceMode,
    "virtualization_mode": N.nvmlDeviceGetVirtualizationMode,
    "display_active": N.nvmlDeviceGetDisplayActive,
    "display_mode": N.nvmlDeviceGetDisplayMode,
    "utilization": N.nvmlDeviceGetUtilizationRates,
    "encoder": N.nvmlDeviceGetEncoderUtilization,
    "decoder": N.nvmlDeviceGetDecoderUtilization,
    "process_utilization": lambda handle: N.nvmlDeviceGetProcessUtilization(handle, 0),
}


def read_device(handle, handles):
    read = {name: answer(query, handle) for name, query in {**BOTH, **WHOLE}.items()}
    read["nearest"] = [
        answer(lambda level=level: [N.nvmlDeviceGetIndex(near) for near in N.nvmlDeviceGetTopologyNearestGpus(handle, level)])
        for level in LEVELS
    ]
    read["ancestors"] = [answer(N.nvmlDeviceGetTopologyCommonAncestor, handle, other) for other in handles]
    read["p2p"] = [[answer(N.nvmlDeviceGetP2PStatus, handle, other, kind) for kind in range(5)] for other in handles]
    read["instances"] = []
    for slot in range(read["max_mig_devices"].get("value", 0)):
        try:
            instance = N.nvmlDeviceGetMigDeviceHandleByIndex(handle, slot)
        except N.NVMLError as error:
            read["instances"].append({"error": error.value})
        else:
            read["instances"].append({"value": {name: answer(query, instance) for name, query in BOTH.items()}})
    return read


def main():
    N.nvmlInit()
    handles = [N.nvmlDeviceGetHandleByIndex(index) for index in range(N.nvmlDeviceGetCount())]
    read = {
        "driver_version": N.nvmlSystemGetDriverVersion(),
        "nvml_version": N.nvmlSystemGetNVMLVersion(),
        "cuda_version": N.nvmlSystemGetCudaDriverVersion(),
        "cuda_version_v2": N.nvmlSystemGetCudaDriverVersion_v2(),
        "devices": [read_device(handle, handles) for handle in handles],
        "process_names": {pid: answer(N.nvmlSystemGetProcessName, int(pid)) for pid in sys.argv[1:]},
    }
    N.nvmlShutdown()
    json.dump(read, sys.stdout)


if __name__ == "__main__":
    main()
