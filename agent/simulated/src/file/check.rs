//! From the file's fields to devices: every range and every contradiction, told with the field's path.

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use batchstep_laws::{Class, Law, Random, Scatter};
use batchstep_proto::{
    limits,
    workload::{CATALOGUE, WorkloadSpec},
};

use super::{FileError, SimulatedDevice, Simulation, form};
use crate::{Behaviour, Contention, Faults, Laws, Memory, Recording, Source, Throttling, Window};

/// Batch sizes for which a law must give a time; one that fails beyond fails visits, not the file.
const CHECKED_BATCH_SIZES: u32 = 4096;
/// Longest window, seconds: thirty years.
const LONGEST_SECONDS: f64 = 1e9;
/// Slowest that anything makes a device.
const SLOWEST: f64 = 1000.0;
/// Siblings that differ by more are not of one model.
const WIDEST_SPREAD: f64 = 0.5;
/// Fastest clock, megahertz.
const FASTEST_CLOCK: f64 = 1e5;

/// What can be wrong with one field, in words.
type Checked<T> = Result<T, String>;

/// The file that is checked, and how its recordings are read.
pub(super) struct Check<'a, R> {
    file: &'a Path,
    read: R,
}

/// A device's or a workload's choice of times, as written.
struct Choice {
    law: Option<Law>,
    class: Option<String>,
    seed: Option<u64>,
    recorded: Option<PathBuf>,
    series: Option<String>,
}

impl<'a, R: FnMut(&Path) -> io::Result<String>> Check<'a, R> {
    pub(super) const fn new(file: &'a Path, read: R) -> Self {
        Self { file, read }
    }

    fn wrong<T>(
        &self,
        field: impl Into<String>,
        problem: impl Into<String>,
    ) -> Result<T, FileError> {
        Err(FileError::Value {
            file: self.file.display().to_string(),
            field: field.into(),
            problem: problem.into(),
        })
    }

    /// Puts the field's path to a problem.
    fn at<T>(&self, field: impl FnOnce() -> String, checked: Checked<T>) -> Result<T, FileError> {
        checked.or_else(|problem| self.wrong(field(), problem))
    }

    pub(super) fn simulation(mut self, form: form::File) -> Result<Simulation, FileError> {
        let mut devices = Vec::new();
        for (index, device) in form.device.into_iter().enumerate() {
            let place = format!("device[{index}]");
            self.at(
                || format!("{place}.count"),
                within(device.count, 1, most_devices()),
            )?;
            let seed = form.seed.wrapping_mul(1 << 16).wrapping_add(index as u64);
            self.devices(&place, device, seed, &mut devices)?;
            if devices.len() > limits::DEVICES_PER_AGENT {
                return self.wrong(
                    "device",
                    format!("an agent offers at most {} devices", most_devices()),
                );
            }
        }
        if devices.is_empty() {
            return self.wrong(
                "device",
                "there is none; begin one with the line [[device]]",
            );
        }
        Ok(Simulation {
            speed: form.speed,
            devices,
        })
    }

    /// Adds the siblings of one entry.
    fn devices(
        &mut self,
        place: &str,
        device: form::Device,
        seed: u64,
        devices: &mut Vec<SimulatedDevice>,
    ) -> Result<(), FileError> {
        let field = |name: &str| format!("{place}.{name}");
        self.at(|| field("model"), name(&device.model))?;
        if let Some(driver) = &device.driver {
            self.at(|| field("driver"), name(driver))?;
        }
        self.at(
            || field("spread"),
            between(device.spread, 0.0, WIDEST_SPREAD),
        )?;
        if let Some(units) = device.compute_units {
            self.at(|| field("compute_units"), within(units, 1, 1 << 20))?;
        }
        if let Some(clock) = device.sm_clock_mhz {
            self.at(|| field("sm_clock_mhz"), between(clock, 1.0, FASTEST_CLOCK))?;
        }
        let usual = Choice {
            law: device.law,
            class: device.class,
            seed: device.seed,
            recorded: device.recorded,
            series: device.series,
        };
        let (usual, own_scatter) = self.source(place, usual)?.unzip();
        let mut by_workload = Vec::new();
        for (index, workload) in device.workload.into_iter().enumerate() {
            let place = format!("{place}.workload[{index}]");
            let entry = self.workload(&place, workload)?;
            if by_workload.iter().any(|(name, _)| *name == entry.0) {
                return self.wrong(
                    format!("{place}.name"),
                    format!("{:?} is there twice", entry.0),
                );
            }
            by_workload.push(entry);
        }
        if usual.is_none() && by_workload.is_empty() {
            return self.wrong(
                place,
                "has no times; give it one of `law`, `class` and `recorded`, or a [[device.workload]] that has",
            );
        }
        let scatter = device.scatter.or(own_scatter.flatten()).unwrap_or_default();
        self.at(|| field("scatter"), scatter_of(scatter))?;
        let memory = device
            .memory
            .map(|memory| self.at(|| field("memory"), memory_of(&memory)))
            .transpose()?;
        let behaviour = Behaviour {
            scatter,
            memory,
            throttling: self.each(&field("throttling"), device.throttling, throttling)?,
            contention: self.each(&field("contention"), device.contention, contention)?,
            sm_clock_mhz: device.sm_clock_mhz,
            faults: self.at(|| field("faults"), faults(device.faults))?,
        };
        let mut random = Random::named("siblings", seed);
        devices.extend((0..device.count).map(|sibling| SimulatedDevice {
            model: device.model.clone(),
            compute_units: device.compute_units,
            driver: device.driver.clone(),
            laws: Laws {
                usual: usual.clone(),
                by_workload: by_workload.clone(),
                pace: 1.0 + device.spread * random.uniform(-1.0, 1.0),
                device_clock: device.device_clock,
            },
            behaviour: behaviour.clone(),
            seed: seed.wrapping_mul(1 << 16).wrapping_add(u64::from(sibling)),
        }));
        Ok(())
    }

