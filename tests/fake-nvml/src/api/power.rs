//! Power, energy and utilisation.

use std::ffi::{c_uint, c_ulonglong};

use nvml_wrapper_sys::bindings::{nvmlPstates_t, nvmlUtilization_t};

values! {
    nvmlDeviceGetPowerUsage(device) -> c_uint = *device.whole()?.power.usage.get()?;
    nvmlDeviceGetEnforcedPowerLimit(device) -> c_uint = *device.whole()?.power.enforced_limit.get()?;
    nvmlDeviceGetPowerManagementLimit(device) -> c_uint = *device.whole()?.power.management_limit.get()?;
    nvmlDeviceGetPowerManagementDefaultLimit(device) -> c_uint = *device.whole()?.power.default_limit.get()?;
    nvmlDeviceGetTotalEnergyConsumption(device) -> c_ulonglong = *device.whole()?.power.energy.get()?;
    nvmlDeviceGetPerformanceState(device) -> nvmlPstates_t = *device.whole()?.performance_state.get()?;
    nvmlDeviceGetUtilizationRates(device) -> nvmlUtilization_t = {
        let [gpu, memory] = *device.whole()?.utilization.rates.get()?;
        nvmlUtilization_t { gpu, memory }
    };
}

pairs! {
    nvmlDeviceGetPowerManagementLimitConstraints(device) -> c_uint = *device.whole()?.power.limit_constraints.get()?;
    nvmlDeviceGetEncoderUtilization(device) -> c_uint = *device.whole()?.utilization.encoder.get()?;
    nvmlDeviceGetDecoderUtilization(device) -> c_uint = *device.whole()?.utilization.decoder.get()?;
}
