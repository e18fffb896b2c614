//! The MIG instances of a GPU: NVML tells the greatest number there may be, and most slots are empty.

use batchstep_proto::inventory::{Absent, Gpu, catalogue::gpu};
use nvml_wrapper::{Device, error::NvmlError};

use crate::{
    ask::{Asker, Place},
    live,
    places::Root,
    processes,
};

/// More than any GPU has.
const MOST_SLOTS: u32 = 64;

/// The instances, where the GPU is divided; counts them in the GPU's record.
pub(crate) fn instances(asker: &mut Asker<'_>, place: Place, root: &Root) -> Vec<(u32, Gpu)> {
    if asker.record.get(gpu::MIG_ENABLED) != Some(true) {
        return Vec::new();
    }
    let slots = asker.attempt(gpu::MIG_INSTANCE_COUNT.field(), Device::mig_device_count);
    let slots = asker.plausible(gpu::MIG_INSTANCE_COUNT, slots, 0..=MOST_SLOTS);
    let mut instances = Vec::new();
    for slot in 0..slots.unwrap_or(0) {
        let found = asker.attempt(gpu::MIG_INSTANCE_COUNT.field(), |device| {
            match device.mig_device_by_index(slot) {
                Ok(instance) => Ok(Some(instance)),
                // An empty slot.
                Err(NvmlError::NotFound | NvmlError::InvalidArg) => Ok(None),
                Err(error) => Err(error),
            }
        });
        if let Ok(Some(instance)) = found {
            let place = Place {
                slot: Some(slot),
                ..place
            };
            match self::instance(asker, &instance, place, root) {
                Some(instance) => instances.push((slot, instance)),
                None => asker.problem(format!("MIG instance {slot} has no UUID")),
            }
        }
    }
    let count = slots.map(|_| instances.len() as u64);
    asker.record.set(gpu::MIG_INSTANCE_COUNT, count);
    instances
}

/// Reads what changes of instances that are known, by their slots.
pub(crate) fn refresh(
    parent: &mut Asker<'_>,
    place: Place,
    root: &Root,
    instances: &mut [Gpu],
    slots: &[u32],
) {
    let whole = parent.device;
    for (instance, slot) in instances.iter_mut().zip(slots) {
        let Ok(device) = whole.mig_device_by_index(*slot) else {
            continue;
        };
        let place = Place {
            slot: Some(*slot),
            ..place
        };
        let mut asker = parent.for_instance(&device, place);
        asker.text_by(gpu::UUID, |lib| &lib.nvmlDeviceGetUUID);
        if asker.record.get(gpu::UUID) != Some(instance.uuid()) {
            // Divided anew: the next full look tells how.
            continue;
        }
        live::memory(&mut asker, None);
        let processes = processes::read(&mut asker, root);
        let newer = asker.finish(processes);
        instance.facts.update(&newer.facts);
        instance.processes = newer.processes;
    }
}

/// One instance; `None` without a UUID, by which alone it can be named.
fn instance(parent: &mut Asker<'_>, device: &Device<'_>, place: Place, root: &Root) -> Option<Gpu> {
    let capability = parent
        .record
        .get(gpu::COMPUTE_CAPABILITY)
        .ok_or(Absent::Unknown);
    let mut asker = parent.for_instance(device, place);
    asker.text_by(gpu::UUID, |lib| &lib.nvmlDeviceGetUUID);
    asker.text_by(gpu::NAME, |lib| &lib.nvmlDeviceGetName);
    asker.record.set(gpu::COMPUTE_CAPABILITY, capability);
    let attributes = asker.attempt(gpu::SM_COUNT.field(), Device::attributes);
    let multiprocessors = attributes
        .as_ref()
        .map(|found| u64::from(found.multiprocessor_count))
        .map_err(|reason| *reason);
    asker.record.set(gpu::SM_COUNT, multiprocessors);
    let by_name = asker.record.get(gpu::NAME).and_then(|name| {
        let (_, profile) = name.rsplit_once("MIG ")?;
        Some(profile.trim().to_owned())
    });
    let by_size = attributes.map(|found| {
        format!(
            "{}g.{}gb",
            found.gpu_instance_slice_count,
            found.memory_size_mb.div_ceil(1024)
        )
    });
    asker
        .record
        .set(gpu::MIG_PROFILE, by_name.map_or(by_size, Ok));
    asker.count_by(gpu::GPU_INSTANCE_ID, |lib| &lib.nvmlDeviceGetGpuInstanceId);
    asker.count_by(gpu::COMPUTE_INSTANCE_ID, |lib| {
        &lib.nvmlDeviceGetComputeInstanceId
    });
    live::memory(&mut asker, None);
    let processes = processes::read(&mut asker, root);
    let gpu = asker.finish(processes);
    (!gpu.uuid().is_empty()).then_some(gpu)
}
