//! Which of this machine's devices a sweep will measure. A pure function of what is asked and what the agent offers; called by `local`.

use anyhow::{Result, bail};
use batchstep_proto::{
    domain::{DeviceKind, DeviceSelector},
    wire,
};

use batchstep_report::cells;

use super::exit;

/// The devices to measure.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    /// At least one.
    pub devices: Vec<&'a wire::Device>,
    /// Those that were meant and cannot be used now, with their reasons, a line each.
    pub left_out: Vec<String>,
    /// True where the CPU takes the place of GPUs of which none can be used.
    pub cpu_instead: bool,
}

/// What a selector means among `devices`. `all` means the GPUs, or the CPU where none of them can be used; simulated devices
/// where there is nothing else.
///
/// # Errors
/// When it means none, names one that does not exist, or none of them can be used.
pub(super) fn choose<'a>(
    devices: &'a [wire::Device],
    selector: &DeviceSelector,
) -> Result<Choice<'a>> {
    let of_kind = |kind: wire::DeviceKind| -> Vec<&wire::Device> {
        devices
            .iter()
            .filter(|device| device.kind() == kind)
            .collect()
    };
    let (gpus, cpus, simulated) = (
        of_kind(wire::DeviceKind::Cuda),
        of_kind(wire::DeviceKind::Cpu),
        of_kind(wire::DeviceKind::Simulated),
    );
    let (meant, instead) = match selector {
        DeviceSelector::Cpu => (cpus, None),
        DeviceSelector::Gpu => (gpus, None),
        DeviceSelector::All if gpus.is_empty() && cpus.is_empty() => (simulated, None),
        DeviceSelector::All if gpus.is_empty() => (cpus, None),
        DeviceSelector::All => (gpus, Some(cpus)),
        DeviceSelector::Listed(ids) => (listed(devices, ids)?, None),
    };
    let way_out = if *selector == DeviceSelector::Gpu {
        "\n--devices cpu measures the CPU instead"
    } else {
        ""
    };
    if meant.is_empty() {
        return Err(exit::usage(format!(
            "--devices: this machine has no device of that kind; it has:\n{}{way_out}",
            listing(devices)
        )));
    }
    let (mut usable, mut left_out) = by_use(meant);
    let cpu_instead = usable.is_empty() && instead.is_some();
    if let (true, Some(cpus)) = (cpu_instead, instead) {
        let (usable_cpus, unusable) = by_use(cpus);
        usable = usable_cpus;
        left_out.extend(unusable);
    }
    if usable.is_empty() {
        bail!(
            "no device can be measured now:\n{}{way_out}",
            left_out.join("\n")
        );
    }
    Ok(Choice {
        devices: usable,
        left_out,
        cpu_instead,
    })
}

fn listed<'a>(devices: &'a [wire::Device], ids: &[String]) -> Result<Vec<&'a wire::Device>> {
    ids.iter()
        .map(|id| {
            devices
                .iter()
                .find(|device| device.id == *id)
                .ok_or_else(|| {
                    exit::usage(format!(
                        "--devices: no device {id:?} on this machine; it has:\n{}",
                        listing(devices)
                    ))
                })
        })
        .collect()
}

/// Those that can be measured now, and why the others cannot.
fn by_use(devices: Vec<&wire::Device>) -> (Vec<&wire::Device>, Vec<String>) {
    let (usable, unusable): (Vec<_>, Vec<_>) = devices
        .into_iter()
        .partition(|device| device.ineligible.is_empty());
    (usable, unusable.into_iter().map(why_not).collect())
}

fn why_not(device: &wire::Device) -> String {
    let reasons: Vec<&str> = device
        .ineligible
        .iter()
        .map(|reason| reason.message.as_str())
        .collect();
    format!("  {} ({}): {}", device.model, device.id, reasons.join("; "))
}

