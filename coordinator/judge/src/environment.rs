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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub property: Property,
    /// What it was; `None`: not known.
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

    /// What changed from this to `after`, in the order of the properties.
    #[must_use]
    pub fn changes_to(&self, after: &Self) -> Vec<Change> {
        let properties = self.0.keys().chain(after.0.keys());
        let properties: std::collections::BTreeSet<Property> = properties.copied().collect();
        properties
            .into_iter()
            .map(|property| Change {
                property,
                before: self.0.get(&property).cloned(),
                after: after.0.get(&property).cloned(),
            })
            .filter(|change| change.before != change.after)
            .collect()
    }
}
