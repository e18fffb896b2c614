//! The TOML file that says which devices to simulate. [`Simulation::parse`] is pure: its caller reads the file, and the recordings that it names;
//! [`Simulation::read`] does that.

mod check;
mod form;

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

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
    /// It cannot be read.
    #[error("cannot read the simulated devices of {file}: {problem}")]
    Read {
        /// The file.
        file: String,
        /// In the system's words.
        problem: String,
    },
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
    /// Reads the file at `path` and the recordings that it names.
    ///
    /// # Errors
    /// When a file cannot be read, and as [`parse`](Self::parse).
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let text = text_of(path).map_err(|error| FileError::Read {
            file: path.display().to_string(),
            problem: error.to_string(),
        })?;
        Self::parse(path, &text, text_of)
    }

    /// Understands `text`, the contents of `file`. `read` is asked for the recordings it names, whose paths are relative to the file.
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

/// Largest file that is read, bytes: far more than any recording, far less than the memory.
const MOST_BYTES: u64 = 256 << 20;

/// The text of a file; devices that never end, and what is far too large, are refused.
fn text_of(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("holds more than {} MiB", MOST_BYTES >> 20),
        ));
    }
    Ok(text)
}
