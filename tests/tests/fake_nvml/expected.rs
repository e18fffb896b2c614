//! What `tests/python/read_nvml.py` must print for a world, worked out from the file's fields and NVML's documentation, not from the library.

use batchstep_fake_nvml::{
    answer::{Answer, Code, Text},
    config::World,
    device::{ClockSet, Device, Memory, MigInstance, Pci, Process, ProcessKind},
};
use serde_json::{Map, Value, json};

type Read = Map<String, Value>;

const NOT_SUPPORTED: u32 = 3;
const INVALID_ARGUMENT: u32 = 2;

fn value(value: impl Into<Value>) -> Value {
    json!({ "value": value.into() })
}

fn error(code: u32) -> Value {
    json!({ "error": code })
}

fn answer<T>(answer: &Answer<T>, convert: impl FnOnce(&T) -> Value) -> Value {
    match answer {
        Answer::Value(found) => value(convert(found)),
        Answer::Error(Code(code)) => error(*code),
    }
}

fn plain<T: Clone + Into<Value>>(answers: &Answer<T>) -> Value {
    answer(answers, |found| found.clone().into())
}

fn text(answers: &Answer<Text>) -> Value {
    answer(answers, |text| text.to_string().into())
}

fn pair<T: Copy + Into<Value>>(answers: &Answer<[T; 2]>) -> Value {
    answer(answers, |[one, other]| {
        Value::Array(vec![(*one).into(), (*other).into()])
    })
}

fn list(values: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(values.into_iter().collect())
}

/// Everything that is read of the device at `index`.
pub fn device(world: &World, index: usize) -> Read {
    let device = &world.devices[index];
    let mut read = both(world, index, None);
    for part in [
        identity(device, index),
        links(device),
        power(device),
        errors(device),
        modes(device),
        topology(world, index),
    ] {
        read.extend(part);
    }
    let on = device.mig.mode.value().is_some_and(|mode| mode[0] == 1);
    let slots = if on { device.mig.max_devices } else { 0 };
    read.insert("max_mig_devices".into(), value(slots));
    let instances = (0..slots).map(|slot| {
        let mut instances = device.mig.instances.iter();
        match instances.find(|instance| instance.slot == slot) {
            Some(instance) => value(both(world, index, Some(instance))),
            None => error(6),
        }
    });
    read.insert("instances".into(), list(instances));
    read
}

fn object(value: Value) -> Read {
    match value {
        Value::Object(read) => read,
        other => panic!("no object: {other}"),
    }
}

/// What devices and instances are both asked.
fn both(world: &World, index: usize, instance: Option<&MigInstance>) -> Read {
    let device = &world.devices[index];
    let of_instance =
        |wanted: &dyn Fn(&MigInstance) -> Value| instance.map_or(error(NOT_SUPPORTED), wanted);
    let of_device = |wanted: Value| match instance {
        None => wanted,
        Some(_) => error(NOT_SUPPORTED),
    };
    let (uuid, name, memory) = match instance {
        None => (&device.uuid, &device.name, &device.memory),
        Some(instance) => (&instance.uuid, &instance.name, &instance.memory),
    };
    let own_index = instance.map_or(index as u64, |instance| instance.slot.into());
    let mut read = object(json!({
        "uuid": text(uuid),
        "name": text(name),
        "index": value(own_index),
        "is_mig": value(u32::from(instance.is_some())),
        "memory": answer(memory, first_memory),
        "memory_v2": answer(memory, second_memory),
        "attributes": of_instance(&|instance| answer(&instance.attributes, |sizes| json!({
            "multiprocessorCount": sizes.multiprocessors,
            "sharedCopyEngineCount": sizes.copy_engines,
            "sharedDecoderCount": sizes.decoders,
            "sharedEncoderCount": sizes.encoders,
            "sharedJpegCount": sizes.jpegs,
            "sharedOfaCount": sizes.optical_flows,
            "gpuInstanceSliceCount": sizes.gpu_slices,
            "computeInstanceSliceCount": sizes.compute_slices,
            "memorySizeMB": sizes.memory_size_mb,
        }))),
        "gpu_instance": of_instance(&|instance| value(instance.gpu_instance)),
        "compute_instance": of_instance(&|instance| value(instance.compute_instance)),
        "parent_uuid": match instance {
            None => error(INVALID_ARGUMENT),
            Some(_) => text(&device.uuid),
        },
        "index_by_uuid": value(own_index),
        "temperature": of_device(plain(&device.temperature)),
        "serial": of_device(text(&device.serial)),
        "power_usage": of_device(plain(&device.power.usage)),
    }));
    let slot = instance.map(|instance| instance.slot);
    for (query, kind, item) in [
        (
            "compute_v1",
            ProcessKind::Compute,
            first_process as fn(&Device, &Process) -> Value,
        ),
        ("compute_v2", ProcessKind::Compute, second_process),
        ("compute_v3", ProcessKind::Compute, second_process),
        ("graphics_v1", ProcessKind::Graphics, first_process),
        ("graphics_v2", ProcessKind::Graphics, second_process),
        ("graphics_v3", ProcessKind::Graphics, second_process),
        ("mps_v3", ProcessKind::Mps, second_process),
    ] {
        let found = answer(&device.processes, |processes| {
            list(
                processes
                    .iter()
                    .filter(|process| process.kind == kind)
                    .filter(|process| slot.is_none() || process.mig == slot)
                    .map(|process| item(device, process)),
            )
        });
        read.insert(query.into(), found);
    }
    read
}

