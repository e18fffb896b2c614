#!/usr/bin/env python3
"""Compares `batchstep-agent inventory --format json` with NVIDIA's own clients on the same machine, field by field.

    compare_inventory.py INVENTORY.json [NVIDIA_SMI_Q_X.xml]

Every field of the catalogue that nvidia-ml-py can read is compared with it, of GPUs, MIG instances, NVLinks, peers and processes; with the output of
`nvidia-smi -q -x`, what that shows. Prints one line for each difference and counts at the end; exits with the number of differences (at most 100), and with 101
where nvidia-ml-py is missing. What moves by itself may differ within the tolerance that is named here, and what moves too much for one is only compared in whether both
sides can read it. Not compared: sm_count (no function of NVML; check.sh asks PyTorch), memory_unified, and what the kernel tells better (numa_node, cpu_affinity).
"""

import ctypes
import json
import sys
import xml.etree.ElementTree as ElementTree

# Relative tolerance of what moves between two readings; absolute for temperatures.
MOVING = {
    "power_draw_watts": 0.5,
    "memory_used_bytes": 0.2,
    "memory_free_bytes": 0.05,
    "sm_clock_mhz": None,
    "memory_clock_mhz": None,
    "energy_joules": 0.01,  # and what is used meanwhile
    "gpu_utilization_percent": None,
    "memory_utilization_percent": None,
    "pcie_generation": None,
    "performance_state": None,
    "clock_event_reasons": None,
    "pcie_replays": None,
    "fan_speed_percent": 0.2,
    "power_limit_enforced_watts": 0.2,
}
DEGREES = 5.0
# Of the counter of energy, which starts with the driver: ten seconds of a kilowatt.
JOULES = 10_000.0


def same(name, ours, theirs):
    if ours is None or theirs is None:
        return ours is None and theirs is None
    if name.endswith("_celsius"):
        return abs(ours - theirs) <= DEGREES
    if name in MOVING:
        tolerance, least = MOVING[name], JOULES if name == "energy_joules" else 1.0
        return tolerance is None or abs(ours - theirs) <= tolerance * max(abs(ours), abs(theirs)) + least
    if isinstance(ours, float) or isinstance(theirs, float):
        return abs(float(ours) - float(theirs)) < 0.01
    return ours == theirs


class Comparison:
    def __init__(self, with_what):
        self.with_what = with_what
        self.compared = 0
        self.presence = 0
        self.differences = 0

    def field(self, where, record, name, theirs):
        ours = record.get(name)
        if MOVING.get(name, 0) is None:
            self.presence += 1
        else:
            self.compared += 1
        if not same(name, ours, theirs):
            reason = record.get("absent", {}).get(name)
            self.differences += 1
            print(f"DIFFERS {where} {name}: {ours!r}{f' ({reason})' if reason else ''}, {self.with_what}: {theirs!r}")

    def end(self):
        print(f"{self.compared} values and the presence of {self.presence} more compared with {self.with_what}, {self.differences} differ")
        return self.differences


def text(value):
    value = value.decode(errors="replace") if isinstance(value, bytes) else value
    return value.strip() or None


