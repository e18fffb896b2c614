//! From what people write to a field of the catalogue: full names, a few words everybody uses, names without their unit, and unambiguous beginnings. Devices'
//! fields come before hosts'.

use batchstep_proto::inventory::{Field, Scope, Unit, catalogue};

use super::error::Problem;

/// Words for fields whose names begin with more than one thing.
const USUAL: [(&str, Scope, &str); 10] = [
    ("memory", Scope::Gpu, "memory_total_bytes"),
    ("model", Scope::Gpu, "name"),
    ("gpu", Scope::Gpu, "name"),
    ("ecc", Scope::Gpu, "ecc_enabled"),
    ("mig", Scope::Gpu, "mig_enabled"),
    ("power_limit", Scope::Gpu, "power_limit_watts"),
    ("power", Scope::Gpu, "power_draw_watts"),
    ("slot", Scope::Gpu, "pci_bus_id"),
    ("driver", Scope::Host, "driver_version"),
    ("host", Scope::Host, "hostname"),
];
/// Names that are proposed for one that does not exist.
const PROPOSED: usize = 3;

/// The field that a name means.
pub(super) fn resolve(name: &str) -> Result<&'static Field, Problem> {
    let lower = name.to_ascii_lowercase();
    let exact = [Scope::Gpu, Scope::Host]
        .into_iter()
        .find_map(|scope| catalogue::find(scope, &lower));
    let usual = || {
        let (_, scope, full) = USUAL.iter().find(|(word, _, _)| *word == lower)?;
        catalogue::find(*scope, full)
    };
    if let Some(field) = exact.or_else(usual) {
        return Ok(field);
    }
    for scope in [Scope::Gpu, Scope::Host] {
        let fields = || catalogue::fields(scope).iter().copied();
        if let Some(field) = fields().find(|field| without_unit(field) == lower) {
            return Ok(field);
        }
        let beginning = format!("{lower}_");
        let longer: Vec<&'static Field> = fields()
            .filter(|field| field.name.starts_with(&beginning))
            .collect();
        match longer.as_slice() {
            [] => {}
            [field] => return Ok(field),
            several => {
                return Err(Problem::AmbiguousField {
                    name: name.to_owned(),
                    candidates: listed(several.iter().map(|field| field.name)),
                });
            }
        }
    }
    Err(Problem::UnknownField {
        name: name.chars().take(64).collect(),
        nearest: listed(nearest(&lower).into_iter()),
    })
}

/// `power_draw` of `power_draw_watts`.
fn without_unit(field: &Field) -> &'static str {
    let suffix = match field.unit {
        Unit::Bytes => "_bytes",
        Unit::Watts => "_watts",
        Unit::Joules => "_joules",
        Unit::Megahertz => "_mhz",
        Unit::Celsius => "_celsius",
        Unit::Percent => "_percent",
        Unit::None | Unit::Count | Unit::Bits | Unit::Version => "",
    };
    field.name.strip_suffix(suffix).unwrap_or(field.name)
}

fn nearest(name: &str) -> Vec<&'static str> {
    let mut names: Vec<(usize, &'static str)> = [Scope::Gpu, Scope::Host]
        .into_iter()
        .flat_map(catalogue::fields)
        .map(|field| {
            // A short name may be near the beginning of a long one.
            let beginning = field.name.get(..name.len()).unwrap_or(field.name);
            (
                edits(name, field.name).min(1 + edits(name, beginning)),
                field.name,
            )
        })
        .collect();
    names.sort_unstable();
    names.dedup_by_key(|(_, name)| *name);
    names.truncate(PROPOSED);
    names.into_iter().map(|(_, name)| name).collect()
}

/// Characters to be inserted, removed or replaced.
fn edits(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().take(64).collect();
    let to: Vec<char> = to.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
