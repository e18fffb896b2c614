//! The file that is the world.
//!
//! ```toml
//! driver_version = "590.48.01"      # another one than at nvmlInit: version mismatch until the library is initialised again
//! nvml_version = "13.590.48.01"
//! cuda_version = 13010              # 1000 * major + 10 * minor
//!
//! [[device]]
//! preset = "h200"                   # h200, a100_mig, t4, rtx_laptop, gb10, v100, future; or none: everything is not supported
//! serial = { error = "no_permission" }
//! power.usage = 421_000             # other fields of the preset's table stay
//! name = { bytes = [78, 255] }      # raw; without a 0 they fill the caller's buffer to its end
//! processes = [{ pid = 4711, used_bytes = 1_073_741_824, name = "python", type = "compute" }]
//!
//! [[device]]
//! preset = "a100_mig"
//! mig.instances = []                # a list replaces the preset's
//!
//! [[pair]]                          # two devices by their places in the file; without one: across sockets, no peer access
//! devices = [0, 1]
//! level = 10                        # nvmlGpuTopologyLevel_t
//! p2p = [0, 0, 0, 0, 0]             # nvmlGpuP2PStatus_t for read, write, NVLink, atomics, PCI
//! ```
//!
//! The fields of a device are those of [`Device`]. Any of them may be `{ error = "word" }` with a word of [`Code::WORDS`], or a number that nobody
//! knows. A preset's UUID, serial number and bus carry the device's place in the file; where devices move, say the UUID: it is what a handle stands
//! for.
//!
//! Faults, of one device or, above all tables, of all: `lost = true`; `lost_after_calls = 100`, counted since the file says so;
//! `hang = "nvmlDeviceGetPowerUsage"`, or a list, which blocks until the file no longer says so; `fail = { nvmlDeviceGetName = "unknown" }`.
//! Of one device: `ecc_growth_per_read = 3`, `process_count = 4294967295`. Of the library: `init_error = "driver_not_loaded"`,
//! `device_count = 4294967295`.
//!
//! `process_info_v3_size = 32`: bytes per item of the third version of the process queries, as drivers of 2023 (535.54.03 for one) had it under the
//! same name; 24 otherwise.
//!
//! A driver before 510 answers `function_not_found` where its library had no such function. Write the file elsewhere and rename it over the old one:
//! it is read at every change.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    answer::{Answer, Code, Text},
    device::{Device, Names},
    names::FUNCTIONS,
    presets,
};

/// Everything that the library answers from.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct World {
    /// Of the kernel module.
    pub driver_version: Answer<Text>,
    /// Of the library.
    pub nvml_version: Answer<Text>,
    /// 1000 · major + 10 · minor.
    pub cuda_version: Answer<i32>,
    /// What `nvmlInit` answers.
    pub init_error: Option<Code>,
    /// What `nvmlDeviceGetCount` answers, whatever there is.
    pub device_count: Option<u32>,
    /// Bytes per item of the third version of the process queries, where they are not those of the header.
    pub process_info_v3_size: Option<u8>,
    /// Every call on a device answers `gpu_is_lost`.
    pub lost: bool,
    /// The same from the N-th call on each device on.
    pub lost_after_calls: Option<u64>,
    /// Functions that block for as long as the file names them.
    pub hang: Names,
    /// Functions that answer an error.
    pub fail: BTreeMap<String, Code>,
    /// What is known about two devices.
    #[serde(rename = "pair")]
    pub pairs: Vec<Pair>,
    /// In the order of their indices.
    #[serde(skip)]
    pub devices: Vec<Device>,
}

/// What connects two devices.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// Their places in the file.
    pub devices: [u32; 2],
    /// `nvmlGpuTopologyLevel_t`.
    #[serde(default)]
    pub level: Answer<u32>,
    /// `nvmlGpuP2PStatus_t` for each `nvmlGpuP2PCapsIndex_t`.
    #[serde(default)]
    pub p2p: Answer<[u32; 5]>,
}

/// Why a file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML.
    #[error("it is not TOML: {0}")]
    Syntax(String),
    /// A field above the devices.
    #[error("{0}")]
    Field(String),
    /// A field of a device.
    #[error("device {index}: {reason}")]
    Device {
        /// Its place in the file.
        index: usize,
        /// With the field's name.
        reason: String,
    },
    /// Fields of functions.
    #[error("no function is called `{0}`")]
    Function(String),
}

const DRIVER: &str = "590.48.01";
const NVML: &str = "13.590.48.01";
const CUDA: i64 = 13_010;