fn first_memory(memory: &Memory) -> Value {
    json!({
        "total": memory.total,
        "free": memory.total - memory.reserved - memory.used,
        "used": memory.reserved + memory.used,
    })
}

fn second_memory(memory: &Memory) -> Value {
    json!({
        "version": 0x0200_0028,
        "total": memory.total,
        "reserved": memory.reserved,
        "free": memory.total - memory.reserved - memory.used,
        "used": memory.used,
    })
}

fn first_process(_device: &Device, process: &Process) -> Value {
    // Read by our own structure, which knows no absent number.
    json!({ "pid": process.pid, "usedGpuMemory": process.used_bytes.unwrap_or(u64::MAX) })
}

fn second_process(device: &Device, process: &Process) -> Value {
    let mut instances = device.mig.instances.iter();
    let instance = instances.find(|instance| Some(instance.slot) == process.mig);
    json!({
        "pid": process.pid,
        "usedGpuMemory": process.used_bytes,
        "gpuInstanceId": instance.map_or(u32::MAX, |instance| instance.gpu_instance),
        "computeInstanceId": instance.map_or(u32::MAX, |instance| instance.compute_instance),
    })
}

fn identity(device: &Device, index: usize) -> Read {
    let Device { inforom, .. } = device;
    object(json!({
        "minor_number": value(index as u64),
        "pci": answer(&device.pci, pci),
        "index_by_bus_id": answer(&device.pci, |_| (index as u64).into()),
        "board_part_number": text(&device.board_part_number),
        "brand": plain(&device.brand),
        "architecture": plain(&device.architecture),
        "compute_capability": pair(&device.compute_capability),
        "num_gpu_cores": plain(&device.num_gpu_cores),
        "vbios_version": text(&device.vbios_version),
        "inforom_image_version": text(&device.inforom_image_version),
        "inforom": value(list([
            text(&inforom.oem),
            text(&inforom.ecc),
            text(&inforom.power),
            error(NOT_SUPPORTED),
            error(INVALID_ARGUMENT),
        ])),
        "gsp_firmware_version": text(&device.gsp_firmware_version),
        "gsp_firmware_mode": pair(&device.gsp_firmware_mode),
        "bar1": answer(&device.bar1, |bar1| json!({
            "bar1Total": bar1.total,
            "bar1Free": bar1.total - bar1.used,
            "bar1Used": bar1.used,
        })),
        "memory_bus_width": plain(&device.memory_bus_width),
    }))
}

fn pci(pci: &Pci) -> Value {
    json!({
        "busIdLegacy": format!("{:04X}:{:02X}:{:02X}.0", pci.domain & 0xFFFF, pci.bus, pci.device),
        "domain": pci.domain,
        "bus": pci.bus,
        "device": pci.device,
        "pciDeviceId": pci.device_id,
        "pciSubSystemId": pci.subsystem_id,
        "busId": format!("{:08X}:{:02X}:{:02X}.0", pci.domain, pci.bus, pci.device),
    })
}

