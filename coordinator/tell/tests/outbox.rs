//! The outbox over restarts: nothing told twice, nothing lost, nothing out of order that belongs together.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use batchstep_tell::{
    Cause, ChannelName, Failure, Message, Outbox,
    message::{Kind, Night, Reason, Severity, Subject},
    outbox::{Delivery, Row, State, Update},
    retry,
};
use jiff::{SignedDuration, Timestamp, civil::date};
use proptest::prelude::*;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn message(key: &str) -> Message {
    Message {
        kind: Kind::Regression,
        severity: Severity::Critical,
        dedup_key: key.to_owned(),
        resolves: None,
        schedule: "fleet".to_owned(),
        night: Night {
            number: 1,
            date: date(2026, 11, 26),
        },
        subject: Subject::default(),
        time: None,
        shift: None,
        step: None,
        since: None,
        reason: Reason {
            code: "hits".to_owned(),
            sentence: "Slower.".to_owned(),
        },
        changes: Vec::new(),
        smallest_detectable_shift: None,
        links: Vec::new(),
        reproduce: None,
        acknowledge: None,
    }
}

fn end_of(key: &str) -> Message {
    Message {
        kind: Kind::Resolved,
        resolves: Some(key.to_owned()),
        ..message(&format!("{key}/resolved"))
    }
}

fn channels(names: &[&str]) -> Vec<ChannelName> {
    let names = names.iter().copied();
    names
        .map(|name| ChannelName::new(name.to_owned()))
        .collect()
}

fn failure(cause: Cause) -> Failure {
    let channel = ChannelName::new("slack".to_owned());
    let place = "slack.lab".to_owned();
    Failure {
        channel,
        place,
        cause,
    }
}

fn temporary() -> Failure {
    failure(Cause::Dial(io::ErrorKind::ConnectionRefused.into()))
}

fn permanent() -> Failure {
    failure(Cause::Redirect { status: 302 })
}

/// What a caller stores.
#[derive(Default)]
struct Store(BTreeMap<(ChannelName, String), Row>);

impl Store {
    fn insert(&mut self, rows: &[Row]) {
        for row in rows {
            let key = (row.channel.clone(), row.message.dedup_key.clone());
            assert!(
                self.0.insert(key, row.clone()).is_none(),
                "told twice: {row:?}"
            );
        }
    }

    fn update(&mut self, update: &Update) {
        for row in self.0.values_mut() {
            if row.channel == update.channel && row.digest == update.digest {
                row.progress = update.progress.clone();
            }
        }
    }

    fn load(&self, now: Timestamp) -> Outbox {
        Outbox::load(self.0.values().cloned(), now)
    }

    fn states(&self) -> BTreeSet<State> {
        self.0.values().map(|row| row.progress.state).collect()
    }
}

/// Hands messages over, as a caller does.
fn tell(
    outbox: &mut Outbox,
    store: &mut Store,
    messages: &[Message],
    names: &[ChannelName],
    now: Timestamp,
) {
    let rows = outbox.rows(messages, names, now);
    store.insert(&rows);
    outbox.add(rows);
}

fn keys(delivery: &Delivery) -> Vec<&str> {
    let messages = delivery.digest.messages().iter();
    messages.map(|message| message.dedup_key.as_str()).collect()
}

#[test]
fn a_night_is_one_digest_for_each_channel() {
    let names = channels(&["slack", "webhook"]);
    let (mut outbox, mut store) = (Outbox::default(), Store::default());
    let night: Vec<Message> = (0..300)
        .map(|series| message(&format!("{series}")))
        .collect();
    tell(&mut outbox, &mut store, &night, &names, START);
    let due = outbox.take_due(&names, START);
    assert_eq!(due.len(), 2);
    assert!(
        due.iter()
            .all(|delivery| delivery.digest.messages().len() == 300)
    );
    assert_eq!(outbox.queued(&names[0]), 300);
    assert!(
        outbox.take_due(&names, START).is_empty(),
        "they are under way"
    );
    for delivery in due {
        let update = outbox.sent(&delivery, START).unwrap();
        assert_eq!((update.messages, update.outcome()), (300, "sent"));
        store.update(&update);
    }
    assert_eq!(outbox.queued(&names[0]), 0);
    assert_eq!(outbox.next_due(&names), None);
    assert_eq!(store.states(), BTreeSet::from([State::Sent]));
}

