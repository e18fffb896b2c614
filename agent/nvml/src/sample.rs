//! A few values of one device, quickly: what a timed block is judged by.

use nvml_wrapper::{
    Device,
    enum_wrappers::device::{Clock, TemperatureSensor},
    error::NvmlError,
};

use crate::{ask::CELSIUS, live, processes};

/// The moment of a device. What it does not tell is absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Clock of the multiprocessors, MHz.
    pub sm_clock_mhz: Option<f64>,
    /// Power drawn, W.
    pub power_watts: Option<f64>,
    /// Of the chip, degrees Celsius.
    pub temperature_celsius: Option<f64>,
    /// NVML's clock event bits.
    pub clock_event_reasons: Option<u64>,
    /// Process ids of everything that computes on it; `None`: the driver does not tell.
    pub compute_pids: Option<Vec<u32>>,
    /// Share of the last moment in which a kernel ran, 0 to 1.
    pub utilization: Option<f64>,
}

/// Reads a sample; `whole` is the GPU of a MIG instance, which alone has clocks, power and temperature.
///
/// # Errors
/// When the device is lost or the session has ended; everything else leaves its value absent.
pub(crate) fn read(device: &Device<'_>, whole: &Device<'_>) -> Result<Sample, NvmlError> {
    // SAFETY: the handles are only passed to functions of the same library while the session lives.
    let (handle, whole_handle) = unsafe { (device.handle(), whole.handle()) };
    let lib = device.nvml().lib();
    let power = told(whole.power_usage())?;
    Ok(Sample {
        sm_clock_mhz: told(whole.clock_info(Clock::SM))?.map(f64::from),
        power_watts: power.map(|milliwatts| f64::from(milliwatts) / 1e3),
        temperature_celsius: told(whole.temperature(TemperatureSensor::Gpu))?
            .map(|bits| f64::from(bits.cast_signed()))
            .filter(|celsius| CELSIUS.contains(celsius)),
        clock_event_reasons: told(live::clock_event_reasons(lib, whole_handle))?,
        compute_pids: told(processes::compute(lib, handle))?
            .map(|found| found.iter().map(|process| process.pid).collect()),
        utilization: told(whole.utilization_rates())?.map(|rates| f64::from(rates.gpu) / 100.0),
    })
}

/// An error that concerns one value only leaves it absent.
fn told<T>(result: Result<T, NvmlError>) -> Result<Option<T>, NvmlError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if crate::fault::is_lost(&error) || crate::fault::ends_session(&error) => {
            Err(error)
        }
        Err(_) => Ok(None),
    }
}
