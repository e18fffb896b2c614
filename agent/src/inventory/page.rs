//! An inventory as text for people at this host: the machine, then one paragraph for each GPU.

use std::fmt;

use batchstep_proto::inventory::{
    Document, Field, Gpu, Key, NvmlState, Record, Typed, Unit, Value,
    catalogue::{gpu, host},
};

/// Column of the values.
const INDENT: usize = 14;

/// Prints a document.
#[derive(Debug)]
pub struct Page<'a>(pub &'a Document);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Document {
            host: machine,
            nvml,
            gpus,
            problems,
        } = self.0;
        let word = |key: Key<String>| machine.get(key).unwrap_or_else(|| "?".to_owned());
        writeln!(f, "{}  {}", word(host::HOSTNAME), word(host::OS))?;
        line(f, "kernel", &shown(machine, host::KERNEL))?;
        line(
            f,
            "processors",
            &format!(
                "{}, {} cores, {} threads",
                shown(machine, host::CPU_MODEL),
                shown(machine, host::PHYSICAL_CORES),
                shown(machine, host::LOGICAL_CORES)
            ),
        )?;
        line(f, "memory", &shown(machine, host::MEMORY_BYTES))?;
        line(
            f,
            "libtorch",
            &format!(
                "{}, CUDA {}, compute capabilities {}",
                shown(machine, host::LIBTORCH_VERSION),
                shown(machine, host::LIBTORCH_CUDA_VERSION),
                shown(machine, host::LIBTORCH_ARCHITECTURES)
            ),
        )?;
        match nvml.state {
            NvmlState::NoDriver => line(f, "driver", "no NVIDIA driver")?,
            NvmlState::Running => line(
                f,
                "driver",
                &format!(
                    "{}, NVML {}, CUDA up to {}",
                    shown(machine, host::DRIVER_VERSION),
                    shown(machine, host::NVML_VERSION),
                    shown(machine, host::CUDA_DRIVER_VERSION)
                ),
            )?,
            NvmlState::Failed | NvmlState::Hung => line(
                f,
                "driver",
                &format!(
                    "{}; {}",
                    shown(machine, host::DRIVER_VERSION),
                    nvml.message.as_deref().unwrap_or("NVML cannot be asked")
                ),
            )?,
        }
        for problem in problems {
            line(f, "problem", problem)?;
        }
        for card in gpus {
            writeln!(f)?;
            self::card(f, card)?;
        }
        if gpus.is_empty() && nvml.state == NvmlState::Running {
            writeln!(f, "\nThe driver knows no GPU.")?;
        }
        Ok(())
    }
}

