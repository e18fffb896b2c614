//! What a coordinator is started with. Made by the command line and by tests; decides nothing.

use std::{path::PathBuf, time::Duration};

use batchstep_core::fleet::Config;

use crate::{nightly, retention::KeepBlocks};

/// What a coordinator does, besides where it listens and what it keeps.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Intervals and limits of the fleet.
    pub fleet: Config,
    /// Scheduled sweeps: how they are judged, and who is told.
    pub nightly: nightly::Settings,
    /// How long the blocks of sweeps that are over are kept.
    pub keep_blocks: KeepBlocks,
}

impl Default for Settings {
    /// Whoever does not say so loses no block.
    fn default() -> Self {
        Self {
            fleet: Config::default(),
            nightly: nightly::Settings::default(),
            keep_blocks: KeepBlocks::FOREVER,
        }
    }
}

impl Settings {
    /// Those of a coordinator that lives as long as one command: no night begins because somebody looks at what is stored.
    #[must_use]
    pub fn unattended() -> Self {
        Self {
            nightly: nightly::Settings {
                is_unattended: true,
                ..nightly::Settings::default()
            },
            ..Self::default()
        }
    }
}

impl From<Config> for Settings {
    fn from(fleet: Config) -> Self {
        Self {
            fleet,
            ..Self::default()
        }
    }
}

/// How a coordinator that others can reach makes itself and them known.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Holds the certificate authority, which is made when it is absent. It is locked by the store.
    pub data_dir: PathBuf,
    /// Host names and addresses under which other programs than batchstep's verify it, besides those of this listener.
    pub names: Vec<String>,
    /// How long an agent's certificate is good; it is renewed at half of that.
    pub certificate_lifetime: Duration,
}
