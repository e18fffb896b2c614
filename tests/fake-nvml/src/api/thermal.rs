//! Temperatures and fans.

use std::ffi::c_uint;

use nvml_wrapper_sys::bindings::{nvmlTemperatureSensors_t, nvmlTemperatureThresholds_t};

use crate::{answer::Code, call::Gpu};

values! {
    nvmlDeviceGetTemperature(device, sensor: nvmlTemperatureSensors_t) -> c_uint = match sensor {
        0 => c_bits(*device.whole()?.temperature.get()?),
        _ => return Err(Code::INVALID_ARGUMENT),
    };
    nvmlDeviceGetTemperatureThreshold(device, threshold: nvmlTemperatureThresholds_t) -> c_uint = {
        let thresholds = &device.whole()?.temperature_thresholds;
        let threshold = match threshold {
            0 => &thresholds.shutdown,
            1 => &thresholds.slowdown,
            2 => &thresholds.mem_max,
            3 => &thresholds.gpu_max,
            4 => &thresholds.acoustic_min,
            5 => &thresholds.acoustic_current,
            6 => &thresholds.acoustic_max,
            7 => return Err(Code::NOT_SUPPORTED),
            _ => return Err(Code::INVALID_ARGUMENT),
        };
        *threshold.get()?
    };
    nvmlDeviceGetFanSpeed(device) -> c_uint = *fans(device)?.first().ok_or(Code::NOT_SUPPORTED)?;
    nvmlDeviceGetFanSpeed_v2(device, fan: c_uint) -> c_uint = {
        let fans = fans(device)?;
        if fans.is_empty() {
            return Err(Code::NOT_SUPPORTED);
        }
        *fans.get(fan as usize).ok_or(Code::INVALID_ARGUMENT)?
    };
    nvmlDeviceGetNumFans(device) -> c_uint =
        c_uint::try_from(fans(device)?.len()).map_err(|_| Code::UNKNOWN)?;
}

fn fans(gpu: &Gpu) -> Result<&Vec<u32>, Code> {
    gpu.whole()?.fans.get()
}

/// The lowest 32 bits: what a signed temperature becomes in C's unsigned result.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a wrong number is the point"
)]
fn c_bits(temperature: i64) -> c_uint {
    temperature as c_uint
}
