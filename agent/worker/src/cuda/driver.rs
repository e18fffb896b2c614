//! The few calls of the CUDA driver that libtorch does not pass on: which device this is, events on its clock, synchronisation with an
//! error instead of a panic. Bound at run time; nothing here is called on hosts without a driver.

use std::{
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    ptr,
};

use super::library::{Library, LibraryError};
use crate::failure::Failure;

type Status = c_int;
type Handle = *mut c_void;

/// `CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT` and its kin, from cuda.h.
const MULTIPROCESSOR_COUNT: c_int = 16;
const COMPUTE_CAPABILITY_MAJOR: c_int = 75;
const COMPUTE_CAPABILITY_MINOR: c_int = 76;
/// `CU_EVENT_DEFAULT`: with timing.
const EVENT_DEFAULT: c_uint = 0;

/// Declares the driver's functions once: name in Rust, symbol, signature.
macro_rules! driver {
    ($( $name:ident = $symbol:literal: fn($($argument:ty),*); )+) => {
        /// The functions of `libcuda.so.1`, initialised.
        #[derive(Debug, Clone, Copy)]
        pub struct Driver { $( $name: unsafe extern "C" fn($($argument),*) -> Status, )+ }

        impl Driver {
            fn bind(library: Library) -> Result<Self, LibraryError> {
                // SAFETY: the signatures are those of cuda.h, stable since CUDA 11.4.
                Ok(unsafe { Self { $( $name: library.function($symbol)?, )+ } })
            }
        }
    };
}

driver! {
    init = c"cuInit": fn(c_uint);
    error_string = c"cuGetErrorString": fn(Status, *mut *const c_char);
    device_count = c"cuDeviceGetCount": fn(*mut c_int);
    device = c"cuDeviceGet": fn(*mut c_int, c_int);
    device_name = c"cuDeviceGetName": fn(*mut c_char, c_int, c_int);
    device_uuid = c"cuDeviceGetUuid_v2": fn(*mut [u8; 16], c_int);
    device_attribute = c"cuDeviceGetAttribute": fn(*mut c_int, c_int, c_int);
    device_memory = c"cuDeviceTotalMem_v2": fn(*mut usize, c_int);
    synchronize = c"cuCtxSynchronize": fn();
    event_create = c"cuEventCreate": fn(*mut Handle, c_uint);
    event_record = c"cuEventRecord": fn(Handle, Handle);
    event_synchronize = c"cuEventSynchronize": fn(Handle);
    event_elapsed = c"cuEventElapsedTime": fn(*mut f32, Handle, Handle);
}

/// What the driver tells of a device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeviceProperties {
    /// Position among the devices this process sees.
    pub index: i32,
    /// "GPU-0a1b..". MIG is not supported before there is an inventory: CUDA shows the first instance of a divided GPU as a device and tells
    /// the instance's UUID, which is printed as "GPU-.." although `CUDA_VISIBLE_DEVICES` knows it as "MIG-.." only. A worker for it finds
    /// no device and says so.
    pub uuid: String,
    /// Marketing name.
    pub name: String,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// "9.0".
    pub compute_capability: String,
    /// Bytes.
    pub memory_bytes: u64,
}

impl Driver {
    /// Loads and initialises the driver.
    ///
    /// # Errors
    /// When there is none, or it does not start.
    pub fn load() -> Result<Self, Failure> {
        let driver = Library::open("libcuda.so.1")
            .and_then(Self::bind)
            .map_err(|error| {
                Failure::workload(format!("the NVIDIA driver cannot be used: {error}"))
            })?;
        // SAFETY: flags must be 0.
        driver.check("cuInit", unsafe { (driver.init)(0) })?;
        Ok(driver)
    }

    fn check(&self, call: &str, status: Status) -> Result<(), Failure> {
        if status == 0 {
            return Ok(());
        }
        let mut text = ptr::null();
        // SAFETY: the driver stores a pointer to a static text, or null for unknown numbers.
        let known = unsafe { (self.error_string)(status, &raw mut text) } == 0 && !text.is_null();
        let reason = if known {
            // SAFETY: a static C string of the driver.
            unsafe { CStr::from_ptr(text) }
                .to_string_lossy()
                .into_owned()
        } else {
            format!("status {status}")
        };
        Err(Failure::classify(&format!("{call}: CUDA error: {reason}")))
    }

    /// The devices this process sees, after `CUDA_VISIBLE_DEVICES`.
    ///
    /// # Errors
    /// When the driver does not answer.
    pub fn devices(&self) -> Result<Vec<DeviceProperties>, Failure> {
        let mut count = 0;
        // SAFETY: a valid place for the result.
        self.check("cuDeviceGetCount", unsafe {
            (self.device_count)(&raw mut count)
        })?;
        (0..count).map(|index| self.properties(index)).collect()
    }