fn links(device: &Device) -> Read {
    let pcie = &device.pcie;
    let links = &device.nvlinks;
    let states = (0..19).map(|link| match links {
        Answer::Error(Code(code)) => error(*code),
        Answer::Value(links) if link >= links.count => error(INVALID_ARGUMENT),
        Answer::Value(links) => value(u32::from(!links.inactive.contains(&link))),
    });
    let first = |wanted: fn(&batchstep_fake_nvml::device::NvLinks) -> Value| match links {
        Answer::Error(Code(code)) => error(*code),
        Answer::Value(links) => wanted(links),
    };
    let counters = (0..5).map(|counter| match links {
        Answer::Error(Code(code)) => error(*code),
        Answer::Value(links) => answer(&links.errors, |errors| errors[counter].into()),
    });
    object(json!({
        "pcie_generation": plain(&pcie.generation),
        "pcie_width": plain(&pcie.width),
        "pcie_max_generation": plain(&pcie.max_generation),
        "pcie_max_width": plain(&pcie.max_width),
        "pcie_gpu_max_generation": plain(&pcie.gpu_max_generation),
        "pcie_replay_counter": plain(&pcie.replay_counter),
        "nvlink_states": value(list(states)),
        "nvlink_version": first(|links| plain(&links.version)),
        "nvlink_remote_type": first(|links| plain(&links.remote_type)),
        "nvlink_remote": first(|links| answer(&links.remote, pci)),
        "nvlink_errors": value(list(counters)),
    }))
}

fn power(device: &Device) -> Read {
    let power = &device.power;
    let clocks = |set: &ClockSet| {
        value(list(
            [&set.graphics, &set.sm, &set.memory, &set.video].map(plain),
        ))
    };
    let thresholds = &device.temperature_thresholds;
    let fan = |fan: usize, beyond: u32| match &device.fans {
        Answer::Error(Code(code)) => error(*code),
        Answer::Value(fans) if fans.is_empty() => error(NOT_SUPPORTED),
        Answer::Value(fans) => fans.get(fan).map_or(error(beyond), |speed| value(*speed)),
    };
    object(json!({
        "enforced_limit": plain(&power.enforced_limit),
        "management_limit": plain(&power.management_limit),
        "default_limit": plain(&power.default_limit),
        "limit_constraints": pair(&power.limit_constraints),
        "energy": plain(&power.energy),
        "performance_state": plain(&device.performance_state),
        "clocks_current": clocks(&device.clocks.current),
        "clocks_max": clocks(&device.clocks.max),
        "clocks_applications": clocks(&device.clocks.applications),
        "clocks_default_applications": clocks(&device.clocks.default_applications),
        "clocks_max_customer_boost": clocks(&device.clocks.max_customer_boost),
        "temperature_thresholds": value(list([
            &thresholds.shutdown,
            &thresholds.slowdown,
            &thresholds.mem_max,
            &thresholds.gpu_max,
            &thresholds.acoustic_min,
            &thresholds.acoustic_current,
            &thresholds.acoustic_max,
        ].map(plain))),
        "fan_speed": fan(0, NOT_SUPPORTED),
        "fan_speeds": value(list([fan(0, INVALID_ARGUMENT), fan(1, INVALID_ARGUMENT)])),
        "num_fans": answer(&device.fans, |fans| fans.len().into()),
        "throttle_reasons": plain(&device.throttle_reasons),
        "event_reasons": plain(&device.throttle_reasons),
        "supported_throttle_reasons": plain(&device.supported_throttle_reasons),
        "supported_event_reasons": plain(&device.supported_throttle_reasons),
        "utilization": answer(&device.utilization.rates, |[gpu, memory]| json!({ "gpu": gpu, "memory": memory })),
        "encoder": pair(&device.utilization.encoder),
        "decoder": pair(&device.utilization.decoder),
        "process_utilization": match &device.process_utilization {
            Answer::Value(samples) if samples.is_empty() => error(6),
            samples => answer(samples, |samples| list(samples.iter().map(|sample| json!({
                "pid": sample.pid,
                "timeStamp": sample.timestamp,
                "smUtil": sample.sm,
                "memUtil": sample.memory,
                "encUtil": sample.encoder,
                "decUtil": sample.decoder,
            })))),
        },
    }))
}

