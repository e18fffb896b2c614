//! How often and how patiently delivery is tried again: every such constant, each with its reason. Pure: the outbox hands in what happened and when.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

/// After the first failure. A receiver that is restarted is back within it.
pub const FIRST_WAIT: SignedDuration = SignedDuration::from_secs(30);
/// Longest wait: who mends a receiver in the morning has the night's alarms within the hour.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(1);
/// Longest wait that a receiver may ask for (`Retry-After`): more would be a way to lose alarms.
pub const LONGEST_ASKED_WAIT: SignedDuration = SignedDuration::from_hours(6);
/// After that a message is given up: a weekend, and the Monday on which somebody looks.
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(72);
/// Part of a wait that is spread, so that what failed together is not tried together.
const SPREAD: f64 = 0.25;

/// When delivery is tried again, or `None` when it is given up.
///
/// `tries` counts the failures so far, this one included; `since` is when there was first something to deliver, `asked` the wait that the receiver asked for. The same
/// `seed`, such as a digest's key, gives the same times.
#[must_use]
pub fn next_try(
    tries: u32,
    since: Timestamp,
    now: Timestamp,
    asked: Option<SignedDuration>,
    seed: &str,
) -> Option<Timestamp> {
    // 2^7 half minutes are more than an hour.
    let doubled = FIRST_WAIT * (1 << tries.saturating_sub(1).min(7));
    let wait = doubled.min(LONGEST_WAIT).as_secs_f64();
    let wait = wait * (1.0 - SPREAD * fraction(seed, tries));
    let wait = SignedDuration::from_millis((wait * 1000.0) as i64);
    let wait = wait.max(asked.unwrap_or_default().min(LONGEST_ASKED_WAIT));
    let next = now.checked_add(wait).ok()?;
    // A clock that was set back makes a message young again, never old.
    (next.duration_since(since) <= PATIENCE).then_some(next)
}

/// A number in 0..1 of the seed and the count.
fn fraction(seed: &str, tries: u32) -> f64 {
    let hash = Sha256::new()
        .chain_update(seed)
        .chain_update(tries.to_le_bytes())
        .finalize();
    let bits = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]);
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    /// Waits until a message is given up.
    fn waits(seed: &str) -> Vec<SignedDuration> {
        let (mut now, mut waits) = (START, Vec::new());
        while let Some(next) = next_try(waits.len() as u32 + 1, START, now, None, seed) {
            waits.push(next.duration_since(now));
            now = next;
        }
        waits
    }

    #[test]
    fn waits_grow_to_an_hour_and_end_after_three_days() {
        let waits = waits("a");
        assert!(waits[0] <= FIRST_WAIT && waits[0] >= FIRST_WAIT * 3 / 4);
        for (pair, at) in waits.windows(2).zip(1..) {
            assert!(at >= 7 || pair[1] > pair[0], "{at}: {pair:?}");
        }
        assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT));
        let all: SignedDuration = waits.iter().sum();
        assert!(all <= PATIENCE && all > PATIENCE - LONGEST_WAIT, "{all}");
        // Once an hour and somewhat oftener for three days: no flood for a receiver that is down.
        assert!((72..110).contains(&waits.len()), "{}", waits.len());
    }

    #[test]
    fn equal_seeds_wait_alike_and_others_do_not() {
        assert_eq!(waits("a"), waits("a"));
        assert_ne!(waits("a")[..5], waits("b")[..5]);
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_within_reason() {
        let after = |asked| next_try(1, START, START, Some(asked), "a").unwrap();
        assert_eq!(after(SignedDuration::from_mins(10)).as_second(), 600);
        assert!(after(SignedDuration::ZERO).as_second() >= 22);
        assert_eq!(
            after(SignedDuration::from_hours(1000)).as_second(),
            6 * 3600
        );
    }

    #[test]
    fn clocks_that_jump_neither_panic_nor_give_up_early() {
        let late = START + SignedDuration::from_hours(24);
        assert!(next_try(3, late, START, None, "a").is_some());
        assert_eq!(next_try(u32::MAX, START, Timestamp::MAX, None, "a"), None);
        assert_eq!(next_try(0, START, START + PATIENCE, None, "a"), None);
    }
}
