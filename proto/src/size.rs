//! Amounts of memory and disk as people write them: `2GiB`, `1.5 GiB`, `24GB`, `1048576`. Read and printed by the command lines of coordinator and agent.

use std::{fmt, str::FromStr};

/// Binary units, largest first: 2^30 bytes are one GiB.
const BINARY: [(&str, u64); 4] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
];
/// Decimal units, which the makers of GPUs print.
const DECIMAL: [(&str, u64); 4] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
];

/// Bytes, at least one when read from text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotASize {
    /// "16G".
    #[error("{0:?} may mean units of 1000 or of 1024 bytes: write GiB or GB, MiB or MB")]
    Ambiguous(String),
    /// Anything else.
    #[error("{0:?} is no size: write a number of bytes, or an amount such as 2GiB, 512MiB, 24GB")]
    Other(String),
}

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let shown = || text.chars().take(64).collect();
        let digits = text
            .find(|c: char| !(c.is_ascii_digit() || c == '.' || c.is_whitespace()))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim();
        let known = BINARY.iter().chain(&DECIMAL);
        let factor = match known
            .clone()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        {
            Some((_, factor)) => *factor,
            None if unit.is_empty() || unit.eq_ignore_ascii_case("B") => 1,
            None if ["K", "M", "G", "T"]
                .iter()
                .any(|prefix| prefix.eq_ignore_ascii_case(unit)) =>
            {
                return Err(NotASize::Ambiguous(shown()));
            }
            None => return Err(NotASize::Other(shown())),
        };
        times(number.trim(), factor)
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| NotASize::Other(shown()))
    }
}

/// Whole numbers exactly; fractions to the nearest byte below.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn times(number: &str, factor: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let bytes = number.parse::<f64>().ok()? * factor as f64;
    // Not an overflow of whole numbers: those are refused above, and 2^63 is far beyond any memory.
    (bytes < 2.0_f64.powi(63)).then_some(bytes as u64)
}

/// Whole binary units exactly; else with one decimal.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match BINARY.iter().find(|(_, factor)| self.0 >= *factor) {
            Some((unit, factor)) if self.0.is_multiple_of(*factor) => {
                write!(f, "{} {unit}", self.0 / factor)
            }
            Some((unit, factor)) => {
                write!(f, "{:.1} {unit}", self.0 as f64 / *factor as f64)
            }
            None => write!(f, "{} bytes", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_as_people_do() {
        for (text, bytes, printed) in [
            ("2GiB", 2 << 30, "2 GiB"),
            (" 500 mib ", 500 << 20, "500 MiB"),
            ("1.5 gib", 3 << 29, "1.5 GiB"),
            ("24GB", 24_000_000_000, "22.4 GiB"),
            ("1500", 1500, "1.5 KiB"),
            ("17 B", 17, "17 bytes"),
            ("1TiB", 1 << 40, "1 TiB"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, printed));
        }
    }

    #[test]
    fn what_is_no_size_says_what_would_be() {
        for wrong in [
            "",
            "GiB",
            "much",
            "-1",
            "0",
            "0.1",
            "1.2.3",
            "1 0",
            "nan",
            "inf",
            "1e300GiB",
            "2 GiB more",
            "99999999999999999999",
            "99999999999TiB",
        ] {
            let error = wrong.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains("2GiB"), "{wrong}: {error}");
        }
        let error = "16G".parse::<Size>().unwrap_err().to_string();
        assert!(error.contains("1000 or of 1024"), "{error}");
    }
}