fn card(f: &mut fmt::Formatter<'_>, card: &Gpu) -> fmt::Result {
    let facts = &card.facts;
    writeln!(
        f,
        "GPU {}  {}  {}",
        shown(facts, gpu::INDEX),
        shown(facts, gpu::NAME),
        card.uuid()
    )?;
    let rows: [(&str, &[&Field]); 10] = [
        (
            "chip",
            &[
                gpu::ARCHITECTURE.field(),
                gpu::COMPUTE_CAPABILITY.field(),
                gpu::SM_COUNT.field(),
            ],
        ),
        (
            "board",
            &[
                gpu::SERIAL.field(),
                gpu::BOARD_PART_NUMBER.field(),
                gpu::VBIOS_VERSION.field(),
            ],
        ),
        (
            "memory",
            &[
                gpu::MEMORY_TOTAL_BYTES.field(),
                gpu::MEMORY_USED_BYTES.field(),
                gpu::MEMORY_FREE_BYTES.field(),
            ],
        ),
        (
            "PCIe",
            &[
                gpu::PCI_BUS_ID.field(),
                gpu::PCIE_GENERATION_MAX.field(),
                gpu::PCIE_WIDTH.field(),
                gpu::PCIE_WIDTH_MAX.field(),
                gpu::NUMA_NODE.field(),
            ],
        ),
        (
            "power",
            &[
                gpu::POWER_DRAW_WATTS.field(),
                gpu::POWER_LIMIT_WATTS.field(),
                gpu::POWER_LIMIT_ENFORCED_WATTS.field(),
            ],
        ),
        (
            "clocks",
            &[
                gpu::SM_CLOCK_MHZ.field(),
                gpu::SM_CLOCK_MAX_MHZ.field(),
                gpu::MEMORY_CLOCK_MAX_MHZ.field(),
            ],
        ),
        (
            "temperature",
            &[
                gpu::TEMPERATURE_CELSIUS.field(),
                gpu::MEMORY_TEMPERATURE_CELSIUS.field(),
            ],
        ),
        (
            "ECC",
            &[
                gpu::ECC_ENABLED.field(),
                gpu::ECC_UNCORRECTED_LIFETIME.field(),
                gpu::REMAPPED_ROWS_UNCORRECTED.field(),
                gpu::ROW_REMAP_PENDING.field(),
            ],
        ),
        (
            "modes",
            &[
                gpu::COMPUTE_MODE.field(),
                gpu::PERSISTENCE_MODE.field(),
                gpu::MIG_ENABLED.field(),
            ],
        ),
        (
            "NVLink",
            &[gpu::NVLINK_ACTIVE.field(), gpu::NVLINK_COUNT.field()],
        ),
    ];
    for (name, fields) in rows {
        let cells: Vec<String> = fields
            .iter()
            .filter_map(|field| {
                facts.reading(field)?;
                Some(format!("{} {}", label(field), reading(facts, field)))
            })
            .collect();
        if !cells.is_empty() {
            line(f, name, &cells.join(", "))?;
        }
    }
    for process in &card.processes {
        let name = process.name.as_deref().unwrap_or("?");
        let memory = process
            .used_memory_bytes
            .map_or_else(String::new, |used| format!(", {}", bytes(used)));
        let text = format!("{name} ({}), {}{memory}", process.pid, process.kind);
        line(f, "process", &text)?;
    }
    for instance in &card.instances {
        let text = format!(
            "{}  {}  {} SMs, {}",
            shown(&instance.facts, gpu::MIG_PROFILE),
            instance.uuid(),
            shown(&instance.facts, gpu::SM_COUNT),
            shown(&instance.facts, gpu::MEMORY_TOTAL_BYTES)
        );
        line(f, "MIG", &text)?;
        for reason in &instance.ineligible {
            line(f, "  no trials", &reason.message)?;
        }
    }
    for problem in &card.problems {
        line(f, "problem", problem)?;
    }
    if card.ineligible.is_empty() {
        line(f, "trials", "may start")?;
    }
    for reason in &card.ineligible {
        line(
            f,
            "no trials",
            &format!("{} ({})", reason.message, reason.code),
        )?;
    }
    Ok(())
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {name:INDENT$}{text}")
}

/// A field's name without its unit.
fn label(field: &Field) -> String {
    let name = match field.unit {
        Unit::Bytes => field.name.strip_suffix("_bytes"),
        Unit::Watts => field.name.strip_suffix("_watts"),
        Unit::Megahertz => field.name.strip_suffix("_mhz"),
        Unit::Celsius => field.name.strip_suffix("_celsius"),
        _ => None,
    };
    name.unwrap_or(field.name).replace('_', " ")
}

fn shown<T: Typed>(record: &Record, key: Key<T>) -> String {
    reading(record, key.field())
}

/// A value with its unit, or why there is none.
fn reading(record: &Record, field: &Field) -> String {
    match record.reading(field) {
        None => "?".to_owned(),
        Some(Err(reason)) => format!("({reason})"),
        Some(Ok(Value::Integer(value))) if field.unit == Unit::Bytes => bytes(*value),
        Some(Ok(value)) => match field.unit {
            Unit::Watts => format!("{value:.0} W"),
            Unit::Megahertz => format!("{value} MHz"),
            Unit::Celsius => format!("{value} °C"),
            _ => value.to_string(),
        },
    }
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}
