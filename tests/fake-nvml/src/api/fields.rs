//! `nvmlDeviceGetFieldValues`: many values in one call, each with a code of its own.

use std::{
    ffi::c_int,
    time::{SystemTime, UNIX_EPOCH},
};

use nvml_wrapper_sys::bindings::{
    field_id::{
        NVML_FI_DEV_ECC_CURRENT, NVML_FI_DEV_ECC_DBE_AGG_TOTAL, NVML_FI_DEV_ECC_DBE_VOL_TOTAL,
        NVML_FI_DEV_ECC_PENDING, NVML_FI_DEV_ECC_SBE_AGG_TOTAL, NVML_FI_DEV_ECC_SBE_VOL_TOTAL,
        NVML_FI_DEV_MEMORY_TEMP, NVML_FI_DEV_NVLINK_LINK_COUNT, NVML_FI_DEV_PCIE_REPLAY_COUNTER,
        NVML_FI_DEV_POWER_AVERAGE, NVML_FI_DEV_POWER_CURRENT_LIMIT,
        NVML_FI_DEV_POWER_DEFAULT_LIMIT, NVML_FI_DEV_POWER_INSTANT, NVML_FI_DEV_POWER_MAX_LIMIT,
        NVML_FI_DEV_POWER_MIN_LIMIT, NVML_FI_DEV_POWER_REQUESTED_LIMIT, NVML_FI_DEV_REMAPPED_COR,
        NVML_FI_DEV_REMAPPED_FAILURE, NVML_FI_DEV_REMAPPED_PENDING, NVML_FI_DEV_REMAPPED_UNC,
        NVML_FI_DEV_RETIRED_DBE, NVML_FI_DEV_RETIRED_PENDING, NVML_FI_DEV_RETIRED_SBE,
        NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION,
    },
    nvmlDevice_t, nvmlFieldValue_t, nvmlReturn_enum_NVML_SUCCESS, nvmlReturn_t, nvmlValue_t,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_INT as UNSIGNED_INT,
    nvmlValueType_enum_NVML_VALUE_TYPE_UNSIGNED_LONG_LONG as UNSIGNED_LONG_LONG,
};

use super::errors::ecc_errors;
use crate::{
    answer::Code,
    call::{Gpu, on_device},
    out::given,
};

enum Value {
    Int(u32),
    Long(u64),
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetFieldValues(
    device: nvmlDevice_t,
    values_count: c_int,
    values: *mut nvmlFieldValue_t,
) -> nvmlReturn_t {
    on_device("nvmlDeviceGetFieldValues", device, |device| {
        given(values)?;
        let count = usize::try_from(values_count).map_err(|_| Code::INVALID_ARGUMENT)?;
        if count == 0 {
            return Err(Code::INVALID_ARGUMENT);
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(0));
        for number in 0..count {
            // SAFETY: the array is the caller's, with this many items, whose ids are written, by NVML's contract.
            let value = unsafe { &mut *values.add(number) };
            value.timestamp = now;
            value.latencyUsec = 0;
            match field(device, value.fieldId) {
                Ok(Value::Int(found)) => {
                    value.valueType = UNSIGNED_INT;
                    value.value = nvmlValue_t { ullVal: 0 };
                    value.value.uiVal = found;
                    value.nvmlReturn = nvmlReturn_enum_NVML_SUCCESS;
                }
                Ok(Value::Long(found)) => {
                    value.valueType = UNSIGNED_LONG_LONG;
                    value.value = nvmlValue_t { ullVal: found };
                    value.nvmlReturn = nvmlReturn_enum_NVML_SUCCESS;
                }
                Err(code) => value.nvmlReturn = code.0,
            }
        }
        Ok(())
    })
}

fn field(gpu: &Gpu, id: u32) -> Result<Value, Code> {
    let device = gpu.whole()?;
    let rows = || device.remapped_rows.get();
    let pages = &device.retired_pages;
    let power = &device.power;
    let int = match id {
        NVML_FI_DEV_ECC_CURRENT => device.ecc.mode.get()?[0],
        NVML_FI_DEV_ECC_PENDING => device.ecc.mode.get()?[1],
        NVML_FI_DEV_ECC_SBE_VOL_TOTAL => return ecc_errors(gpu, 0, 0).map(Value::Long),
        NVML_FI_DEV_ECC_DBE_VOL_TOTAL => return ecc_errors(gpu, 1, 0).map(Value::Long),
        NVML_FI_DEV_ECC_SBE_AGG_TOTAL => return ecc_errors(gpu, 0, 1).map(Value::Long),
        NVML_FI_DEV_ECC_DBE_AGG_TOTAL => return ecc_errors(gpu, 1, 1).map(Value::Long),
        NVML_FI_DEV_RETIRED_SBE => number(pages.single_bit.get()?)?,
        NVML_FI_DEV_RETIRED_DBE => number(pages.double_bit.get()?)?,
        NVML_FI_DEV_RETIRED_PENDING => *pages.pending.get()?,
        NVML_FI_DEV_MEMORY_TEMP => *device.memory_temperature.get()?,
        NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION => {
            return power.energy.get().copied().map(Value::Long);
        }
        NVML_FI_DEV_NVLINK_LINK_COUNT => device.nvlinks.get()?.count,
        NVML_FI_DEV_PCIE_REPLAY_COUNTER => *device.pcie.replay_counter.get()?,
        NVML_FI_DEV_REMAPPED_COR => rows()?.correctable,
        NVML_FI_DEV_REMAPPED_UNC => rows()?.uncorrectable,
        NVML_FI_DEV_REMAPPED_PENDING => rows()?.pending,
        NVML_FI_DEV_REMAPPED_FAILURE => rows()?.failure,
        NVML_FI_DEV_POWER_AVERAGE | NVML_FI_DEV_POWER_INSTANT => *power.usage.get()?,
        NVML_FI_DEV_POWER_MIN_LIMIT => power.limit_constraints.get()?[0],
        NVML_FI_DEV_POWER_MAX_LIMIT => power.limit_constraints.get()?[1],
        NVML_FI_DEV_POWER_DEFAULT_LIMIT => *power.default_limit.get()?,
        NVML_FI_DEV_POWER_CURRENT_LIMIT => *power.enforced_limit.get()?,
        NVML_FI_DEV_POWER_REQUESTED_LIMIT => *power.management_limit.get()?,
        _ => return Err(Code::NOT_SUPPORTED),
    };
    Ok(Value::Int(int))
}

fn number<T>(items: &[T]) -> Result<u32, Code> {
    u32::try_from(items.len()).map_err(|_| Code::UNKNOWN)
}