/// Reads a world.
///
/// # Errors
/// Where the text is no TOML, or a field is unknown or has a value that it cannot have.
pub fn read(text: &str) -> Result<World, ConfigError> {
    let mut table: toml::Table =
        toml::from_str(text).map_err(|error| ConfigError::Syntax(one_line(&error.to_string())))?;
    let devices = match table.remove("device") {
        None => Vec::new(),
        Some(toml::Value::Array(devices)) => devices,
        Some(_) => {
            return Err(ConfigError::Field(
                "`device` is no list: write [[device]]".into(),
            ));
        }
    };
    for (field, value) in [
        ("driver_version", toml::Value::from(DRIVER)),
        ("nvml_version", toml::Value::from(NVML)),
        ("cuda_version", toml::Value::from(CUDA)),
    ] {
        table.entry(field).or_insert(value);
    }
    let mut world: World = toml::Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| ConfigError::Field(one_line(&error.to_string())))?;
    check_functions(&world.hang, &world.fail)?;
    if let Some(size) = world.process_info_v3_size
        && ![16, 24, 32].contains(&size)
    {
        return Err(ConfigError::Field(format!(
            "`process_info_v3_size` is 16, 24 or 32, not {size}"
        )));
    }
    for (index, device) in devices.into_iter().enumerate() {
        let device =
            read_device(index, device).map_err(|reason| ConfigError::Device { index, reason })?;
        check_functions(&device.hang, &device.fail)?;
        world.devices.push(device);
    }
    Ok(world)
}

fn read_device(index: usize, value: toml::Value) -> Result<Device, String> {
    let toml::Value::Table(changes) = value else {
        return Err("it is no table".into());
    };
    let mut table = match changes.get("preset") {
        None => toml::Table::new(),
        Some(toml::Value::String(name)) => presets::table(name, index)?,
        Some(_) => return Err("`preset` is no string".into()),
    };
    table
        .entry("minor_number")
        .or_insert(toml::Value::Integer(index.try_into().unwrap_or(0)));
    lay_over(&mut table, changes);
    let mut device: Device = toml::Value::Table(table)
        .try_into()
        .map_err(|error: toml::de::Error| one_line(&error.to_string()))?;
    if let Some(bytes) = device.name_bytes.take() {
        if bytes.is_empty() {
            return Err("`name_bytes` is empty".into());
        }
        device.name = Answer::Value(Text::Raw(bytes));
    }
    Ok(device)
}

/// Tables are merged; everything else, and an error in a table's place, replaces what was there.
fn lay_over(table: &mut toml::Table, changes: toml::Table) {
    for (field, change) in changes {
        match (table.get_mut(&field), change) {
            (Some(toml::Value::Table(before)), toml::Value::Table(change))
                if !before.contains_key("error") && !is_whole(&change) =>
            {
                lay_over(before, change);
            }
            (_, change) => {
                table.insert(field, change);
            }
        }
    }
}

/// A table that stands for a single value.
fn is_whole(table: &toml::Table) -> bool {
    table.contains_key("error") || table.contains_key("bytes")
}

fn check_functions(hang: &Names, fail: &BTreeMap<String, Code>) -> Result<(), ConfigError> {
    match hang
        .0
        .iter()
        .chain(fail.keys())
        .find(|name| !FUNCTIONS.contains(&name.as_str()))
    {
        Some(name) => Err(ConfigError::Function(name.clone())),
        None => Ok(()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_takes_changes_table_by_table() {
        let world = read("[[device]]\npreset = \"h200\"\npower.usage = 7\nserial = { error = \"no_permission\" }").unwrap();
        let device = &world.devices[0];
        assert_eq!(device.power.usage, Answer::Value(7));
        assert_eq!(
            device.power.limit_constraints,
            Answer::Value([200_000, 700_000])
        );
        assert_eq!(device.serial, Answer::Error(Code::NO_PERMISSION));
        assert_eq!(device.minor_number, Answer::Value(0));
    }

    #[test]
    fn every_preset_can_be_read_twice_and_differs_in_its_uuid() {
        for name in presets::NAMES {
            let text = format!("[[device]]\npreset = \"{name}\"\n[[device]]\npreset = \"{name}\"");
            let world = read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_ne!(
                world.devices[0].uuid.get().unwrap(),
                world.devices[1].uuid.get().unwrap(),
                "{name}"
            );
            assert_ne!(
                world.devices[0].pci.get().unwrap(),
                world.devices[1].pci.get().unwrap(),
                "{name}"
            );
        }
    }

    #[test]
    fn errors_name_the_field() {
        for (text, named) in [
            ("drivers = 3", "drivers"),
            ("[[device]]\nseriall = \"x\"", "seriall"),
            ("[[device]]\nserial = 5", "serial"),
            ("[[device]]\npower.usage = -5", "usage"),
            ("[[device]]\npower = { usag = 5 }", "usag"),
            ("[[device]]\nserial = { error = \"lost\" }", "serial"),
            ("[[device]]\nmemory = { total = 1, used = 1 }", "memory"),
            ("[[device]]\nmig.instances = [{ slot = 0 }]", "instances"),
            ("[[device]]\npreset = \"h201\"", "h201"),
            (
                "fail = { nvmlDeviceGetNam = \"unknown\" }",
                "nvmlDeviceGetNam",
            ),
            ("[[device]]\nhang = \"nvmlHang\"", "nvmlHang"),
            ("driver_version =", "line 1"),
            ("process_info_v3_size = 17", "process_info_v3_size"),
        ] {
            let error = read(text).expect_err(text).to_string();
            assert!(error.contains(named), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