    fn each<F, T>(
        &self,
        list: &str,
        forms: Vec<F>,
        check: impl Fn(F) -> Checked<T>,
    ) -> Result<Vec<T>, FileError> {
        forms
            .into_iter()
            .enumerate()
            .map(|(index, form)| self.at(|| format!("{list}[{index}]"), check(form)))
            .collect()
    }

    fn workload(
        &mut self,
        place: &str,
        workload: form::Workload,
    ) -> Result<(String, Source), FileError> {
        let choice = Choice {
            law: workload.law,
            class: workload.class,
            seed: workload.seed,
            recorded: workload.recorded,
            series: workload.series,
        };
        let name = self.at(|| format!("{place}.name"), workload_name(&workload.name))?;
        match self.source(place, choice)? {
            Some((source, _)) => Ok((name, source)),
            None => self.wrong(
                place,
                "has no times; give it one of `law`, `class` and `recorded`",
            ),
        }
    }

    /// The times that are chosen, and the scatter that comes with a class.
    fn source(
        &mut self,
        place: &str,
        choice: Choice,
    ) -> Result<Option<(Source, Option<Scatter>)>, FileError> {
        let field = |name: &str| format!("{place}.{name}");
        if choice.seed.is_some() && choice.class.is_none() {
            return self.wrong(
                field("seed"),
                "draws the law of a `class`, and there is none",
            );
        }
        if choice.series.is_some() && choice.recorded.is_none() {
            return self.wrong(
                field("series"),
                "chooses among the series that are `recorded`, and nothing is",
            );
        }
        match (choice.law, choice.class, choice.recorded) {
            (None, None, None) => Ok(None),
            (Some(law), None, None) => {
                let checked = law.check(CHECKED_BATCH_SIZES);
                self.at(|| field("law"), checked.map_err(|error| error.to_string()))?;
                Ok(Some((Source::Law(Box::new(law)), None)))
            }
            (None, Some(class), None) => {
                let class: Class = self.at(|| field("class"), class_named(&class))?;
                let draw = class.draw(choice.seed.unwrap_or(0), 0.0);
                Ok(Some((Source::Law(Box::new(draw.law)), Some(draw.scatter))))
            }
            (None, None, Some(path)) => {
                let path = match self.file.parent() {
                    Some(folder) => folder.join(path),
                    None => path,
                };
                let text = (self.read)(&path)
                    .map_err(|error| format!("{} cannot be read: {error}", path.display()));
                let text = self.at(|| field("recorded"), text)?;
                let recording = Recording::read(&text, choice.series.as_deref())
                    .map_err(|error| format!("{} {error}", path.display()));
                let recording = self.at(|| field("recorded"), recording)?;
                let source = Source::Recording(recording, path.display().to_string());
                Ok(Some((source, None)))
            }
            _ => self.wrong(place, "has more than one of `law`, `class` and `recorded`"),
        }
    }
}

fn most_devices() -> u32 {
    u32::try_from(limits::DEVICES_PER_AGENT).unwrap_or(u32::MAX)
}

fn within(value: u32, least: u32, most: u32) -> Checked<u32> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("is {value}; a whole number from {least} to {most}"))
    }
}

