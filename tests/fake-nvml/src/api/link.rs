//! The links to the host and to other GPUs.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{
    nvmlEnableState_t, nvmlIntNvLinkDeviceType_t, nvmlNvLinkErrorCounter_t, nvmlPciInfo_t,
};

use super::identity::pci_info;
use crate::{answer::Code, call::Gpu, device::NvLinks};

values! {
    nvmlDeviceGetCurrPcieLinkGeneration(device) -> c_uint = *device.whole()?.pcie.generation.get()?;
    nvmlDeviceGetCurrPcieLinkWidth(device) -> c_uint = *device.whole()?.pcie.width.get()?;
    nvmlDeviceGetMaxPcieLinkGeneration(device) -> c_uint = *device.whole()?.pcie.max_generation.get()?;
    nvmlDeviceGetMaxPcieLinkWidth(device) -> c_uint = *device.whole()?.pcie.max_width.get()?;
    nvmlDeviceGetGpuMaxPcieLinkGeneration(device) -> c_uint = *device.whole()?.pcie.gpu_max_generation.get()?;
    nvmlDeviceGetPcieReplayCounter(device) -> c_uint = *device.whole()?.pcie.replay_counter.get()?;

    nvmlDeviceGetNvLinkState(device, link: c_uint) -> nvmlEnableState_t =
        u32::from(!nvlink(device, link)?.inactive.contains(&link));
    nvmlDeviceGetNvLinkVersion(device, link: c_uint) -> c_uint = *nvlink(device, link)?.version.get()?;
    nvmlDeviceGetNvLinkRemotePciInfo_v2(device, link: c_uint) -> nvmlPciInfo_t =
        pci_info(nvlink(device, link)?.remote.get()?);
    nvmlDeviceGetNvLinkRemoteDeviceType(device, link: c_uint) -> nvmlIntNvLinkDeviceType_t =
        *nvlink(device, link)?.remote_type.get()?;
    nvmlDeviceGetNvLinkErrorCounter(device, link: c_uint, counter: nvmlNvLinkErrorCounter_t) -> c_ulonglong = {
        let errors = nvlink(device, link)?.errors.get()?;
        *errors.get(counter as usize).ok_or(Code::INVALID_ARGUMENT)?
    };
}

/// A device's links, if it has this one.
fn nvlink(gpu: &Gpu, link: c_uint) -> Result<&NvLinks, Code> {
    let links = gpu.whole()?.nvlinks.get()?;
    if link >= links.count {
        return Err(Code::INVALID_ARGUMENT);
    }
    Ok(links)
}
