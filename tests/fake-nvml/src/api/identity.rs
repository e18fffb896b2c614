//! Who a device is.

use std::ffi::{c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::{
    NVML_GSP_FIRMWARE_VERSION_BUF_SIZE, nvmlBrandType_t, nvmlDevice_t, nvmlDeviceArchitecture_t,
    nvmlInforomObject_t, nvmlPciInfo_t, nvmlReturn_t,
};

use crate::{
    answer::{Answer, Code, Text},
    call::{Gpu, on_device},
    device::Pci,
    out::{given, put_text},
};

texts! {
    nvmlDeviceGetUUID(device) = uuid(device)?;
    nvmlDeviceGetName(device) = name(device)?;
    nvmlDeviceGetSerial(device) = device.whole()?.serial;
    nvmlDeviceGetBoardPartNumber(device) = device.whole()?.board_part_number;
    nvmlDeviceGetVbiosVersion(device) = device.whole()?.vbios_version;
    nvmlDeviceGetInforomImageVersion(device) = device.whole()?.inforom_image_version;
}

values! {
    nvmlDeviceGetIndex(device) -> c_uint = index(device)?;
    nvmlDeviceGetMinorNumber(device) -> c_uint = *device.whole()?.minor_number.get()?;
    nvmlDeviceGetBrand(device) -> nvmlBrandType_t = *device.parent()?.brand.get()?;
    nvmlDeviceGetArchitecture(device) -> nvmlDeviceArchitecture_t = *device.parent()?.architecture.get()?;
    nvmlDeviceGetNumGpuCores(device) -> c_uint = *device.whole()?.num_gpu_cores.get()?;
    nvmlDeviceGetPciInfo_v3(device) -> nvmlPciInfo_t = pci_info(device.whole()?.pci.get()?);
}

pairs! {
    nvmlDeviceGetCudaComputeCapability(device) -> c_int = *device.parent()?.compute_capability.get()?;
    nvmlDeviceGetGspFirmwareMode(device) -> c_uint = *device.whole()?.gsp_firmware_mode.get()?;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetInforomVersion(
    device: nvmlDevice_t,
    object: nvmlInforomObject_t,
    version: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetInforomVersion", device, |device| {
        given(version)?;
        let inforom = &device.whole()?.inforom;
        let object = match object {
            0 => &inforom.oem,
            1 => &inforom.ecc,
            2 => &inforom.power,
            3 => return Err(Code::NOT_SUPPORTED),
            _ => return Err(Code::INVALID_ARGUMENT),
        };
        // SAFETY: the buffer is the caller's, with `length` bytes by NVML's contract.
        unsafe { put_text(version, length, object.get()?) }
    })
}

/// The only text without a length: the header gives the buffer's size.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGspFirmwareVersion(
    device: nvmlDevice_t,
    version: *mut c_char,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetGspFirmwareVersion", device, |device| {
        given(version)?;
        let text = device.whole()?.gsp_firmware_version.get()?;
        // SAFETY: the buffer is the caller's, with this many bytes by NVML's contract.
        unsafe { put_text(version, NVML_GSP_FIRMWARE_VERSION_BUF_SIZE, text) }
    })
}

fn uuid(gpu: &Gpu) -> Result<&Answer<Text>, Code> {
    Ok(match gpu.instance()? {
        Some(instance) => &instance.uuid,
        None => &gpu.parent()?.uuid,
    })
}

fn name(gpu: &Gpu) -> Result<&Answer<Text>, Code> {
    Ok(match gpu.instance()? {
        Some(instance) => &instance.name,
        None => &gpu.parent()?.name,
    })
}

fn index(gpu: &Gpu) -> Result<c_uint, Code> {
    match gpu.target.slot {
        Some(slot) => Ok(slot),
        None => c_uint::try_from(gpu.index).map_err(|_| Code::UNKNOWN),
    }
}

/// A place on the bus as C has it: the older text has room for four digits of the domain.
pub fn pci_info(pci: &Pci) -> nvmlPciInfo_t {
    let legacy = format!(
        "{:04X}:{:02X}:{:02X}.0",
        pci.domain & 0xFFFF,
        pci.bus & 0xFF,
        pci.device & 0xFF
    );
    let id = format!(
        "{:08X}:{:02X}:{:02X}.0",
        pci.domain,
        pci.bus & 0xFF,
        pci.device & 0xFF
    );
    nvmlPciInfo_t {
        busIdLegacy: characters(&legacy),
        domain: pci.domain,
        bus: pci.bus,
        device: pci.device,
        pciDeviceId: pci.device_id,
        pciSubSystemId: pci.subsystem_id,
        busId: characters(&id),
    }
}

fn characters<const N: usize>(text: &str) -> [c_char; N] {
    let mut array = [0; N];
    // The last place keeps the terminator.
    for (place, byte) in array.iter_mut().take(N - 1).zip(text.bytes()) {
        *place = byte.cast_signed() as c_char;
    }
    array
}
