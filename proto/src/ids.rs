//! Typed identifiers: one type per noun, so that a round's id cannot be passed for an attempt's.
//!
//! Ids that a person's action creates are random (UUID version 7, made where there is a clock). Ids of rounds and attempts are derived from
//! what they count, so that the pure core needs no randomness and makes the same ids again after a restart.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// An identifier that is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{noun} id {text:?} is not a UUID")]
pub struct IdError {
    noun: &'static str,
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $noun:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }

            /// A new id from the clock and the system's randomness.
            #[must_use]
            #[expect(clippy::disallowed_methods, reason = "the one place where ids are made")]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| IdError { noun: $noun, text: text.chars().take(64).collect() })
            }
        }
    };
}

id!(
    /// One submission of a sweep.
    SweepId,
    "sweep"
);
id!(
    /// One device measuring one workload of a sweep.
    SeriesId,
    "series"
);
id!(
    /// One round of a series.
    RoundId,
    "round"
);
id!(
    /// One try at a round.
    AttemptId,
    "attempt"
);
id!(
    /// An agent's identity, kept in its state directory.
    AgentId,
    "agent"
);
id!(
    /// One process of an agent.
    BootId,
    "boot"
);
id!(
    /// Makes a submission idempotent.
    RequestId,
    "request"
);

fn derive(parts: &[&[u8]]) -> Uuid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl SeriesId {
    /// The series of a device and a canonical workload spec in a sweep.
    #[must_use]
    pub fn of(sweep: SweepId, device_id: &str, workload: &str) -> Self {
        Self(derive(&[
            b"series",
            sweep.0.as_bytes(),
            device_id.as_bytes(),
            workload.as_bytes(),
        ]))
    }
}

impl RoundId {
    /// The `index`-th round of a series.
    #[must_use]
    pub fn of(series: SeriesId, index: u32) -> Self {
        Self(derive(&[
            b"round",
            series.0.as_bytes(),
            &index.to_be_bytes(),
        ]))
    }
}

impl AttemptId {
    /// The `number`-th try at a round.
    #[must_use]
    pub fn of(round: RoundId, number: u32) -> Self {
        Self(derive(&[
            b"attempt",
            round.0.as_bytes(),
            &number.to_be_bytes(),
        ]))
    }
}

impl RequestId {
    /// What submits the `part`-th sweep of a schedule's night; `planned` is the night's run, nanoseconds since 1970, which tells the nights of a schedule from those
    /// of another one that had its name before.
    #[must_use]
    pub fn of_night(schedule: &str, night: u64, planned: i128, part: u32) -> Self {
        Self(derive(&[
            b"night",
            schedule.as_bytes(),
            &night.to_be_bytes(),
            &planned.to_be_bytes(),
            &part.to_be_bytes(),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_stable_and_distinct() {
        let sweep: SweepId = "0190d3a0-0000-7000-8000-000000000001".parse().unwrap();
        let series = SeriesId::of(sweep, "CPU-1", "linear");
        assert_eq!(series, SeriesId::of(sweep, "CPU-1", "linear"));
        assert_ne!(series, SeriesId::of(sweep, "CPU-1l", "inear"));
        assert_ne!(RoundId::of(series, 0), RoundId::of(series, 1));
        let round = RoundId::of(series, 0);
        assert_ne!(AttemptId::of(round, 0), AttemptId::of(round, 1));
        assert_eq!(round.to_string().parse::<RoundId>().unwrap(), round);
        let request = RequestId::of_night("gpus", 1, 7, 0);
        assert_eq!(request, RequestId::of_night("gpus", 1, 7, 0));
        for other in [
            RequestId::of_night("gpu", 1, 7, 0),
            RequestId::of_night("gpus", 2, 7, 0),
            RequestId::of_night("gpus", 1, 8, 0),
            RequestId::of_night("gpus", 1, 7, 1),
        ] {
            assert_ne!(request, other);
        }
    }

    #[test]
    fn an_id_that_is_no_uuid_is_named() {
        let error = "seven".parse::<SweepId>().unwrap_err();
        assert_eq!(error.to_string(), "sweep id \"seven\" is not a UUID");
    }
}
