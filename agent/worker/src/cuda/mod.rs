//! CUDA as far as it is reached beside libtorch: loading it at the right moment, and the driver's own calls.
//!
//! [`preload`] is the first statement of `main`. Nothing here runs on a host without an NVIDIA driver but the attempt to load it.

mod built;
mod driver;
mod library;

pub use built::{Built, library as built_library};
pub use driver::{DeviceProperties, Driver, EventPair};
pub use library::{Library, LibraryError};

/// What loading CUDA came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preload {
    /// libtorch's CUDA part is loaded.
    Loaded,
    /// The host has no NVIDIA driver.
    NoDriver,
    /// There is a driver, but libtorch's CUDA part cannot be loaded.
    Failed(String),
}

/// Loads libtorch's CUDA part when the host has an NVIDIA driver.
///
/// The linker drops `libtorch_cuda.so`, which registers itself when it is loaded. One call into tch before that makes libtorch decide
/// that there is no CUDA, for the rest of the process: hence the first statement of `main`.
#[must_use]
pub fn preload() -> Preload {
    if Library::open("libcuda.so.1").is_err() {
        return Preload::NoDriver;
    }
    match Library::open("libtorch_cuda.so") {
        Ok(_) => Preload::Loaded,
        Err(error) => Preload::Failed(format!(
            "this host has an NVIDIA driver, but libtorch's CUDA part cannot be loaded: {error}; install the complete libtorch with `make libtorch`"
        )),
    }
}

/// What is wrong where the driver shows devices and libtorch reaches none of them, and what to do about it.
pub const UNREACHABLE: &str = "libtorch reaches no CUDA device: it is built for a newer CUDA than the NVIDIA driver knows, or without CUDA; \
     install a driver for CUDA 13 (580 or newer), or measure the processors with --devices cpu";

/// Version of the NVIDIA kernel driver, "580.65.06".
#[must_use]
pub fn driver_version() -> Option<String> {
    std::fs::read_to_string("/sys/module/nvidia/version")
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}