/// A device as people know it, with a mark on what is no real device.
pub(super) fn name(device: &wire::Device) -> String {
    DeviceKind::from_wire("kind", device.kind).map_or_else(
        |_| device.model.clone(),
        |kind| cells::device_name(&device.model, kind),
    )
}

fn listing(devices: &[wire::Device]) -> String {
    devices
        .iter()
        .map(|device| {
            let kind = DeviceKind::from_wire("kind", device.kind).map_or("?", DeviceKind::word);
            format!("  {}  {} ({kind})", device.id, device.model)
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, kind: wire::DeviceKind, problem: Option<&str>) -> wire::Device {
        wire::Device {
            id: id.to_owned(),
            kind: kind.into(),
            model: format!("Model {id}"),
            ineligible: problem
                .map(|message| wire::Ineligibility {
                    code: "driver_too_old".to_owned(),
                    message: message.to_owned(),
                })
                .into_iter()
                .collect(),
            ..Default::default()
        }
    }

    fn host(gpu_problems: &[Option<&str>], cpu_problem: Option<&str>) -> Vec<wire::Device> {
        let mut devices: Vec<wire::Device> = (0..)
            .zip(gpu_problems)
            .map(|(index, problem)| {
                device(&format!("GPU-{index}"), wire::DeviceKind::Cuda, *problem)
            })
            .collect();
        devices.push(device("CPU-1", wire::DeviceKind::Cpu, cpu_problem));
        devices
    }

    fn ids(choice: &Choice<'_>) -> Vec<String> {
        choice
            .devices
            .iter()
            .map(|device| device.id.clone())
            .collect()
    }

    #[test]
    fn all_means_the_gpus_that_can_be_used_and_names_the_others() {
        let devices = host(&[None, Some("too hot")], None);
        let choice = choose(&devices, &DeviceSelector::All).unwrap();
        assert_eq!(
            (ids(&choice), choice.cpu_instead),
            (vec!["GPU-0".into()], false)
        );
        assert!(choice.left_out[0].contains("GPU-1") && choice.left_out[0].contains("too hot"));
    }

    #[test]
    fn all_means_the_cpu_where_no_gpu_can_be_used() {
        let devices = host(&[Some("driver too old"), Some("too hot")], None);
        let choice = choose(&devices, &DeviceSelector::All).unwrap();
        assert_eq!(
            (ids(&choice), choice.cpu_instead),
            (vec!["CPU-1".into()], true)
        );
        assert_eq!(choice.left_out.len(), 2);
        assert!(choice.left_out[0].contains("driver too old"));

        let plain = host(&[], None);
        let choice = choose(&plain, &DeviceSelector::All).unwrap();
        assert_eq!(
            (ids(&choice), choice.cpu_instead),
            (vec!["CPU-1".into()], false)
        );
        let broken = host(&[Some("too hot")], Some("no worker"));
        let error = choose(&broken, &DeviceSelector::All).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("too hot") && error.contains("no worker"),
            "{error}"
        );
    }

    #[test]
    fn all_means_simulated_devices_where_there_is_nothing_else() {
        let simulated = device("SIM-1", wire::DeviceKind::Simulated, None);
        let both = [
            simulated.clone(),
            device("CPU-1", wire::DeviceKind::Cpu, None),
        ];
        assert_eq!(
            ids(&choose(&both, &DeviceSelector::All).unwrap()),
            ["CPU-1"]
        );
        let alone = [simulated];
        assert_eq!(
            ids(&choose(&alone, &DeviceSelector::All).unwrap()),
            ["SIM-1"]
        );
        assert_eq!(name(&alone[0]), "Model SIM-1 (simulated)");
        assert!(choose(&alone, &DeviceSelector::Cpu).is_err());
    }

    #[test]
    fn gpus_that_are_asked_for_are_not_replaced_but_the_way_out_is_named() {
        for devices in [host(&[Some("too hot")], None), host(&[], None)] {
            let error = choose(&devices, &DeviceSelector::Gpu).unwrap_err();
            assert!(error.to_string().contains("--devices cpu"), "{error}");
        }
    }
}
