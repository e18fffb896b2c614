//! An inventory as text for people at this host: the machine, then one paragraph for each GPU.

use std::fmt;

use batchstep_proto::{
    inventory::{
        Document, Field, Gpu, Key, NvmlState, Record, Typed, Unit, Value,
        catalogue::{gpu, host},
    },
    size::Size,
};

/// Column of the values.
const INDENT: usize = 14;

/// A word before the value, and the field.
type Cell = (&'static str, &'static Field);

/// The lines of a GPU; what its record does not have is left out.
const ROWS: &[(&str, &[Cell])] = &[
    (
        "chip",
        &[
            ("", gpu::ARCHITECTURE.field()),
            ("compute capability", gpu::COMPUTE_CAPABILITY.field()),
            ("SMs", gpu::SM_COUNT.field()),
        ],
    ),
    (
        "board",
        &[
            ("serial", gpu::SERIAL.field()),
            ("part", gpu::BOARD_PART_NUMBER.field()),
            ("VBIOS", gpu::VBIOS_VERSION.field()),
        ],
    ),
    (
        "memory",
        &[
            ("", gpu::MEMORY_TOTAL_BYTES.field()),
            ("used", gpu::MEMORY_USED_BYTES.field()),
            ("free", gpu::MEMORY_FREE_BYTES.field()),
            ("of the host", gpu::MEMORY_UNIFIED.field()),
        ],
    ),
    (
        "PCIe",
        &[
            ("", gpu::PCI_BUS_ID.field()),
            ("lanes", gpu::PCIE_WIDTH.field()),
            ("at most", gpu::PCIE_WIDTH_MAX.field()),
            ("of generation", gpu::PCIE_GENERATION_MAX.field()),
            ("NUMA node", gpu::NUMA_NODE.field()),
        ],
    ),
    (
        "power",
        &[
            ("", gpu::POWER_DRAW_WATTS.field()),
            ("limit", gpu::POWER_LIMIT_WATTS.field()),
            ("enforced", gpu::POWER_LIMIT_ENFORCED_WATTS.field()),
        ],
    ),
    (
        "clocks",
        &[
            ("SM", gpu::SM_CLOCK_MHZ.field()),
            ("at most", gpu::SM_CLOCK_MAX_MHZ.field()),
            ("memory at most", gpu::MEMORY_CLOCK_MAX_MHZ.field()),
        ],
    ),
    (
        "temperature",
        &[
            ("", gpu::TEMPERATURE_CELSIUS.field()),
            ("memory", gpu::MEMORY_TEMPERATURE_CELSIUS.field()),
        ],
    ),
    (
        "ECC",
        &[
            ("on", gpu::ECC_ENABLED.field()),
            ("uncorrected ever", gpu::ECC_UNCORRECTED_LIFETIME.field()),
            ("rows replaced", gpu::REMAPPED_ROWS_UNCORRECTED.field()),
            ("pending", gpu::ROW_REMAP_PENDING.field()),
        ],
    ),
    (
        "modes",
        &[
            ("compute", gpu::COMPUTE_MODE.field()),
            ("persistence", gpu::PERSISTENCE_MODE.field()),
            ("MIG", gpu::MIG_ENABLED.field()),
        ],
    ),
    (
        "NVLink",
        &[
            ("up", gpu::NVLINK_ACTIVE.field()),
            ("of", gpu::NVLINK_COUNT.field()),
        ],
    ),
];

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
    for (name, cells) in ROWS {
        let cells: Vec<String> = cells
            .iter()
            .filter(|(_, field)| facts.reading(field).is_some())
            .map(|(label, field)| {
                let value = reading(facts, field);
                if label.is_empty() {
                    value
                } else {
                    format!("{label} {value}")
                }
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
            .map_or_else(String::new, |used| format!(", {}", Size(used)));
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

fn shown<T: Typed>(record: &Record, key: Key<T>) -> String {
    reading(record, key.field())
}

/// A value with its unit, or why there is none.
fn reading(record: &Record, field: &Field) -> String {
    match record.reading(field) {
        None => "?".to_owned(),
        Some(Err(reason)) => format!("({reason})"),
        Some(Ok(Value::Integer(value))) if field.unit == Unit::Bytes => Size(*value).to_string(),
        Some(Ok(value)) => match field.unit {
            Unit::Watts => format!("{value:.0} W"),
            Unit::Megahertz => format!("{value} MHz"),
            Unit::Celsius => format!("{value} °C"),
            _ => value.to_string(),
        },
    }
}
