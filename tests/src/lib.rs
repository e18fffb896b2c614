//! The harness of the end-to-end tests: the real binaries as real processes on loopback, in folders of their own.
//!
//! Nothing here sleeps for luck: [`eventually`] waits for a state with a bound, and every process is ended by its own id when its handle is
//! dropped. Panics are how a test fails, so this crate may panic.

pub mod binaries;
pub mod elf;
pub mod fake_nvml;
pub mod host;
pub mod lab;
pub mod notify;
pub mod process;
pub mod wait;

pub use binaries::binaries;
pub use fake_nvml::FakeNvml;
pub use host::Host;
pub use lab::{Agent, Coordinator, Lab};
pub use notify::NotifySocket;
pub use process::{Finished, Process};
pub use wait::eventually;
