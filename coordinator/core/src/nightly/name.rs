//! Names of schedules: what people type, and what files, metrics and messages show.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A schedule's name: 1 to 64 letters, digits, `-` and `_`, the first one a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ScheduleName(String);

/// A text that cannot name a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a schedule; write 1 to 64 letters, digits, - and _, such as gpus-at-night"
)]
pub struct NameError(pub String);

impl ScheduleName {
    /// Longest name, bytes.
    pub const LONGEST: usize = 64;

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ScheduleName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        // A name that begins with a dash would be read as a flag.
        let begins_well = text
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        if begins_well && text.len() <= Self::LONGEST && text.bytes().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(Self::LONGEST + 1).collect()))
        }
    }
}

impl TryFrom<String> for ScheduleName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ScheduleName> for String {
    fn from(name: ScheduleName) -> Self {
        name.0
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_short() {
        for name in ["nightly", "a", "7", "gpus_at-night", &"n".repeat(64)] {
            assert_eq!(name.parse::<ScheduleName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "-n",
            "_n",
            "two words",
            "a/b",
            "Nächte",
            "a\n",
            &"n".repeat(65),
        ] {
            let error = name.parse::<ScheduleName>().unwrap_err().to_string();
            assert!(error.contains("such as gpus-at-night"), "{error}");
        }
        assert!(serde_json::from_str::<ScheduleName>("\"a b\"").is_err());
    }
}