fn errors(device: &Device) -> Read {
    let ecc = &device.ecc.errors;
    let counts = [
        answer(ecc, |errors| errors.volatile_corrected.into()),
        answer(ecc, |errors| errors.volatile_uncorrected.into()),
        answer(ecc, |errors| errors.aggregate_corrected.into()),
        answer(ecc, |errors| errors.aggregate_uncorrected.into()),
    ];
    let rows = &device.remapped_rows;
    let pages = &device.retired_pages;
    let addresses = |pages: &Answer<Vec<[u64; 2]>>| {
        answer(pages, |pages| list(pages.iter().map(|page| page[0].into())))
    };
    let whole =
        |pages: &Answer<Vec<[u64; 2]>>| {
            answer(pages, |pages| {
                list(pages.iter().map(
                    |[address, timestamp]| json!({ "address": address, "timestamp": timestamp }),
                ))
            })
        };
    let number = |pages: &Answer<Vec<[u64; 2]>>| answer(pages, |pages| pages.len().into());
    let power = &device.power;
    let constraint = |which: usize| answer(&power.limit_constraints, |limits| limits[which].into());
    let mode = |which: usize| answer(&device.ecc.mode, |modes| modes[which].into());
    let fields = [
        (1, mode(0)),
        (2, mode(1)),
        (3, counts[0].clone()),
        (4, counts[1].clone()),
        (5, counts[2].clone()),
        (6, counts[3].clone()),
        (29, number(&pages.single_bit)),
        (30, number(&pages.double_bit)),
        (31, plain(&pages.pending)),
        (82, plain(&device.memory_temperature)),
        (83, plain(&power.energy)),
        (91, answer(&device.nvlinks, |links| links.count.into())),
        (94, plain(&device.pcie.replay_counter)),
        (142, answer(rows, |rows| rows.correctable.into())),
        (143, answer(rows, |rows| rows.uncorrectable.into())),
        (144, answer(rows, |rows| rows.pending.into())),
        (145, answer(rows, |rows| rows.failure.into())),
        (185, plain(&power.usage)),
        (186, plain(&power.usage)),
        (187, constraint(0)),
        (188, constraint(1)),
        (189, plain(&power.default_limit)),
        (190, plain(&power.enforced_limit)),
        (192, plain(&power.management_limit)),
        (250, error(NOT_SUPPORTED)),
    ];
    object(json!({
        "ecc_mode": pair(&device.ecc.mode),
        "ecc_errors": value(list(counts)),
        "fields": value(list(fields.map(|(field, answer)| json!([field, answer])))),
        "remapped_rows": answer(rows, |rows| {
            json!([rows.correctable, rows.uncorrectable, rows.pending, rows.failure])
        }),
        "retired_pages": value(list([whole(&pages.single_bit), whole(&pages.double_bit)])),
        "retired_addresses": value(list([addresses(&pages.single_bit), addresses(&pages.double_bit)])),
        "retired_pages_pending": plain(&pages.pending),
    }))
}

fn modes(device: &Device) -> Read {
    let words = |known: &Answer<Vec<u64>>, room: usize| {
        answer(known, |known| {
            list((0..room).map(|word| known.get(word).copied().unwrap_or(0).into()))
        })
    };
    object(json!({
        "mig_mode": pair(&device.mig.mode),
        "cpu_affinity": words(&device.cpu_affinity, 4),
        "memory_affinity": words(&device.memory_affinity, 2),
        "numa_node": plain(&device.numa_node),
        "compute_mode": plain(&device.compute_mode),
        "persistence_mode": plain(&device.persistence_mode),
        "virtualization_mode": plain(&device.virtualization_mode),
        "display_active": plain(&device.display_active),
        "display_mode": plain(&device.display_mode),
    }))
}

/// The level of two devices, and what their peer access is.
fn between(world: &World, one: usize, other: usize) -> (u32, [u32; 5]) {
    let pair = world.pairs.iter().find(|pair| {
        let places = pair.devices.map(|place| place as usize);
        places == [one, other] || places == [other, one]
    });
    match pair {
        Some(pair) => (
            *pair.level.value().expect("the test's pairs have a level"),
            *pair.p2p.value().expect("the test's pairs have states"),
        ),
        None if one == other => (0, [0; 5]),
        None => (50, [5; 5]),
    }
}

fn topology(world: &World, index: usize) -> Read {
    let others = 0..world.devices.len();
    let nearest = [0, 10, 20, 30, 40, 50].map(|level| {
        let near = others
            .clone()
            .filter(|other| *other != index && between(world, index, *other).0 <= level);
        value(list(near.map(|other| other.into())))
    });
    let p2p = others.clone().map(|other| {
        let states = between(world, index, other).1.map(|state| match other {
            itself if itself == index => error(INVALID_ARGUMENT),
            _ => value(state),
        });
        list(states)
    });
    object(json!({
        "nearest": list(nearest),
        "ancestors": list(others.clone().map(|other| value(between(world, index, other).0))),
        "p2p": list(p2p),
    }))
}
