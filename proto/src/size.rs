//! Amounts of memory and disk as people write them: `2GiB`, `500 MiB`, `1048576`. Read and printed by the command lines of coordinator and agent.

use std::{fmt, str::FromStr};

/// Units, largest first: 2^30 bytes are one GiB.
const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// A text that is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no size; write bytes, or a whole number with KiB, MiB, GiB or TiB such as 2GiB")]
pub struct NotASize(String);

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let wrong = || NotASize(text.chars().take(64).collect());
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = unit.trim();
        let shift = match UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        {
            Some((_, shift)) => *shift,
            None if unit.is_empty() || unit == "B" => 0,
            None => return Err(wrong()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

/// Whole units exactly; else with one decimal.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.iter().find(|(_, shift)| self.0 >> shift > 0) {
            Some((unit, shift)) if self.0.is_multiple_of(1 << shift) => {
                write!(f, "{} {unit}", self.0 >> shift)
            }
            Some((unit, shift)) => {
                write!(f, "{:.1} {unit}", self.0 as f64 / (1_u64 << shift) as f64)
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
            ("1500", 1500, "1.5 KiB"),
            ("17 B", 17, "17 bytes"),
            ("1TiB", 1 << 40, "1 TiB"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, printed));
        }
        for wrong in [
            "",
            "GiB",
            "-1",
            "1.5GiB",
            "2 GB",
            "99999999999999999999",
            "99999999999TiB",
        ] {
            let error = wrong.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains("2GiB"), "{wrong}");
        }
    }
}
