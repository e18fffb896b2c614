//! The file as it is written: the fields of the TOML and nothing else. What they may be is `check`'s business.

use std::path::PathBuf;

use batchstep_laws::{Law, Scatter};
use serde::{Deserialize, Deserializer, de};

/// How fast device time passes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Speed {
    /// As it would on a device.
    #[default]
    Real,
    /// So many device seconds in one.
    Times(f64),
    /// At once.
    Instant,
}

/// Fastest that is not [`Speed::Instant`].
const FASTEST: f64 = 1e6;

impl<'de> Deserialize<'de> for Speed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl Visitor {
            fn factor<E: de::Error>(factor: f64) -> Result<Speed, E> {
                if factor == 1.0 {
                    Ok(Speed::Real)
                } else if (1.0..=FASTEST).contains(&factor) {
                    Ok(Speed::Times(factor))
                } else {
                    Err(E::custom(format!(
                        "speed = {factor}: a factor from 1 (real time) to {FASTEST}, or \"instant\""
                    )))
                }
            }
        }
        impl de::Visitor<'_> for Visitor {
            type Value = Speed;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(
                    f,
                    "a factor from 1 (real time) to {FASTEST}, or \"instant\""
                )
            }

            fn visit_f64<E: de::Error>(self, factor: f64) -> Result<Speed, E> {
                Self::factor(factor)
            }

            #[allow(clippy::cast_precision_loss)]
            fn visit_i64<E: de::Error>(self, factor: i64) -> Result<Speed, E> {
                Self::factor(factor as f64)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Speed, E> {
                match word {
                    "instant" => Ok(Speed::Instant),
                    "real" => Ok(Speed::Real),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub speed: Speed,
    pub seed: u64,
    pub device: Vec<Device>,
}

/// Devices of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    pub model: String,
    #[serde(default = "one")]
    pub count: u32,
    #[serde(default)]
    pub spread: f64,
    pub compute_units: Option<u32>,
    pub driver: Option<String>,
    pub sm_clock_mhz: Option<f64>,
    #[serde(default)]
    pub device_clock: bool,
    pub law: Option<Law>,
    pub class: Option<String>,
    pub seed: Option<u64>,
    pub recorded: Option<PathBuf>,
    pub series: Option<String>,
    #[serde(default)]
    pub workload: Vec<Workload>,
    pub scatter: Option<Scatter>,
    pub memory: Option<Memory>,
    #[serde(default)]
    pub throttling: Vec<Throttling>,
    #[serde(default)]
    pub contention: Vec<Contention>,
    #[serde(default)]
    pub faults: Faults,
}

/// The law of one workload.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Workload {
    pub name: String,
    pub law: Option<Law>,
    pub class: Option<String>,
    pub seed: Option<u64>,
    pub recorded: Option<PathBuf>,
    pub series: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Memory {
    pub total_bytes: u64,
    #[serde(default)]
    pub idle_bytes: u64,
    pub bytes_per_sample: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Throttling {
    #[serde(default)]
    pub from_seconds: f64,
    pub lasts_seconds: Option<f64>,
    pub every_seconds: Option<f64>,
    #[serde(default = "unchanged")]
    pub slowdown: f64,
    #[serde(default = "hardware_thermal")]
    pub reasons: u64,
    pub sm_clock_mhz: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contention {
    #[serde(default)]
    pub from_seconds: f64,
    pub lasts_seconds: Option<f64>,
    pub every_seconds: Option<f64>,
    #[serde(default = "unchanged")]
    pub slowdown: f64,
    #[serde(default = "one")]
    pub foreign_processes: u32,
    #[serde(default)]
    pub foreign_cores: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Faults {
    pub out_of_memory_at: Option<u32>,
    pub errors_at: Vec<u32>,
    pub crashes_at: Vec<u32>,
    pub hangs_at: Vec<u32>,
    pub killed_every: u32,
}

const fn one() -> u32 {
    1
}

const fn unchanged() -> f64 {
    1.0
}

/// NVML's `nvmlClocksEventReasonHwThermalSlowdown`.
const fn hardware_thermal() -> u64 {
    0x40
}
