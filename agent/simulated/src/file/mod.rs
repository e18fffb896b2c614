//! The TOML file that says which devices to simulate. Pure: the caller reads it, and the recordings that it names.

mod check;
mod form;

use std::{io, path::Path};

use crate::{Behaviour, Laws, Machine};

pub use form::Speed;

/// Devices to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// How fast their time passes.
    pub speed: Speed,
    /// At least one.
    pub devices: Vec<SimulatedDevice>,
}

/// One device to simulate.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedDevice {
    /// Its name for people; several devices may share it.
    pub model: String,
    /// As an SM count of a GPU.
    pub compute_units: Option<u32>,
    /// Version of an imagined driver.
    pub driver: Option<String>,
    /// Its times.
    pub laws: Laws,
    /// Everything else about it.
    pub behaviour: Behaviour,
    /// Of its scatter.
    pub seed: u64,
}

impl SimulatedDevice {
    /// The device, just started.
    #[must_use]
    pub fn machine(&self) -> Machine<Laws> {
        Machine::new(self.laws.clone(), self.behaviour.clone(), self.seed)
    }
}

/// A file that does not say what to simulate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is not TOML of the expected form; names line, column and field.
    #[error("{file}: {problem}")]
    Form {
        /// The file.
        file: String,
        /// In the parser's words.
        problem: String,
    },
    /// A value that cannot be.
    #[error("{file}: {field}: {problem}")]
    Value {
        /// The file.
        file: String,
        /// Which, as `device[0].spread`.
        field: String,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

impl Simulation {
    /// Reads `text`, the contents of `file`. `read` is asked for the recordings it names, whose paths are relative to the file.
    ///
    /// # Errors
    /// Names the first thing that is wrong, where, and what is allowed.
    pub fn parse(
        file: &Path,
        text: &str,
        read: impl FnMut(&Path) -> io::Result<String>,
    ) -> Result<Self, FileError> {
        let form = toml::from_str(text).map_err(|error| FileError::Form {
            file: file.display().to_string(),
            problem: error.to_string().trim_end().to_owned(),
        })?;
        check::Check::new(file, read).simulation(form)
    }
}