    fn properties(&self, index: c_int) -> Result<DeviceProperties, Failure> {
        let mut device = 0;
        // SAFETY: a valid place for the result.
        self.check("cuDeviceGet", unsafe {
            (self.device)(&raw mut device, index)
        })?;
        let mut name = [0_u8; 256];
        let capacity = c_int::try_from(name.len()).unwrap_or(0);
        // SAFETY: a buffer of the given capacity; the driver ends the text with a zero byte.
        self.check("cuDeviceGetName", unsafe {
            (self.device_name)(name.as_mut_ptr().cast(), capacity, device)
        })?;
        let mut uuid = [0_u8; 16];
        // SAFETY: 16 bytes, as CUuuid has.
        self.check("cuDeviceGetUuid", unsafe {
            (self.device_uuid)(&raw mut uuid, device)
        })?;
        let mut memory = 0_usize;
        // SAFETY: a valid place for the result.
        self.check("cuDeviceTotalMem", unsafe {
            (self.device_memory)(&raw mut memory, device)
        })?;
        let attribute = |attribute| {
            let mut value = 0;
            // SAFETY: a valid place for the result.
            self.check("cuDeviceGetAttribute", unsafe {
                (self.device_attribute)(&raw mut value, attribute, device)
            })
            .map(|()| value)
        };
        Ok(DeviceProperties {
            index,
            uuid: uuid_text(uuid),
            name: CStr::from_bytes_until_nul(&name)
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            multiprocessors: u32::try_from(attribute(MULTIPROCESSOR_COUNT)?).unwrap_or(0),
            compute_capability: format!(
                "{}.{}",
                attribute(COMPUTE_CAPABILITY_MAJOR)?,
                attribute(COMPUTE_CAPABILITY_MINOR)?
            ),
            memory_bytes: memory as u64,
        })
    }

    /// Waits for everything the current context was given.
    ///
    /// # Errors
    /// What the work ended with.
    pub fn synchronize(&self) -> Result<(), Failure> {
        // SAFETY: libtorch has made its context current on this thread; without one the driver answers with an error.
        self.check("cuCtxSynchronize", unsafe { (self.synchronize)() })
    }
}

/// The form in which NVML and `nvidia-smi` print a UUID.
fn uuid_text(bytes: [u8; 16]) -> String {
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "GPU-{}-{}-{}-{}-{}",
        hex[..4].concat(),
        hex[4..6].concat(),
        hex[6..8].concat(),
        hex[8..10].concat(),
        hex[10..].concat()
    )
}

/// Two events on the stream that libtorch uses: the time between them passes on the device's own clock.
#[derive(Debug)]
pub struct EventPair {
    driver: Driver,
    begin: Handle,
    end: Handle,
}

impl EventPair {
    /// Makes the events in the current context; they live as long as the process.
    ///
    /// # Errors
    /// When no context is current, which libtorch's first operation on the device changes.
    pub fn new(driver: Driver) -> Result<Self, Failure> {
        let create = || {
            let mut event = ptr::null_mut();
            // SAFETY: a valid place for the result.
            driver
                .check("cuEventCreate", unsafe {
                    (driver.event_create)(&raw mut event, EVENT_DEFAULT)
                })
                .map(|()| event)
        };
        Ok(Self {
            driver,
            begin: create()?,
            end: create()?,
        })
    }

    fn record(&self, event: Handle) -> Result<(), Failure> {
        // SAFETY: an event of this context; the null stream is the one libtorch works on unless told otherwise.
        self.driver.check("cuEventRecord", unsafe {
            (self.driver.event_record)(event, ptr::null_mut())
        })
    }

    /// Marks the beginning.
    ///
    /// # Errors
    /// What earlier work ended with.
    pub fn begin(&self) -> Result<(), Failure> {
        self.record(self.begin)
    }

    /// Marks the end.
    ///
    /// # Errors
    /// What earlier work ended with.
    pub fn end(&self) -> Result<(), Failure> {
        self.record(self.end)
    }

    /// Seconds between the marks.
    ///
    /// # Errors
    /// What the work between them ended with.
    pub fn seconds(&self) -> Result<f64, Failure> {
        let mut milliseconds = 0.0_f32;
        // SAFETY: both events have been recorded in this context.
        unsafe {
            self.driver.check(
                "cuEventSynchronize",
                (self.driver.event_synchronize)(self.end),
            )?;
            self.driver.check(
                "cuEventElapsedTime",
                (self.driver.event_elapsed)(&raw mut milliseconds, self.begin, self.end),
            )?;
        }
        Ok(f64::from(milliseconds) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_look_as_nvidia_smi_prints_them() {
        let bytes = std::array::from_fn(|n| u8::try_from(n * 17).unwrap());
        assert_eq!(uuid_text(bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn without_a_driver_the_error_names_the_library() {
        match Driver::load() {
            Ok(driver) => assert!(driver.devices().is_ok()),
            Err(failure) => assert!(
                failure.message.contains("libcuda") || failure.message.contains("cuInit"),
                "{failure}"
            ),
        }
    }
}
