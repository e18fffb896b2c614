//! What is still to be told to whom: a state machine over rows that the caller stores. Pure: it is handed the time and what became of deliveries, and says what to
//! store and what to deliver.
//!
//! A message is told to a channel once, under its `dedup_key`, for ever. What becomes known together travels together, as one digest a channel; a digest never changes
//! afterwards, so a copy that a crash between delivery and its record causes carries the same key. An alarm that is over before it could be told is told all the same,
//! and its end behind it, never before: who reads both knows what happened in the night, who reads neither would not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    channel::ChannelName,
    digest::{Digest, digest_key},
    failure::{Failure, Persistence},
    message::Message,
    retry,
};

/// One message for one channel, as it is stored; unique by channel and `message.dedup_key`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which way it goes.
    pub channel: ChannelName,
    /// Key of the digest that it travels in.
    pub digest: String,
    /// When it was handed over.
    pub queued_at: Timestamp,
    /// What to tell.
    pub message: Message,
    /// What became of it.
    pub progress: Progress,
}

/// What became of a digest; the same in all of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it stands.
    pub state: State,
    /// Deliveries that failed.
    pub tries: u32,
    /// Not before; of no meaning once it is not queued.
    pub next_try_at: Timestamp,
    /// Why the last delivery failed, or why there was none.
    pub last_error: Option<String>,
}

/// Where a digest stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// To be delivered.
    Queued,
    /// Delivered.
    Sent,
    /// Never to be delivered.
    GivenUp,
}

impl State {
    /// As it is stored.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::GivenUp => "given_up",
        }
    }

    /// The one that is stored so.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Queued, Self::Sent, Self::GivenUp]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

/// A digest that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Which way it goes.
    pub channel: ChannelName,
    /// What goes.
    pub digest: Digest,
}

/// What to store: the progress of all rows of a channel and a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Of this channel.
    pub channel: ChannelName,
    /// And this digest.
    pub digest: String,
    /// What became of it.
    pub progress: Progress,
    /// How many messages are in it.
    pub messages: usize,
}

impl Update {
    /// What became of the delivery, as [`metrics::MESSAGES`](crate::metrics::MESSAGES) counts it.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self.progress.state {
            State::Queued => "failed",
            State::Sent => "sent",
            State::GivenUp => "given_up",
        }
    }
}

/// All that is to be told, and the keys of all that was.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Keys by channel.
    known: BTreeMap<ChannelName, BTreeSet<String>>,
    /// By channel and digest.
    waiting: BTreeMap<(ChannelName, String), Waiting>,
}

#[derive(Debug)]
struct Waiting {
    digest: Digest,
    progress: Progress,
    /// Somebody tries to deliver it now.
    is_under_way: bool,
}

impl Waiting {
    fn update(&self, (channel, digest): &(ChannelName, String)) -> Update {
        Update {
            channel: channel.clone(),
            digest: digest.clone(),
            progress: self.progress.clone(),
            messages: self.digest.messages().len(),
        }
    }
}

impl Outbox {
    /// From all rows that are stored.
    ///
    /// What a receiver has refused for good less than [`retry::PATIENCE`] ago is tried once more: a start is when a configuration may have been mended.
    #[must_use]
    pub fn load(rows: impl IntoIterator<Item = Row>, now: Timestamp) -> Self {
        let mut outbox = Self::default();
        let mut digests: BTreeMap<(ChannelName, String), Vec<Row>> = BTreeMap::new();
        for row in rows {
            outbox.know(&row);
            let is_young = now.duration_since(row.queued_at) < retry::PATIENCE;
            let is_open = match row.progress.state {
                State::Queued => true,
                State::GivenUp => is_young,
                State::Sent => false,
            };
            if is_open {
                digests
                    .entry((row.channel.clone(), row.digest.clone()))
                    .or_default()
                    .push(row);
            }
        }
        for (id, rows) in digests {
            outbox.wait(id, rows);
        }
        for waiting in outbox.waiting.values_mut() {
            let progress = &mut waiting.progress;
            if progress.state == State::GivenUp {
                progress.state = State::Queued;
                progress.next_try_at = now;
            }
        }
        outbox
    }

    /// Rows for what none of these channels has been told: to be stored together with what they tell of, and then [added](Self::add).
    #[must_use]
    pub fn rows(&self, messages: &[Message], channels: &[ChannelName], now: Timestamp) -> Vec<Row> {
        let mut rows = Vec::new();
        for channel in channels {
            let known = self.known.get(channel);
            let mut keys = BTreeSet::new();
            let mut new = Vec::new();
            for message in messages {
                let key = &message.dedup_key;
                let is_known = known.is_some_and(|known| known.contains(key));
                if !is_known && keys.insert(key) {
                    new.push(message);
                }
            }
            let digest = digest_key(new.iter().map(|message| message.dedup_key.as_str()));
            rows.extend(new.into_iter().map(|message| Row {
                channel: channel.clone(),
                digest: digest.clone(),
                queued_at: now,
                message: message.clone().finite(),
                progress: Progress {
                    state: State::Queued,
                    tries: 0,
                    next_try_at: now,
                    last_error: None,
                },
            }));
        }
        rows
    }

    /// Takes up rows that are stored.
    pub fn add(&mut self, rows: Vec<Row>) {
        let mut digests: BTreeMap<(ChannelName, String), Vec<Row>> = BTreeMap::new();
        for row in rows {
            if self.know(&row) {
                digests
                    .entry((row.channel.clone(), row.digest.clone()))
                    .or_default()
                    .push(row);
            }
        }
        for (id, rows) in digests {
            self.wait(id, rows);
        }
    }

