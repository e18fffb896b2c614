//! Instances of a partitioned device.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{nvmlDevice_t, nvmlDeviceAttributes_t};

use super::handles::handle;
use crate::{
    answer::Code,
    call::Gpu,
    device::{Mig, MigInstance},
    state::Target,
};

pairs! {
    nvmlDeviceGetMigMode(device) -> c_uint = *device.whole()?.mig.mode.get()?;
}

values! {
    nvmlDeviceGetMaxMigDeviceCount(device) -> c_uint = {
        let mig = &device.whole()?.mig;
        if is_on(mig) { mig.max_devices } else { 0 }
    };
    nvmlDeviceGetMigDeviceHandleByIndex(device, index: c_uint) -> nvmlDevice_t = {
        let mig = &device.whole()?.mig;
        mig.mode.get()?;
        if is_on(mig) && index >= mig.max_devices {
            return Err(Code::INVALID_ARGUMENT);
        }
        if !is_on(mig) || !mig.instances.iter().any(|instance| instance.slot == index) {
            return Err(Code::NOT_FOUND);
        }
        handle(Target { key: device.target.key.clone(), slot: Some(index) })
    };
    nvmlDeviceIsMigDeviceHandle(device) -> c_uint = u32::from(device.target.slot.is_some());
    nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device) -> nvmlDevice_t = {
        instance(device, Code::INVALID_ARGUMENT)?;
        handle(Target { key: device.target.key.clone(), slot: None })
    };
    nvmlDeviceGetAttributes_v2(device) -> nvmlDeviceAttributes_t = {
        let attributes = instance(device, Code::NOT_SUPPORTED)?.attributes.get()?;
        nvmlDeviceAttributes_t {
            multiprocessorCount: attributes.multiprocessors,
            sharedCopyEngineCount: attributes.copy_engines,
            sharedDecoderCount: attributes.decoders,
            sharedEncoderCount: attributes.encoders,
            sharedJpegCount: attributes.jpegs,
            sharedOfaCount: attributes.optical_flows,
            gpuInstanceSliceCount: attributes.gpu_slices,
            computeInstanceSliceCount: attributes.compute_slices,
            memorySizeMB: attributes.memory_size_mb,
        }
    };
    nvmlDeviceGetGpuInstanceId(device) -> c_uint = instance(device, Code::NOT_SUPPORTED)?.gpu_instance;
    nvmlDeviceGetComputeInstanceId(device) -> c_uint = instance(device, Code::NOT_SUPPORTED)?.compute_instance;
}

fn is_on(mig: &Mig) -> bool {
    mig.mode.value().is_some_and(|[current, _]| *current == 1)
}

/// The instance, or what is answered for a whole device.
fn instance(gpu: &Gpu, otherwise: Code) -> Result<&MigInstance, Code> {
    gpu.instance()?.ok_or(otherwise)
}