def by_nvml(document):
    import pynvml as N

    comparison = Comparison("nvidia-ml-py")
    N.nvmlInit()

    def read(query, *arguments, then=lambda value: value):
        try:
            return then(query(*arguments))
        except (N.NVMLError, AttributeError):
            return None

    host = document["host"]
    comparison.field("host", host, "driver_version", read(N.nvmlSystemGetDriverVersion, then=text))
    comparison.field("host", host, "nvml_version", read(N.nvmlSystemGetNVMLVersion, then=text))
    cuda = read(N.nvmlSystemGetCudaDriverVersion_v2, then=lambda v: f"{v // 1000}.{v % 1000 // 10}")
    comparison.field("host", host, "cuda_driver_version", cuda)
    comparison.field("host", {"gpus": len(document["gpus"])}, "gpus", N.nvmlDeviceGetCount())

    watts = lambda milliwatts: milliwatts / 1e3
    signed = lambda celsius: float(ctypes.c_int(celsius).value)
    flag = bool

    def word(words):
        return lambda number: words.get(number, f"unknown ({number})")

    def field_value(handle, field):
        value = N.nvmlDeviceGetFieldValues(handle, [field])[0]
        if value.nvmlReturn != N.NVML_SUCCESS:
            raise N.NVMLError(value.nvmlReturn)
        return value.value.ullVal if value.valueType == N.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG else value.value.uiVal

    modes = word({0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"})
    virtual = word({0: "none", 1: "passthrough", 2: "vgpu", 3: "host_vgpu", 4: "host_vsga"})
    brands = word({
        1: "Quadro", 2: "Tesla", 3: "NVS", 4: "GRID", 5: "GeForce", 6: "Titan", 7: "NVIDIA vApps", 8: "NVIDIA vPC", 9: "NVIDIA vCS", 10: "NVIDIA vWS",
        11: "NVIDIA Cloud Gaming", 12: "Quadro RTX", 13: "NVIDIA RTX", 14: "NVIDIA", 15: "GeForce RTX", 16: "Titan RTX",
    })
    chips = word({2: "Kepler", 3: "Maxwell", 4: "Pascal", 5: "Volta", 6: "Turing", 7: "Ampere", 8: "Ada", 9: "Hopper", 10: "Blackwell"})
    ids = lambda number: f"{number & 0xFFFF:04x}:{number >> 16:04x}"

    for record in document["gpus"]:
        uuid = record["uuid"]
        handle = read(N.nvmlDeviceGetHandleByUUID, uuid)
        if handle is None:
            comparison.field(uuid, record, "uuid", None)
            continue
        pci = read(N.nvmlDeviceGetPciInfo, handle)
        memory = read(N.nvmlDeviceGetMemoryInfo, handle, N.nvmlMemory_v2) if hasattr(N, "nvmlMemory_v2") else None
        old_memory = read(N.nvmlDeviceGetMemoryInfo, handle) if memory is None else memory
        limits = read(N.nvmlDeviceGetPowerManagementLimitConstraints, handle)
        ecc = read(N.nvmlDeviceGetEccMode, handle)
        mig = read(N.nvmlDeviceGetMigMode, handle)
        rows = read(N.nvmlDeviceGetRemappedRows, handle)
        busy = read(N.nvmlDeviceGetUtilizationRates, handle)
        part = lambda whole, index, then=lambda value: value: None if whole is None else then(whole[index])

        def temperature_threshold(kind):
            return read(N.nvmlDeviceGetTemperatureThreshold, handle, kind, then=signed)

        def errors(kind, counter):
            return read(N.nvmlDeviceGetTotalEccErrors, handle, kind, counter)

        def pages(cause):
            return read(N.nvmlDeviceGetRetiredPages, handle, cause, then=len)

        links = []
        for link in range(64):
            try:
                links.append(N.nvmlDeviceGetNvLinkState(handle, link) == 1)
            except N.NVMLError as error:
                if error.value == N.NVML_ERROR_INVALID_ARGUMENT or not links:
                    if not links and error.value != N.NVML_ERROR_INVALID_ARGUMENT:
                        links = None
                    break
        theirs = {
            "uuid": read(N.nvmlDeviceGetUUID, handle, then=text),
            "name": read(N.nvmlDeviceGetName, handle, then=text),
            "index": read(N.nvmlDeviceGetIndex, handle),
            "minor_number": read(N.nvmlDeviceGetMinorNumber, handle),
            "serial": read(N.nvmlDeviceGetSerial, handle, then=text),
            "board_part_number": read(N.nvmlDeviceGetBoardPartNumber, handle, then=text),
            "architecture": read(N.nvmlDeviceGetArchitecture, handle, then=chips),
            "compute_capability": read(N.nvmlDeviceGetCudaComputeCapability, handle, then=lambda v: f"{v[0]}.{v[1]}"),
            "cuda_cores": read(N.nvmlDeviceGetNumGpuCores, handle),
            "memory_bus_width_bits": read(N.nvmlDeviceGetMemoryBusWidth, handle),
            "vbios_version": read(N.nvmlDeviceGetVbiosVersion, handle, then=text),
            "inforom_version": read(N.nvmlDeviceGetInforomImageVersion, handle, then=text),
            "gsp_firmware_version": read(N.nvmlDeviceGetGspFirmwareVersion, handle, then=text),
            "gsp_firmware_enabled": read(N.nvmlDeviceGetGspFirmwareMode, handle, then=lambda v: bool(v[0].value if hasattr(v[0], "value") else v[0])),
            "pcie_generation": read(N.nvmlDeviceGetCurrPcieLinkGeneration, handle),
            "pcie_generation_max": read(N.nvmlDeviceGetMaxPcieLinkGeneration, handle),
            "pcie_width": read(N.nvmlDeviceGetCurrPcieLinkWidth, handle),
            "pcie_width_max": read(N.nvmlDeviceGetMaxPcieLinkWidth, handle),
            "pcie_replays": read(N.nvmlDeviceGetPcieReplayCounter, handle),
            "bar1_total_bytes": read(N.nvmlDeviceGetBAR1MemoryInfo, handle, then=lambda v: v.bar1Total),
            "power_draw_watts": read(N.nvmlDeviceGetPowerUsage, handle, then=watts),
            "power_limit_watts": read(N.nvmlDeviceGetPowerManagementLimit, handle, then=watts),
            "power_limit_enforced_watts": read(N.nvmlDeviceGetEnforcedPowerLimit, handle, then=watts),
            "power_limit_default_watts": read(N.nvmlDeviceGetPowerManagementDefaultLimit, handle, then=watts),
            "power_limit_min_watts": part(limits, 0, watts),
            "power_limit_max_watts": part(limits, 1, watts),
            "energy_joules": read(N.nvmlDeviceGetTotalEnergyConsumption, handle, then=watts),
            "performance_state": read(N.nvmlDeviceGetPerformanceState, handle),
            "sm_clock_mhz": read(N.nvmlDeviceGetClockInfo, handle, N.NVML_CLOCK_SM),
            "sm_clock_max_mhz": read(N.nvmlDeviceGetMaxClockInfo, handle, N.NVML_CLOCK_SM),
            "memory_clock_mhz": read(N.nvmlDeviceGetClockInfo, handle, N.NVML_CLOCK_MEM),
            "memory_clock_max_mhz": read(N.nvmlDeviceGetMaxClockInfo, handle, N.NVML_CLOCK_MEM),
            "application_sm_clock_mhz": read(N.nvmlDeviceGetApplicationsClock, handle, N.NVML_CLOCK_SM),
            "application_memory_clock_mhz": read(N.nvmlDeviceGetApplicationsClock, handle, N.NVML_CLOCK_MEM),
            "temperature_celsius": read(N.nvmlDeviceGetTemperature, handle, N.NVML_TEMPERATURE_GPU, then=signed),
            "memory_temperature_celsius": read(field_value, handle, 82, then=lambda v: float(v) if v else None),
            "temperature_slowdown_celsius": temperature_threshold(N.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
            "temperature_shutdown_celsius": temperature_threshold(N.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN),
            "temperature_operating_max_celsius": temperature_threshold(N.NVML_TEMPERATURE_THRESHOLD_GPU_MAX),
            "fan_count": read(N.nvmlDeviceGetNumFans, handle),
            "gpu_utilization_percent": None if busy is None else busy.gpu,
            "memory_utilization_percent": None if busy is None else busy.memory,
            "ecc_enabled": part(ecc, 0, flag),
            "ecc_pending": part(ecc, 1, flag),
            "ecc_corrected": errors(N.NVML_MEMORY_ERROR_TYPE_CORRECTED, N.NVML_VOLATILE_ECC),
            "ecc_uncorrected": errors(N.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, N.NVML_VOLATILE_ECC),
            "ecc_corrected_lifetime": errors(N.NVML_MEMORY_ERROR_TYPE_CORRECTED, N.NVML_AGGREGATE_ECC),
            "ecc_uncorrected_lifetime": errors(N.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, N.NVML_AGGREGATE_ECC),
            "remapped_rows_corrected": part(rows, 0),
            "remapped_rows_uncorrected": part(rows, 1),
            "row_remap_pending": part(rows, 2, flag),
            "row_remap_failed": part(rows, 3, flag),
            "retired_pages_pending": read(N.nvmlDeviceGetRetiredPagesPendingStatus, handle, then=flag),
            "mig_enabled": part(mig, 0, flag),
            "mig_pending": part(mig, 1, flag),
            "compute_mode": read(N.nvmlDeviceGetComputeMode, handle, then=modes),
            "persistence_mode": read(N.nvmlDeviceGetPersistenceMode, handle, then=flag),
            "virtualization_mode": read(N.nvmlDeviceGetVirtualizationMode, handle, then=virtual),
            "display_active": read(N.nvmlDeviceGetDisplayActive, handle, then=flag),
            "brand": read(N.nvmlDeviceGetBrand, handle, then=brands),
            "fan_speed_percent": read(N.nvmlDeviceGetFanSpeed, handle),
            "clock_event_reasons": read(N.nvmlDeviceGetCurrentClocksEventReasons, handle),
            "retired_pages_corrected": pages(N.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS),
            "retired_pages_uncorrected": pages(N.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR),
            "compute_processes": read(N.nvmlDeviceGetComputeRunningProcesses, handle, then=len),
            "nvlink_count": None if links is None else len(links),
            "nvlink_active": None if links is None else sum(links),
        }
        if pci is not None:
            theirs["pci_bus_id"] = f"{pci.domain:04x}:{pci.bus:02x}:{pci.device:02x}.0"
            theirs["pci_device_id"] = ids(pci.pciDeviceId)
            theirs["pci_subsystem_id"] = ids(pci.pciSubSystemId) if pci.pciSubSystemId else None
        if not record.get("memory_unified"):
            theirs["memory_total_bytes"] = None if old_memory is None else old_memory.total
            theirs["memory_used_bytes"] = None if old_memory is None else old_memory.used
            theirs["memory_free_bytes"] = None if old_memory is None else old_memory.free
            theirs["memory_reserved_bytes"] = None if memory is None else memory.reserved
        for name, value in theirs.items():
            comparison.field(uuid, record, name, value)
        pids = read(N.nvmlDeviceGetComputeRunningProcesses, handle, then=lambda found: sorted(it.pid for it in found)) or []
        ours = sorted(process["pid"] for process in record["processes"] if process["kind"] == "compute")
        comparison.field(uuid, {"pids": ours}, "pids", pids)
        for link in record["nvlinks"]:
            number = link["link"]
            comparison.field(f"{uuid} link {number}", link, "version", read(N.nvmlDeviceGetNvLinkVersion, handle, number))
            kinds = word({0: "gpu", 1: "ibmnpu", 2: "switch", 255: "unknown"})
            comparison.field(f"{uuid} link {number}", link, "remote_type", read(N.nvmlDeviceGetNvLinkRemoteDeviceType, handle, number, then=kinds))
        for peer in record["peers"]:
            other = N.nvmlDeviceGetHandleByUUID(peer["uuid"])
            levels = word({0: "internal", 10: "single_switch", 20: "multiple_switches", 30: "host_bridge", 40: "numa_node", 50: "system"})
            comparison.field(f"{uuid} to {peer['uuid']}", peer, "topology", read(N.nvmlDeviceGetTopologyCommonAncestor, handle, other, then=levels))
            answer = read(N.nvmlDeviceGetP2PStatus, handle, other, 0)  # NVML_P2P_CAPS_INDEX_READ
            comparison.field(f"{uuid} to {peer['uuid']}", {"peer_read": peer["peer_read"] == "ok"}, "peer_read", answer == 0)
        instances = [] if not part(mig, 0) else [
            instance
            for slot in range(read(N.nvmlDeviceGetMaxMigDeviceCount, handle) or 0)
            if (instance := read(N.nvmlDeviceGetMigDeviceHandleByIndex, handle, slot)) is not None
        ]
        if part(mig, 0):
            comparison.field(uuid, record, "mig_instance_count", len(instances))
        found = {"mig_instances": [instance["uuid"] for instance in record["mig_instances"]]}
        comparison.field(uuid, found, "mig_instances", [text(N.nvmlDeviceGetUUID(instance)) for instance in instances])
        for ours, instance in zip(record["mig_instances"], instances):
            attributes = read(N.nvmlDeviceGetAttributes, instance)
            memory = read(N.nvmlDeviceGetMemoryInfo, instance, N.nvmlMemory_v2)
            for name, value in {
                "name": read(N.nvmlDeviceGetName, instance, then=text),
                "gpu_instance_id": read(N.nvmlDeviceGetGpuInstanceId, instance),
                "compute_instance_id": read(N.nvmlDeviceGetComputeInstanceId, instance),
                "sm_count": None if attributes is None else attributes.multiprocessorCount,
                "memory_total_bytes": None if memory is None else memory.total,
            }.items():
                comparison.field(ours["uuid"], ours, name, value)
    N.nvmlShutdown()
    return comparison.end()


def by_smi(document, path):
    comparison = Comparison("nvidia-smi")
    root = ElementTree.parse(path).getroot()
    comparison.field("host", document["host"], "driver_version", root.findtext("driver_version"))
    records = {record["uuid"]: record for record in document["gpus"]}
    for element in root.findall("gpu"):
        uuid = element.findtext("uuid")
        record = records.get(uuid)
        if record is None:
            comparison.field(uuid, {}, "uuid", uuid)
            continue

        def shown(path, then=lambda value: value):
            value = element.findtext(path)
            return None if value is None or value.strip() in ("N/A", "[N/A]", "Requested functionality has been deprecated") else then(value.strip())

        number = lambda value: int(value.split()[0].rstrip("x"))
        real = lambda value: float(value.split()[0])
        on = lambda value: value == "Enabled"
        yes = lambda value: value == "Yes"
        theirs = {
            "name": shown("product_name"),
            "serial": shown("serial"),
            "vbios_version": shown("vbios_version"),
            "board_part_number": shown("board_part_number"),
            "minor_number": shown("minor_number", int),
            "inforom_version": shown("inforom_version/img_version"),
            "gsp_firmware_version": shown("gsp_firmware_version"),
            "persistence_mode": shown("persistence_mode", on),
            "display_active": shown("display_active", on),
            "pcie_generation_max": shown("pci/pci_gpu_link_info/pcie_gen/max_link_gen", int),
            "pcie_width_max": shown("pci/pci_gpu_link_info/link_widths/max_link_width", number),
            "pcie_width": shown("pci/pci_gpu_link_info/link_widths/current_link_width", number),
            "sm_clock_max_mhz": shown("max_clocks/sm_clock", number),
            "memory_clock_max_mhz": shown("max_clocks/mem_clock", number),
            "temperature_celsius": shown("temperature/gpu_temp", real),
            "ecc_enabled": shown("ecc_mode/current_ecc", on),
            "mig_enabled": shown("mig_mode/current_mig", on),
            "row_remap_pending": shown("remapped_rows/remapped_row_pending", yes),
            "row_remap_failed": shown("remapped_rows/remapped_row_failure", yes),
            "remapped_rows_corrected": shown("remapped_rows/remapped_row_corr", int),
            "remapped_rows_uncorrected": shown("remapped_rows/remapped_row_unc", int),
        }
        # MiB only.
        for name, path in [("memory_total_bytes", "fb_memory_usage/total"), ("memory_reserved_bytes", "fb_memory_usage/reserved")]:
            mebibytes = shown(path, number)
            ours = record.get(name)
            comparison.field(uuid, {name: None if ours is None else ours >> 20}, name, mebibytes)
        for readings in ("gpu_power_readings", "power_readings"):
            if element.find(readings) is not None:
                theirs["power_limit_default_watts"] = shown(f"{readings}/default_power_limit", real)
                theirs["power_limit_min_watts"] = shown(f"{readings}/min_power_limit", real)
                theirs["power_limit_max_watts"] = shown(f"{readings}/max_power_limit", real)
                break
        for name, value in theirs.items():
            comparison.field(uuid, record, name, value)
    return comparison.end()


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    with open(sys.argv[1]) as file:
        document = json.load(file)
    differences = 0
    try:
        import pynvml  # noqa: F401
    except ImportError:
        print("nvidia-ml-py is not here: PYTHONPATH must name the folder of pynvml.py")
        sys.exit(101)
    else:
        differences += by_nvml(document)
    if len(sys.argv) == 3:
        differences += by_smi(document, sys.argv[2])
    sys.exit(min(differences, 100))


if __name__ == "__main__":
    main()