fn between(value: f64, least: f64, most: f64) -> Checked<f64> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("is {value}; a number from {least} to {most}"))
    }
}

/// A problem within a table, with the field's name before it.
fn inner<T>(field: &str, checked: Checked<T>) -> Checked<T> {
    checked.map_err(|problem| format!("{field} {problem}"))
}

fn name(text: &str) -> Checked<()> {
    const LONGEST: usize = 256;
    if text.trim().is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
        Err(format!(
            "must not be empty, longer than {LONGEST} bytes, or hold control characters"
        ))
    } else {
        Ok(())
    }
}

fn workload_name(text: &str) -> Checked<String> {
    if CATALOGUE.iter().any(|definition| definition.name == text) {
        return Ok(text.to_owned());
    }
    match text.parse::<WorkloadSpec>() {
        Ok(spec) => Ok(spec.to_string()),
        Err(error) => Err(format!("is no workload: {error}")),
    }
}

fn class_named(text: &str) -> Checked<Class> {
    text.parse().map_err(|_| {
        let known: Vec<&str> = Class::all().map(Class::name).collect();
        format!("is {text:?}; one of: {}", known.join(", "))
    })
}

fn scatter_of(scatter: Scatter) -> Checked<()> {
    scatter.check().map_err(|error| error.to_string())?;
    if scatter.drift > 0.0 && scatter.drift_seconds <= 0.0 {
        return Err("drift needs drift_seconds, the time of one swing, above 0".to_owned());
    }
    Ok(())
}

fn memory_of(memory: &form::Memory) -> Checked<Memory> {
    if memory.total_bytes == 0 || memory.idle_bytes >= memory.total_bytes {
        return Err("total_bytes must be above idle_bytes".to_owned());
    }
    Ok(Memory {
        total_bytes: memory.total_bytes,
        idle_bytes: memory.idle_bytes,
        bytes_per_sample: memory.bytes_per_sample,
    })
}

fn window(from: f64, lasts: Option<f64>, every: Option<f64>) -> Checked<Window> {
    let seconds = |value: f64| Duration::from_secs_f64(value);
    inner("from_seconds", between(from, 0.0, LONGEST_SECONDS))?;
    let positive = |field, value: Option<f64>| {
        value
            .map(|value| inner(field, between(value, 1e-3, LONGEST_SECONDS)))
            .transpose()
    };
    let lasts = positive("lasts_seconds", lasts)?;
    let every = positive("every_seconds", every)?;
    match (lasts, every) {
        (None, Some(_)) => {
            return Err(
                "every_seconds needs lasts_seconds: how long it is so each time".to_owned(),
            );
        }
        (Some(lasts), Some(every)) if lasts > every => {
            return Err(format!(
                "lasts_seconds is {lasts}; at most every_seconds, which is {every}"
            ));
        }
        _ => {}
    }
    Ok(Window {
        from: seconds(from),
        lasts: lasts.map(seconds),
        every: every.map(seconds),
    })
}

fn throttling(form: form::Throttling) -> Checked<Throttling> {
    if let Some(clock) = form.sm_clock_mhz {
        inner("sm_clock_mhz", between(clock, 1.0, FASTEST_CLOCK))?;
    }
    Ok(Throttling {
        window: window(form.from_seconds, form.lasts_seconds, form.every_seconds)?,
        slowdown: inner("slowdown", between(form.slowdown, 1.0, SLOWEST))?,
        reasons: form.reasons,
        sm_clock_mhz: form.sm_clock_mhz,
    })
}

fn contention(form: form::Contention) -> Checked<Contention> {
    Ok(Contention {
        window: window(form.from_seconds, form.lasts_seconds, form.every_seconds)?,
        slowdown: inner("slowdown", between(form.slowdown, 1.0, SLOWEST))?,
        foreign_processes: form.foreign_processes,
        foreign_cores: inner("foreign_cores", between(form.foreign_cores, 0.0, 4096.0))?,
    })
}

fn faults(form: form::Faults) -> Checked<Faults> {
    let size = |field, size| inner(field, within(size, 1, limits::BATCH_SIZE));
    let sizes = |field, sizes: Vec<u32>| -> Checked<BTreeSet<u32>> {
        sizes.into_iter().map(|it| size(field, it)).collect()
    };
    Ok(Faults {
        out_of_memory_at: form
            .out_of_memory_at
            .map(|it| size("out_of_memory_at", it))
            .transpose()?,
        errors_at: sizes("errors_at", form.errors_at)?,
        crashes_at: sizes("crashes_at", form.crashes_at)?,
        hangs_at: sizes("hangs_at", form.hangs_at)?,
        killed_every: form.killed_every,
    })
}
