//! S0: what a series' night depends on beside the device. When one of these changes, times before and after are of two different things.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// By property, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment(pub BTreeMap<Property, String>);

/// What must be equal for two nights to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    /// Version of the NVIDIA driver.
    Driver,
    /// Version of CUDA.
    Cuda,
    /// Version of libtorch.
    Libtorch,
    /// Version of cuDNN.
    Cudnn,
    /// Digest of what is run, its batch sizes included.
    Workload,
    /// Watts.
    PowerLimit,
    /// Locked and application clocks.
    Clocks,
    /// On or off.
    Ecc,
    /// Instance profile, or off.
    Mig,
    /// Version of how a block is timed.
    Timing,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "driver",
            Self::Cuda => "CUDA",
            Self::Libtorch => "libtorch",
            Self::Cudnn => "cuDNN",
            Self::Workload => "workload",
            Self::PowerLimit => "power limit",
            Self::Clocks => "clocks",
            Self::Ecc => "ECC",
            Self::Mig => "MIG",
            Self::Timing => "timing protocol",
        })
    }
}

/// One property that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub property: Property,
    /// What it was; `None`: not known, which happens only between siblings.
    pub before: Option<String>,
    /// What it is.
    pub after: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "unknown".to_owned());
        write!(
            f,
            "{} {} -> {}",
            self.property,
            word(&self.before),
            word(&self.after)
        )
    }
}

impl Environment {
    /// Version of the driver, where it is known.
    #[must_use]
    pub fn driver(&self) -> Option<&str> {
        self.0.get(&Property::Driver).map(String::as_str)
    }

    /// What changed from this to `after`, in the order of the properties. What is not known on one side tells of no change: a reading that failed one
    /// night must not begin a new past.
    #[must_use]
    pub fn changes_to(&self, after: &Self) -> Vec<Change> {
        let changed = self.0.iter().filter_map(|(property, before)| {
            let after = after.0.get(property).filter(|after| *after != before)?;
            Some(Change {
                property: *property,
                before: Some(before.clone()),
                after: Some(after.clone()),
            })
        });
        changed.collect()
    }

    /// Takes over what `newer` knows.
    pub(crate) fn absorb(&mut self, newer: &Self) {
        let known = newer.0.iter();
        self.0
            .extend(known.map(|(property, value)| (*property, value.clone())));
    }
}

impl Change {
    /// True for a change of what is run or how it is timed: times on both sides are of two different things.
    pub(crate) const fn is_of_the_definition(&self) -> bool {
        matches!(self.property, Property::Workload | Property::Timing)
    }
}

/// Two changes one after the other as one; a property that is again what it was is left out.
pub(crate) fn one_after_the_other(first: &[Change], second: &[Change]) -> Vec<Change> {
    let mut all: BTreeMap<Property, Change> = first
        .iter()
        .map(|change| (change.property, change.clone()))
        .collect();
    for change in second {
        let merged = all.entry(change.property).or_insert_with(|| change.clone());
        merged.after.clone_from(&change.after);
    }
    all.into_values()
        .filter(|change| change.before != change.after)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(known: &[(Property, &str)]) -> Environment {
        let known = known
            .iter()
            .map(|(property, value)| (*property, (*value).to_owned()));
        Environment(known.collect())
    }

    #[test]
    fn what_is_not_known_has_not_changed() {
        let mut last = environment(&[(Property::Driver, "580.1"), (Property::Ecc, "on")]);
        let tonight = environment(&[(Property::Driver, "580.2"), (Property::Cudnn, "9.1")]);
        let changes = last.changes_to(&tonight);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].to_string(), "driver 580.1 -> 580.2");
        last.absorb(&tonight);
        assert_eq!(last.0.len(), 3);
        assert_eq!(
            last.changes_to(&environment(&[(Property::Ecc, "off")]))
                .len(),
            1
        );
    }

    #[test]
    fn there_and_back_is_no_change() {
        let driver = |version| environment(&[(Property::Driver, version)]);
        let there = driver("1").changes_to(&driver("2"));
        let back = driver("2").changes_to(&driver("1"));
        let on = driver("2").changes_to(&driver("3"));
        assert_eq!(one_after_the_other(&there, &back), []);
        let merged = one_after_the_other(&there, &on);
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].to_string(), "driver 1 -> 3");
    }
}
