//! In what the devices of one model differ although they should not: the value that most have, and who has another one.

use std::cmp::Reverse;

use batchstep_proto::inventory::{
    Class, Field,
    catalogue::{gpu, host},
};

use super::{
    model::{Member, Model},
    severity::Severity,
    version,
};

/// Settings that differ between devices of a model without a reason to look at them.
const EXPECTED: [&Field; 4] = [
    gpu::PCI_BUS_ID.field(),
    gpu::MIG_INSTANCE_COUNT.field(),
    gpu::MIG_PENDING.field(),
    gpu::ECC_PENDING.field(),
];
/// Settings that make one device slower than, or unlike, its siblings.
const SERIOUS: [&Field; 6] = [
    gpu::PCIE_WIDTH.field(),
    gpu::PCIE_WIDTH_MAX.field(),
    gpu::PCIE_GENERATION_MAX.field(),
    gpu::POWER_LIMIT_WATTS.field(),
    gpu::ECC_ENABLED.field(),
    gpu::NVLINK_ACTIVE.field(),
];
/// Devices that are named in a sentence.
const NAMED: usize = 8;

/// A field in which devices of a model differ.
#[derive(Debug, Clone)]
pub struct Skew {
    /// The field.
    pub field: &'static Field,
    /// How bad that is.
    pub severity: Severity,
    /// The values, that of most devices first, each with those that have it.
    pub values: Vec<(String, Vec<Odd>)>,
    /// Devices of which the value is known.
    pub known: usize,
}

/// A device, named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Odd {
    /// Its UUID.
    pub uuid: String,
    /// Its host.
    pub machine_id: String,
    /// That host's name.
    pub hostname: String,
}

impl From<&Member> for Odd {
    fn from(member: &Member) -> Self {
        Self {
            uuid: member.uuid.clone(),
            machine_id: member.machine_id.clone(),
            hostname: member.hostname.clone(),
        }
    }
}

/// The fields in which the devices of a model differ.
#[must_use]
pub fn of(model: &Model) -> Vec<Skew> {
    let settings = gpu::FIELDS
        .iter()
        .copied()
        .filter(|field| field.class == Class::Setting && !EXPECTED.contains(field));
    // The driver of a host is like a property of its devices.
    std::iter::once(host::DRIVER_VERSION.field())
        .chain(settings)
        .filter_map(|field| among(model, field))
        .collect()
}

fn among(model: &Model, field: &'static Field) -> Option<Skew> {
    let mut values: Vec<(String, Vec<Odd>)> = Vec::new();
    for member in &model.members {
        let Some(value) = member.value(field) else {
            continue;
        };
        let value = value.to_string();
        match values.iter_mut().find(|(known, _)| *known == value) {
            Some((_, members)) => members.push(member.into()),
            None => values.push((value, vec![member.into()])),
        }
    }
    if values.len() < 2 {
        return None;
    }
    values.sort_by(|(a, left), (b, right)| {
        let newest_first = || version::compare(b, a);
        Reverse(left.len())
            .cmp(&Reverse(right.len()))
            .then_with(newest_first)
    });
    Some(Skew {
        field,
        severity: if SERIOUS.contains(&field) {
            Severity::Warning
        } else {
            Severity::Notice
        },
        known: values.iter().map(|(_, members)| members.len()).sum(),
        values,
    })
}

impl Skew {
    /// One sentence: "5 of 8 NVIDIA H200 have driver_version 580.95, 3 have 570.86: GPU-1 on node1, ..".
    #[must_use]
    pub fn sentence(&self, model: &str) -> String {
        let mut sentence = String::new();
        for (position, (value, members)) in self.values.iter().enumerate() {
            let count = members.len();
            if position == 0 {
                let have = if count == 1 { "has" } else { "have" };
                sentence = format!(
                    "{count} of {} {model} {have} {} {value}",
                    self.known, self.field.name
                );
                continue;
            }
            let have = if count == 1 { "has" } else { "have" };
            let mut names: Vec<String> = members
                .iter()
                .take(NAMED)
                .map(|odd| format!("{} on {}", odd.uuid, odd.hostname))
                .collect();
            if count > NAMED {
                names.push(format!("and {} more", count - NAMED));
            }
            let separator = if position == 1 { "," } else { ";" };
            sentence.push_str(&format!(
                "{separator} {count} {have} {value}: {}",
                names.join(", ")
            ));
        }
        sentence
    }
}
