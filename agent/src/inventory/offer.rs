//! Makes the devices that an agent offers out of its inventory. Pure.

use batchstep_proto::{
    domain::{Device, DeviceKind, Ineligibility},
    inventory::{
        Document, Gpu,
        catalogue::{gpu, host},
    },
};

/// The GPUs and MIG instances of a document as devices, each GPU before its instances.
pub(super) fn devices(document: &Document) -> Vec<Device> {
    let driver = document.host.get(host::DRIVER_VERSION);
    let mut devices = Vec::new();
    for card in &document.gpus {
        devices.push(device(card, None, driver.as_ref()));
        for instance in &card.instances {
            devices.push(device(instance, Some(card), driver.as_ref()));
        }
    }
    devices
}

fn device(card: &Gpu, parent: Option<&Gpu>, driver: Option<&String>) -> Device {
    let facts = &card.facts;
    // An instance is named after its GPU; its profile says what part of it it is.
    let whole = parent.map_or(facts, |parent| &parent.facts);
    let number = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok());
    Device {
        id: card.uuid(),
        kind: DeviceKind::Cuda,
        model: whole
            .get(gpu::NAME)
            .unwrap_or_else(|| "NVIDIA GPU without a name".to_owned()),
        compute_units: number(facts.get(gpu::SM_COUNT)),
        memory_bytes: facts.get(gpu::MEMORY_TOTAL_BYTES),
        mig_profile: facts.get(gpu::MIG_PROFILE),
        compute_capability: facts.get(gpu::COMPUTE_CAPABILITY),
        driver: driver.cloned(),
        pci_device_id: whole
            .get(gpu::PCI_DEVICE_ID)
            .and_then(|text| pci_number(&text)),
        ineligible: card.ineligible.clone(),
    }
}

/// "10de:2335" as NVML's number 0x233510de.
fn pci_number(text: &str) -> Option<u32> {
    let (vendor, device) = text.split_once(':')?;
    let part = |text: &str| u16::from_str_radix(text, 16).ok().map(u32::from);
    Some(part(device)? << 16 | part(vendor)?)
}

/// The same device when it is not in the inventory any more.
pub(super) fn vanished(device: &Device) -> Device {
    Device {
        ineligible: vec![Ineligibility {
            code: "lost".to_owned(),
            message: if device.mig_profile.is_some() {
                "it is not among the instances any more; see `nvidia-smi -L`"
            } else {
                "it is not among the host's GPUs any more; see `dmesg | grep Xid`, or look for it on another host with `batchstep inventory`"
            }
            .to_owned(),
        }],
        ..device.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_ids_are_read_back() {
        assert_eq!(pci_number("10de:2335"), Some(0x2335_10de));
        assert_eq!(pci_number("10de"), None);
        assert_eq!(pci_number("10de:zz"), None);
    }
}
