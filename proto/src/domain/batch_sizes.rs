//! The grid of a sweep as people write it: `1-64,72,80`, `8-512:8`, or `auto`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::limits::{BATCH_SIZE, BATCH_SIZES_PER_SWEEP};

/// Which batch sizes a sweep may visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchSizes {
    /// Chosen by the planner.
    Auto,
    /// These, ascending and without repeats.
    Listed(Vec<u32>),
}

/// A list of batch sizes that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchSizeError {
    /// Not a number, a range or `auto`.
    #[error(
        "{0:?} is not a batch size; write numbers and ranges such as 1-64,72,80 or 8-512:8, or auto"
    )]
    Malformed(String),
    /// Zero samples.
    #[error("batch size 0 has no samples; the smallest is 1")]
    Zero,
    /// Larger than any device takes.
    #[error("batch size {0} is above the largest allowed, {BATCH_SIZE}")]
    TooLarge(u64),
    /// A range whose end lies before its start.
    #[error("the range {start}-{end} is reversed; write {end}-{start}")]
    Reversed {
        /// As written.
        start: u64,
        /// As written.
        end: u64,
    },
    /// A range with a stride of zero.
    #[error("the range {0:?} has a stride of 0; the smallest is 1")]
    ZeroStride(String),
    /// More than a sweep can hold.
    #[error(
        "more than {BATCH_SIZES_PER_SWEEP} batch sizes; use a stride, such as 8-8192:8, or auto"
    )]
    TooMany,
    /// A list without entries.
    #[error("no batch size given; write numbers and ranges such as 1-64,72,80, or auto")]
    Empty,
}

impl BatchSizes {
    /// From the wire's list, where an empty one means `auto`.
    ///
    /// # Errors
    /// When a size is zero or too large, or there are too many.
    pub fn from_list(sizes: Vec<u32>) -> Result<Self, BatchSizeError> {
        if sizes.is_empty() {
            return Ok(Self::Auto);
        }
        let mut set = BTreeSet::new();
        for size in sizes {
            insert(&mut set, u64::from(size))?;
        }
        Ok(Self::Listed(set.into_iter().collect()))
    }

    /// For the wire; `auto` is an empty list.
    #[must_use]
    pub fn into_list(self) -> Vec<u32> {
        match self {
            Self::Auto => Vec::new(),
            Self::Listed(sizes) => sizes,
        }
    }
}

fn insert(set: &mut BTreeSet<u32>, size: u64) -> Result<(), BatchSizeError> {
    match u32::try_from(size) {
        Ok(0) => return Err(BatchSizeError::Zero),
        Ok(size) if size <= BATCH_SIZE => set.insert(size),
        _ => return Err(BatchSizeError::TooLarge(size)),
    };
    if set.len() > BATCH_SIZES_PER_SWEEP {
        Err(BatchSizeError::TooMany)
    } else {
        Ok(())
    }
}

impl FromStr for BatchSizes {
    type Err = BatchSizeError;

    fn from_str(text: &str) -> Result<Self, BatchSizeError> {
        let text = text.trim();
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let mut set = BTreeSet::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let malformed = || BatchSizeError::Malformed(part.chars().take(64).collect());
            let number = |text: &str| {
                let digits = text.trim();
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(malformed());
                }
                // More digits than fit is a huge number, not a malformed one.
                Ok(digits.parse::<u64>().unwrap_or(u64::MAX))
            };
            let (range, stride) = match part.split_once(':') {
                Some((range, stride)) => (range, number(stride)?),
                None => (part, 1),
            };
            match range.split_once('-') {
                None if part.contains(':') => return Err(malformed()),
                None => insert(&mut set, number(range)?)?,
                Some((start, end)) => {
                    let (start, end) = (number(start)?, number(end)?);
                    if stride == 0 {
                        return Err(BatchSizeError::ZeroStride(part.chars().take(64).collect()));
                    }
                    if start > end {
                        return Err(BatchSizeError::Reversed { start, end });
                    }
                    if end > u64::from(BATCH_SIZE) {
                        return Err(BatchSizeError::TooLarge(end));
                    }
                    let mut size = start;
                    while size <= end {
                        insert(&mut set, size)?;
                        size = size.saturating_add(stride);
                    }
                }
            }
        }
        if set.is_empty() {
            Err(BatchSizeError::Empty)
        } else {
            Ok(Self::Listed(set.into_iter().collect()))
        }
    }
}

impl fmt::Display for BatchSizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Listed(sizes) = self else {
            return f.write_str("auto");
        };
        let mut rest = sizes.as_slice();
        let mut separator = "";
        while let [first, ..] = rest {
            let run = rest
                .windows(2)
                .take_while(|pair| pair[1] == pair[0] + 1)
                .count();
            match run {
                0 => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}-{}", rest[run])?,
            }
            rest = &rest[run + 1..];
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_ranges_and_strides() {
        let parse = |text: &str| text.parse::<BatchSizes>();
        assert_eq!(parse("auto"), Ok(BatchSizes::Auto));
        assert_eq!(
            parse("1-4,72, 80"),
            Ok(BatchSizes::Listed(vec![1, 2, 3, 4, 72, 80]))
        );
        assert_eq!(parse("8-32:8"), Ok(BatchSizes::Listed(vec![8, 16, 24, 32])));
        assert_eq!(parse("3,1-3"), Ok(BatchSizes::Listed(vec![1, 2, 3])));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, message) in [
            ("64-1", "the range 64-1 is reversed; write 1-64"),
            ("0", "batch size 0 has no samples; the smallest is 1"),
            ("0-8", "batch size 0 has no samples; the smallest is 1"),
            (
                "99999999999999999999999",
                "batch size 18446744073709551615 is above the largest allowed, 1048576",
            ),
            (
                "1-1048576",
                "more than 4096 batch sizes; use a stride, such as 8-8192:8, or auto",
            ),
            (
                "1-64:0",
                "the range \"1-64:0\" has a stride of 0; the smallest is 1",
            ),
            (
                "",
                "no batch size given; write numbers and ranges such as 1-64,72,80, or auto",
            ),
        ] {
            assert_eq!(text.parse::<BatchSizes>().unwrap_err().to_string(), message);
        }
        for text in ["-3", "a", "1..4", "1-", "8:2", "1-4:", "+3", "1.5"] {
            assert!(
                matches!(
                    text.parse::<BatchSizes>(),
                    Err(BatchSizeError::Malformed(_))
                ),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_list_prints_as_what_it_parses_from(sizes in proptest::collection::btree_set(1..5000_u32, 1..200)) {
            let listed = BatchSizes::Listed(sizes.into_iter().collect());
            prop_assert_eq!(listed.to_string().parse::<BatchSizes>().unwrap(), listed);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<BatchSizes>();
        }
    }
}
