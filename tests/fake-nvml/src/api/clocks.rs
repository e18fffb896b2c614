//! Clocks, and what holds them back.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::nvmlClockType_t;

use crate::{answer::Code, device::ClockSet};

values! {
    nvmlDeviceGetClockInfo(device, domain: nvmlClockType_t) -> c_uint =
        clock(&device.whole()?.clocks.current, domain)?;
    nvmlDeviceGetMaxClockInfo(device, domain: nvmlClockType_t) -> c_uint =
        clock(&device.whole()?.clocks.max, domain)?;
    nvmlDeviceGetApplicationsClock(device, domain: nvmlClockType_t) -> c_uint =
        clock(&device.whole()?.clocks.applications, domain)?;
    nvmlDeviceGetDefaultApplicationsClock(device, domain: nvmlClockType_t) -> c_uint =
        clock(&device.whole()?.clocks.default_applications, domain)?;
    nvmlDeviceGetMaxCustomerBoostClock(device, domain: nvmlClockType_t) -> c_uint =
        clock(&device.whole()?.clocks.max_customer_boost, domain)?;

    nvmlDeviceGetCurrentClocksThrottleReasons(device) -> c_ulonglong = *device.whole()?.throttle_reasons.get()?;
    nvmlDeviceGetCurrentClocksEventReasons(device) -> c_ulonglong = *device.whole()?.throttle_reasons.get()?;
    nvmlDeviceGetSupportedClocksThrottleReasons(device) -> c_ulonglong =
        *device.whole()?.supported_throttle_reasons.get()?;
    nvmlDeviceGetSupportedClocksEventReasons(device) -> c_ulonglong =
        *device.whole()?.supported_throttle_reasons.get()?;
}

fn clock(clocks: &ClockSet, domain: nvmlClockType_t) -> Result<c_uint, Code> {
    let clock = match domain {
        0 => &clocks.graphics,
        1 => &clocks.sm,
        2 => &clocks.memory,
        3 => &clocks.video,
        _ => return Err(Code::INVALID_ARGUMENT),
    };
    clock.get().copied()
}
