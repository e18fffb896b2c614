//! The measurement protocol: what is warmed up, how long a block is, what bounds a sweep, and the clock around it all.
//!
//! Works on anything that is a [`Subject`] and knows neither libtorch nor sockets; `serve` and the benchmark's loop call it.

pub mod block;
pub mod host;
mod miss;
pub mod round;

pub use batchstep_measurement::{memory, pace};

use std::time::Duration;

use crate::failure::Failure;

/// What is measured: a network on a device, or a stand-in in tests.
pub trait Subject {
    /// Makes ready for iterations at a batch size.
    ///
    /// # Errors
    /// When the data does not fit.
    fn prepare(&mut self, batch_size: u32) -> Result<(), Failure>;

    /// One iteration at the prepared batch size. May return before the device is done.
    ///
    /// # Errors
    /// What the network ended with.
    fn iterate(&mut self) -> Result<(), Failure>;

    /// Waits until the device is done.
    ///
    /// # Errors
    /// What the work ended with.
    fn synchronize(&mut self) -> Result<(), Failure>;

    /// Marks the beginning of a block on the device's own clock, if it has one.
    ///
    /// # Errors
    /// When the device is lost.
    fn begin_device_clock(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Marks its end.
    ///
    /// # Errors
    /// When the device is lost.
    fn end_device_clock(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Time between the two marks; passes also while the device waits for the host.
    ///
    /// # Errors
    /// When the device is lost.
    fn device_elapsed(&mut self) -> Result<Option<Duration>, Failure> {
        Ok(None)
    }

    /// Gives back what batches hold, after a failure.
    fn release(&mut self);

    /// Starts a new peak of memory in use.
    fn reset_peak_memory(&mut self);

    /// Highest memory in use since then, bytes.
    fn peak_memory(&mut self) -> Option<u64>;

    /// All of the memory that this process could use, bytes.
    fn memory_budget(&mut self) -> Option<u64>;

    /// A mark for the load that others put on the processors, where those are what is measured.
    fn foreign_load(&self) -> Option<host::LoadMark> {
        None
    }
}
