//! Which protocol versions this build speaks, and how two builds agree on one.

use std::ops::RangeInclusive;

/// The newest protocol of this build.
pub const PROTOCOL: u32 = 1;

/// The versions this build serves: its own and the one before.
pub const SUPPORTED: RangeInclusive<u32> = 1..=PROTOCOL;

/// The newest version in both ranges; `None` when they do not meet.
#[must_use]
pub fn agree(ours: RangeInclusive<u32>, theirs: RangeInclusive<u32>) -> Option<u32> {
    let newest = *ours.end().min(theirs.end());
    (ours.contains(&newest) && theirs.contains(&newest)).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::agree;

    #[test]
    fn the_newest_common_version_wins() {
        assert_eq!(agree(1..=2, 2..=3), Some(2));
        assert_eq!(agree(1..=3, 2..=3), Some(3));
        assert_eq!(agree(1..=1, 2..=3), None);
        assert_eq!(agree(4..=5, 2..=3), None);
    }
}