#[test]
fn an_alarm_is_told_once_over_restarts() {
    let names = channels(&["slack"]);
    let (mut outbox, mut store) = (Outbox::default(), Store::default());
    tell(
        &mut outbox,
        &mut store,
        &[message("a"), message("a")],
        &names,
        START,
    );
    let due = outbox.take_due(&names, START).remove(0);
    assert_eq!(keys(&due), ["a"]);
    store.update(&outbox.sent(&due, START).unwrap());
    tell(&mut outbox, &mut store, &[message("a")], &names, START);
    let mut again = store.load(START);
    tell(
        &mut again,
        &mut store,
        &[message("a"), message("b")],
        &names,
        START,
    );
    let due = again.take_due(&names, START);
    assert_eq!(due.len(), 1);
    assert_eq!(keys(&due[0]), ["b"]);
    // Another channel has heard of nothing yet.
    assert_eq!(
        again
            .rows(&[message("a")], &channels(&["webhook"]), START)
            .len(),
        1
    );
}

#[test]
fn what_was_delivered_and_not_recorded_comes_again_under_the_same_key() {
    let names = channels(&["slack"]);
    let (mut outbox, mut store) = (Outbox::default(), Store::default());
    tell(
        &mut outbox,
        &mut store,
        &[message("a"), message("b")],
        &names,
        START,
    );
    let first = outbox.take_due(&names, START).remove(0);
    // The coordinator is killed here, and more is known before the next try.
    let mut again = store.load(START);
    tell(
        &mut again,
        &mut store,
        &[message("c")],
        &names,
        START + SignedDuration::from_secs(9),
    );
    let second = again
        .take_due(&names, START + SignedDuration::from_secs(9))
        .remove(0);
    assert_eq!(first.digest, second.digest);
}

#[test]
fn a_channel_that_works_again_gets_everything_at_once() {
    let names = channels(&["slack"]);
    let (mut outbox, mut store) = (Outbox::default(), Store::default());
    let mut now = START;
    for key in ["a", "b"] {
        tell(&mut outbox, &mut store, &[message(key)], &names, now);
        now += SignedDuration::from_secs(1);
    }
    for _ in 0..8 {
        now = now.max(outbox.next_due(&names).unwrap());
        let due = outbox.take_due(&names, now).remove(0);
        let update = outbox.failed(&due, &temporary(), now).unwrap();
        assert!(update.progress.next_try_at > now);
        let error = update.progress.last_error.clone().unwrap();
        assert!(
            error.starts_with("slack could not deliver to slack.lab: it cannot"),
            "{error}"
        );
        store.update(&update);
    }
    // The waits are kept over a restart.
    let mut outbox = store.load(now);
    assert!(outbox.take_due(&names, now).is_empty());
    now = outbox.next_due(&names).unwrap();
    let first = outbox.take_due(&names, now).remove(0);
    outbox.sent(&first, now).unwrap();
    assert_eq!(outbox.take_due(&names, now).len(), 1);
}

#[test]
fn the_end_of_an_alarm_is_told_behind_it() {
    let names = channels(&["slack"]);
    let (mut outbox, mut store) = (Outbox::default(), Store::default());
    tell(&mut outbox, &mut store, &[message("a")], &names, START);
    let alarm = outbox.take_due(&names, START).remove(0);
    outbox.failed(&alarm, &temporary(), START).unwrap();
    tell(&mut outbox, &mut store, &[end_of("a")], &names, START);
    assert!(
        outbox.take_due(&names, START).is_empty(),
        "the alarm was not told"
    );
    let now = outbox.next_due(&names).unwrap();
    let alarm = outbox.take_due(&names, now).remove(0);
    assert_eq!(keys(&alarm), ["a"]);
    outbox.sent(&alarm, now).unwrap();
    let end = outbox.take_due(&names, now).remove(0);
    assert_eq!(keys(&end), ["a/resolved"]);
}

#[test]
fn after_three_days_it_is_given_up_and_what_follows_is_not() {
    let names = channels(&["slack"]);
    let (mut outbox, mut store) = (Outbox::default(), Store::default());
    tell(&mut outbox, &mut store, &[message("a")], &names, START);
    tell(
        &mut outbox,
        &mut store,
        &[end_of("a")],
        &names,
        START + retry::PATIENCE,
    );
    let mut now = START;
    let last = loop {
        now = now.max(outbox.next_due(&names).unwrap());
        let due = outbox.take_due(&names, now).remove(0);
        assert_eq!(keys(&due), ["a"]);
        let update = outbox.failed(&due, &temporary(), now).unwrap();
        store.update(&update);
        if update.progress.state == State::GivenUp {
            break update;
        }
    };
    assert!(last.progress.tries > 70);
    assert!(now <= START + retry::PATIENCE);
    let end = outbox.take_due(&names, START + retry::PATIENCE).remove(0);
    assert_eq!(keys(&end), ["a/resolved"]);
    let later = START + retry::PATIENCE;
    assert_eq!(
        store.load(later).queued(&names[0]),
        1,
        "the alarm is not tried again"
    );
}

