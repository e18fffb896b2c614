//! The words that stand for states in the database, and back. Used by `read` and `write` only; a word is never changed once it was written.

use batchstep_core::{
    fleet::{AttemptState, Disposition, SeriesState, SweepState},
    inventory::Presence,
};
use batchstep_identity::TokenKind;
use batchstep_proto::domain::{AttemptOutcome, VisitFailureKind};

use crate::store::{BookKind, MessageState, NightState, StoreError};

/// A closed set of values with a word for each.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// What it is called in errors.
    const WHAT: &'static str;
    /// Every value with its word.
    const WORDS: &'static [(Self, &'static str)];

    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find_map(|(value, word)| (*value == self).then_some(*word))
            .unwrap_or_default()
    }

    fn from_word(word: &str) -> Result<Self, StoreError> {
        Self::WORDS
            .iter()
            .find_map(|(value, known)| (*known == word).then_some(*value))
            .ok_or_else(|| StoreError::Corrupt {
                what: Self::WHAT,
                problem: format!("unknown word {word:?}"),
            })
    }
}

impl Word for Presence {
    const WHAT: &'static str = "state of a device";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Present, "present"),
        (Self::Lost, "lost"),
        (Self::Vanished, "vanished"),
    ];
}

impl Word for TokenKind {
    const WHAT: &'static str = "kind of a token";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Join, "join"),
        (Self::Operator, "operator"),
        (Self::Monitor, "monitor"),
    ];
}

impl Word for NightState {
    const WHAT: &'static str = "state of a night";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Measuring, "measuring"),
        (Self::Again, "again"),
        (Self::Done, "done"),
        (Self::Missed, "missed"),
        (Self::Abandoned, "abandoned"),
    ];
}

impl Word for BookKind {
    const WHAT: &'static str = "kind of a book";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Series, "series"),
        (Self::Model, "model"),
        (Self::Sizes, "sizes"),
    ];
}

impl Word for MessageState {
    const WHAT: &'static str = "state of a message";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Queued, "queued"),
        (Self::Sent, "sent"),
        (Self::GivenUp, "given_up"),
    ];
}

impl Word for SweepState {
    const WHAT: &'static str = "sweep state";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Active, "active"),
        (Self::Done, "done"),
        (Self::Cancelled, "cancelled"),
        (Self::Failed, "failed"),
    ];
}

impl Word for SeriesState {
    const WHAT: &'static str = "series state";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Waiting, "waiting"),
        (Self::Running, "running"),
        (Self::Done, "done"),
        (Self::Failed, "failed"),
        (Self::Cancelled, "cancelled"),
    ];
}

impl Word for AttemptState {
    const WHAT: &'static str = "attempt state";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Assigned, "assigned"),
        (Self::Accepted, "accepted"),
        (Self::Reported, "reported"),
        (Self::Declined, "declined"),
        (Self::Expired, "expired"),
    ];
}

impl Word for Disposition {
    const WHAT: &'static str = "disposition";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Accepted, "accepted"),
        (Self::Duplicate, "duplicate"),
        (Self::Quarantined, "quarantined"),
        (Self::Superseded, "superseded"),
    ];
}

impl Word for AttemptOutcome {
    const WHAT: &'static str = "attempt outcome";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Finished, "finished"),
        (Self::Broken, "broken"),
        (Self::Stopped, "stopped"),
        (Self::TimedOut, "timed_out"),
        (Self::Refused, "refused"),
    ];
}

impl Word for VisitFailureKind {
    const WHAT: &'static str = "kind of failure";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::OutOfMemory, "out_of_memory"),
        (Self::MemoryLimit, "memory_limit"),
        (Self::TimeLimit, "time_limit"),
        (Self::Error, "error"),
    ];
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Debug};

    use super::*;

    fn come_back<T: Word + Debug>() {
        let words: BTreeSet<&str> = T::WORDS.iter().map(|(_, word)| *word).collect();
        assert_eq!(words.len(), T::WORDS.len());
        for (value, _) in T::WORDS {
            assert_eq!(T::from_word(value.word()).unwrap(), *value);
        }
        assert!(T::from_word("").is_err());
    }

    #[test]
    fn words_come_back() {
        come_back::<SweepState>();
        come_back::<SeriesState>();
        come_back::<AttemptState>();
        come_back::<Disposition>();
        come_back::<AttemptOutcome>();
        come_back::<VisitFailureKind>();
    }
}