    /// Deliveries that are due, at most one for each channel, which is then under way until [`sent`](Self::sent) or [`failed`](Self::failed) is told of it. Oldest first.
    pub fn take_due(&mut self, channels: &[ChannelName], now: Timestamp) -> Vec<Delivery> {
        let mut due = Vec::new();
        for channel in channels {
            let ready = self
                .ready(channel)
                .filter(|(_, it)| it.progress.next_try_at <= now);
            let oldest = ready.min_by_key(|(id, it)| (it.digest.made_at(), (*id).clone()));
            let Some(id) = oldest.map(|(id, _)| id.clone()) else {
                continue;
            };
            if let Some(waiting) = self.waiting.get_mut(&id) {
                waiting.is_under_way = true;
                due.push(Delivery {
                    channel: id.0,
                    digest: waiting.digest.clone(),
                });
            }
        }
        due
    }

    /// When [`take_due`](Self::take_due) has something next, as far as is known.
    #[must_use]
    pub fn next_due(&self, channels: &[ChannelName]) -> Option<Timestamp> {
        let ready = channels.iter().flat_map(|channel| self.ready(channel));
        ready.map(|(_, waiting)| waiting.progress.next_try_at).min()
    }

    /// A delivery was taken. What else waits for this channel is due at once: it works again.
    pub fn sent(&mut self, delivery: &Delivery, now: Timestamp) -> Option<Update> {
        let id = (delivery.channel.clone(), delivery.digest.key().to_owned());
        let mut taken = self.waiting.remove(&id)?;
        taken.progress.state = State::Sent;
        for ((channel, _), waiting) in &mut self.waiting {
            if *channel == delivery.channel {
                let next = &mut waiting.progress.next_try_at;
                *next = now.min(*next);
            }
        }
        Some(taken.update(&id))
    }

    /// A delivery was not taken: it is tried again, or given up.
    pub fn failed(
        &mut self,
        delivery: &Delivery,
        failure: &Failure,
        now: Timestamp,
    ) -> Option<Update> {
        let id = (delivery.channel.clone(), delivery.digest.key().to_owned());
        let waiting = self.waiting.get_mut(&id)?;
        waiting.is_under_way = false;
        let progress = &mut waiting.progress;
        progress.tries = progress.tries.saturating_add(1);
        progress.last_error = Some(failure.line());
        let next = match failure.persistence() {
            Persistence::Permanent => None,
            Persistence::Temporary { retry_after } => {
                let made_at = waiting.digest.made_at();
                retry::next_try(progress.tries, made_at, now, retry_after, &id.1)
            }
        };
        match next {
            Some(next) => progress.next_try_at = next,
            None => progress.state = State::GivenUp,
        }
        let update = waiting.update(&id);
        if update.progress.state == State::GivenUp {
            self.waiting.remove(&id);
        }
        Some(update)
    }

    /// Gives up what has waited for longer than [`retry::PATIENCE`] for a channel that is not configured any more.
    pub fn expire(&mut self, channels: &[ChannelName], now: Timestamp) -> Vec<Update> {
        let mut updates = Vec::new();
        self.waiting.retain(|id, waiting| {
            let channel = &id.0;
            let age: SignedDuration = now.duration_since(waiting.digest.made_at());
            if channels.contains(channel) || age <= retry::PATIENCE {
                return true;
            }
            waiting.progress.state = State::GivenUp;
            waiting.progress.last_error = Some(format!("{channel} is not configured any more"));
            updates.push(waiting.update(id));
            false
        });
        updates
    }

    /// How many messages wait for a channel.
    #[must_use]
    pub fn queued(&self, channel: &ChannelName) -> usize {
        let of_channel = self.waiting.iter().filter(|((name, _), _)| name == channel);
        of_channel
            .map(|(_, waiting)| waiting.digest.messages().len())
            .sum()
    }

    /// What of a channel may be delivered now or later: nothing while something is under way, and no end of an alarm before the alarm.
    fn ready<'a>(
        &'a self,
        channel: &'a ChannelName,
    ) -> impl Iterator<Item = (&'a (ChannelName, String), &'a Waiting)> {
        let of_channel = move || {
            self.waiting
                .iter()
                .filter(move |((name, _), _)| name == channel)
        };
        let is_busy = of_channel().any(|(_, waiting)| waiting.is_under_way);
        let is_told = move |id: &(ChannelName, String), key: &String| {
            let mut others = of_channel().filter(|(other, _)| *other != id);
            !others.any(|(_, it)| it.digest.messages().iter().any(|it| it.dedup_key == *key))
        };
        of_channel().filter(move |(id, waiting)| {
            let mut ended = waiting
                .digest
                .messages()
                .iter()
                .filter_map(|it| it.resolves.as_ref());
            !is_busy && ended.all(|key| is_told(id, key))
        })
    }

    /// Remembers a key; `false`: it was known.
    fn know(&mut self, row: &Row) -> bool {
        let known = self.known.entry(row.channel.clone()).or_default();
        known.insert(row.message.dedup_key.clone())
    }

    fn wait(&mut self, id: (ChannelName, String), rows: Vec<Row>) {
        let Some(first) = rows.first() else {
            return;
        };
        let (queued_at, progress) = (first.queued_at, first.progress.clone());
        let messages = rows.into_iter().map(|row| row.message).collect();
        let digest = Digest::new(id.1.clone(), queued_at, messages);
        self.waiting.insert(
            id,
            Waiting {
                digest,
                progress,
                is_under_way: false,
            },
        );
    }
}