#[test]
fn a_refusal_for_good_is_given_up_until_the_next_start() {
    let names = channels(&["slack"]);
    let (mut outbox, mut store) = (Outbox::default(), Store::default());
    tell(&mut outbox, &mut store, &[message("a")], &names, START);
    let due = outbox.take_due(&names, START).remove(0);
    let update = outbox.failed(&due, &permanent(), START).unwrap();
    assert_eq!(update.progress.state, State::GivenUp);
    assert_eq!(update.outcome(), "given_up");
    store.update(&update);
    assert_eq!(outbox.next_due(&names), None);
    let now = START + SignedDuration::from_hours(1);
    let again = store.load(now).take_due(&names, now).remove(0);
    assert_eq!(due.digest, again.digest);
}

#[test]
fn what_waits_for_a_channel_that_is_gone_is_given_up_in_the_end() {
    let names = channels(&["slack"]);
    let (mut outbox, mut store) = (Outbox::default(), Store::default());
    tell(&mut outbox, &mut store, &[message("a")], &names, START);
    let now = START + retry::PATIENCE + SignedDuration::from_secs(1);
    assert!(outbox.take_due(&[], now).is_empty());
    assert!(outbox.expire(&[], START).is_empty(), "it may come back");
    assert!(outbox.expire(&names, now).is_empty());
    let update = outbox.expire(&[], now).remove(0);
    assert_eq!(update.progress.state, State::GivenUp);
    assert!(
        update
            .progress
            .last_error
            .unwrap()
            .contains("not configured")
    );
    assert_eq!(outbox.queued(&names[0]), 0);
}

/// One thing that happens to an outbox.
#[derive(Debug, Clone)]
enum Event {
    Tell(Vec<u8>),
    Deliver { is_taken: bool, is_recorded: bool },
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        proptest::collection::vec(0_u8..12, 1..5).prop_map(Event::Tell),
        (any::<bool>(), any::<bool>()).prop_map(|(is_taken, is_recorded)| Event::Deliver {
            is_taken,
            is_recorded
        }),
        Just(Event::Restart),
    ]
}

proptest! {
    /// Whatever happens: receivers that drop copies of a digest's key see every message, and each once.
    #[test]
    fn everything_arrives_once_by_its_digests_key(events in proptest::collection::vec(event(), 0..60)) {
        let names = channels(&["slack", "webhook"]);
        let (mut outbox, mut store) = (Outbox::default(), Store::default());
        let mut now = START;
        let mut told = BTreeSet::new();
        // By channel and digest, what a receiver keeps.
        let mut received: BTreeMap<(ChannelName, String), Vec<Message>> = BTreeMap::new();
        let calm = std::iter::repeat_n(Event::Deliver { is_taken: true, is_recorded: true }, 60);
        for event in events.into_iter().chain([Event::Restart]).chain(calm) {
            match event {
                Event::Tell(keys) => {
                    let messages: Vec<Message> = keys.iter().map(|key| message(&format!("{key}"))).collect();
                    told.extend(messages.iter().map(|message| message.dedup_key.clone()));
                    tell(&mut outbox, &mut store, &messages, &names, now);
                }
                Event::Deliver { is_taken, is_recorded } => {
                    now = now.max(outbox.next_due(&names).unwrap_or(now));
                    for delivery in outbox.take_due(&names, now) {
                        let update = if is_taken {
                            let id = (delivery.channel.clone(), delivery.digest.key().to_owned());
                            let messages = delivery.digest.messages().to_vec();
                            if let Some(before) = received.insert(id, messages.clone()) {
                                prop_assert_eq!(before, messages, "a copy differs");
                            }
                            outbox.sent(&delivery, now)
                        } else {
                            outbox.failed(&delivery, &temporary(), now)
                        };
                        if is_recorded {
                            store.update(&update.unwrap());
                        }
                    }
                    if !is_recorded {
                        outbox = store.load(now);
                    }
                }
                Event::Restart => outbox = store.load(now),
            }
        }
        for name in &names {
            let of_channel = received.iter().filter(|((channel, _), _)| channel == name);
            let keys: Vec<String> = of_channel.flat_map(|(_, it)| it).map(|it| it.dedup_key.clone()).collect();
            let once: BTreeSet<String> = keys.iter().cloned().collect();
            prop_assert_eq!(keys.len(), once.len(), "told twice");
            prop_assert_eq!(&once, &told);
        }
    }
}
