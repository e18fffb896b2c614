//! A `libnvidia-ml.so.1` without a GPU: the C functions of NVML, answered from a TOML file, so that tests run production code through the real
//! wrapper, the dynamic loader and the C ABI.
//!
//! The file is the one that `BATCHSTEP_FAKE_NVML` names; [`config`] describes it. It is looked at again whenever it changes, so a test changes the
//! world while a process runs. Where `BATCHSTEP_FAKE_NVML_LOG` names a file, every call is appended to it as one line, `function device`, with `-`
//! for calls without a device.
//!
//! What is answered and what is not follows NVML's documentation; what cannot be known without a GPU is marked where it is decided. Nothing here
//! unwinds into the caller, and nothing is written behind a buffer's end.

#[macro_use]
mod names;
#[cfg(test)]
mod abi;
pub mod answer;
mod api;
mod call;
pub mod config;
pub mod device;
mod out;
mod presets;
mod state;

pub use names::FUNCTIONS;
