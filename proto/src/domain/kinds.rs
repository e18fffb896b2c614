//! The closed vocabularies: words that people type, JSON prints and the wire numbers.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::InvalidField;
use crate::wire;

/// A word that is not in its vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {word:?}; known: {known}")]
pub struct UnknownWord {
    /// The vocabulary: "mode", "dtype", ..
    pub what: &'static str,
    /// What was given.
    pub word: String,
    /// The words it could have been.
    pub known: String,
}

/// A vocabulary: the enum, its words, and its numbers on the wire.
macro_rules! vocabulary {
    (
        $(#[$doc:meta])* $name:ident, $what:literal {
            $( $(#[$variant_doc:meta])* $variant:ident = $word:literal ),+ $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $( $(#[$variant_doc])* $variant ),+ }

        impl $name {
            /// Every value, in the order of the wire's numbers.
            pub const ALL: &'static [Self] = &[ $( Self::$variant ),+ ];

            /// The word for it, as typed and printed.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word ),+ }
            }

            /// Its number on the wire.
            #[must_use]
            pub const fn to_wire(self) -> i32 {
                match self { $( Self::$variant => wire::$name::$variant as i32 ),+ }
            }

            /// Reads its number from the wire.
            ///
            /// # Errors
            /// When the number is unspecified or unknown; `field` is named.
            pub fn from_wire(field: &'static str, number: i32) -> Result<Self, InvalidField> {
                match wire::$name::try_from(number) {
                    $( Ok(wire::$name::$variant) => Ok(Self::$variant), )+
                    _ => Err(InvalidField::new(field, format!("{number} is not a {}", $what))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|value| value.word() == word).ok_or_else(|| UnknownWord {
                    what: $what,
                    word: word.chars().take(64).collect(),
                    known: Self::ALL.iter().map(|value| value.word()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

vocabulary!(
    /// What executes a round.
    DeviceKind, "device kind" {
        /// An NVIDIA GPU or MIG instance.
        Cuda = "cuda",
        /// The processors of a host.
        Cpu = "cpu",
        /// A timing law in place of a device.
        Simulated = "simulated",
    }
);
vocabulary!(
    /// What one iteration does.
    Mode, "mode" {
        /// Forward, backward and optimizer step.
        Train = "train",
        /// Forward only.
        Infer = "infer",
    }
);
vocabulary!(
    /// Arithmetic of weights and activations.
    Dtype, "dtype" {
        /// IEEE single precision; TF32 off.
        F32 = "f32",
        /// f32 storage with TF32 tensor-core products; CUDA only.
        Tf32 = "tf32",
        /// bfloat16 weights and activations.
        Bf16 = "bf16",
        /// IEEE half precision weights and activations.
        F16 = "f16",
    }
);
vocabulary!(
    /// What a round is for.
    RoundKind, "round kind" {
        /// Ascending visits that find the range.
        Probe = "probe",
        /// One visit to every batch size of a list.
        Measure = "measure",
    }
);
vocabulary!(
    /// Why a visit is in its round.
    VisitRole, "visit role" {
        /// Measures its batch size.
        Measure = "measure",
        /// Times the reference batch.
        Reference = "reference",
        /// Finds the range.
        Probe = "probe",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_come_back() {
        for kind in DeviceKind::ALL {
            assert_eq!(kind.word().parse::<DeviceKind>().unwrap(), *kind);
            assert_eq!(
                DeviceKind::from_wire("kind", kind.to_wire()).unwrap(),
                *kind
            );
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
        for dtype in Dtype::ALL {
            assert_eq!(dtype.word().parse::<Dtype>().unwrap(), *dtype);
            assert_eq!(serde_json::to_value(dtype).unwrap(), dtype.word());
        }
    }

    #[test]
    fn unknown_words_and_numbers_are_named() {
        assert_eq!(
            "f64".parse::<Dtype>().unwrap_err().to_string(),
            "unknown dtype \"f64\"; known: f32, tf32, bf16, f16"
        );
        let error = Mode::from_wire("spec.mode", 0).unwrap_err();
        assert_eq!(error.to_string(), "field `spec.mode`: 0 is not a mode");
        assert!(Mode::from_wire("spec.mode", 99).is_err());
    }
}
