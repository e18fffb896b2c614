//! The task that tells people: what is stored as to be told goes out, what becomes of it is stored. When nothing can be stored nothing new is told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use batchstep_proto::causes::chain;
use batchstep_tell::{
    ChannelName, Channels, Failure, Message, Outbox, Receipt, deliver,
    metrics::OUTCOMES,
    outbox::{Delivery, Progress, Row, State, Update},
};
use jiff::{SignedDuration, Timestamp};
use prometheus_client::metrics::{counter::Counter, family::Family};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Duration, sleep},
};
use tokio_util::sync::CancellationToken;

use super::kept::{from_json, to_json};
use crate::store::{
    MessageProgress, MessageState, NightlyRecord, NightlyStore as _, Store, StoreError,
    StoredMessage,
};

/// For so long a key is remembered: no alarm is raised twice, and what a restart might repeat is younger.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Longest sleep: clocks are set.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// Between two tries to store what became of a delivery.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Deliveries by channel and outcome.
pub type Outcomes = Family<[(&'static str, String); 2], Counter>;

/// Everything that is to be told, and the ways it goes.
pub struct Teller<S> {
    store: Arc<S>,
    channels: Channels,
    outbox: Mutex<Outbox>,
    wake: Notify,
    outcomes: Outcomes,
}

impl<S: Store> Teller<S> {
    /// With what the store has still to tell.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn restore(store: Arc<S>, channels: Channels) -> Result<Self, StoreError> {
        let now = Timestamp::now();
        let since = now.saturating_sub(REMEMBERED).unwrap_or(Timestamp::MIN);
        let stored = store.nightly().messages(since).await?;
        let rows = stored.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
        let outcomes = Outcomes::default();
        for channel in channels.iter() {
            tracing::info!(channel = %channel.name(), place = channel.place(), "Alarms are told.");
            for outcome in OUTCOMES {
                let labels = labels(channel.name(), outcome);
                drop(outcomes.get_or_create(&labels));
            }
        }
        Ok(Self {
            store,
            outbox: Mutex::new(Outbox::load(rows, now)),
            channels,
            wake: Notify::new(),
            outcomes,
        })
    }

    /// What is to be stored, together with what the messages tell of, so that they are told; what was told before is left out.
    pub fn records(&self, messages: &[Message]) -> Vec<NightlyRecord> {
        let rows = self
            .outbox()
            .rows(messages, &self.channels.names(), Timestamp::now());
        let records = rows.iter().map(|row| NightlyRecord::Message(stored(row)));
        records.collect()
    }

    /// Tells what was stored.
    pub fn take(&self, records: &[NightlyRecord]) {
        let messages = records.iter().filter_map(|record| match record {
            NightlyRecord::Message(stored) => Some(stored.clone()),
            _ => None,
        });
        let rows: Result<Vec<Row>, StoreError> = messages.map(row).collect();
        match rows {
            Ok(rows) if rows.is_empty() => {}
            Ok(rows) => {
                self.outbox().add(rows);
                self.wake.notify_one();
            }
            Err(error) => tracing::error!(error = chain(&error), "A message cannot be told."),
        }
    }

    /// Names of the channels.
    pub fn channels(&self) -> Vec<ChannelName> {
        self.channels.names()
    }

    /// Deliveries by channel and outcome, for the metrics.
    pub const fn outcomes(&self) -> &Outcomes {
        &self.outcomes
    }

    /// How many messages wait for each channel.
    pub fn queued(&self) -> Vec<(ChannelName, usize)> {
        let outbox = self.outbox();
        let names = self.channels.names().into_iter();
        names
            .map(|name| (name.clone(), outbox.queued(&name)))
            .collect()
    }

    /// Delivers until `stop` is set. What is under way then is told again by the next coordinator, under the same key.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let names = self.channels.names();
        if names.is_empty() {
            // What was queued for channels of another start waits for them: a command that only looks gives up nothing.
            return;
        }
        let mut under_way: JoinSet<(Delivery, Result<Receipt, Failure>)> = JoinSet::new();
        loop {
            let now = Timestamp::now();
            let expired = self.outbox().expire(&names, now);
            for update in expired {
                tracing::warn!(channel = %update.channel, "Messages of a channel that is not configured any more are given up.");
                self.keep(update, &stop).await;
            }
            let due = self.outbox().take_due(&names, now);
            for delivery in due {
                let Some(channel) = self.channels.get(&delivery.channel).cloned() else {
                    continue;
                };
                under_way.spawn(async move {
                    let outcome = deliver(&channel, &delivery.digest).await;
                    (delivery, outcome)
                });
            }
            let next = self.outbox().next_due(&names);
            let pause = next.map_or(LONGEST_SLEEP, |next| {
                let wait = next.duration_since(Timestamp::now());
                Duration::try_from(wait)
                    .unwrap_or_default()
                    .min(LONGEST_SLEEP)
            });
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = sleep(pause) => {}
                Some(ended) = under_way.join_next() => match ended {
                    Ok((delivery, outcome)) => self.ended(&delivery, outcome, &stop).await,
                    Err(error) => tracing::error!(%error, "A delivery ended badly; it is tried again after a restart."),
                },
            }
        }
    }

    async fn ended(
        &self,
        delivery: &Delivery,
        outcome: Result<Receipt, Failure>,
        stop: &CancellationToken,
    ) {
        let messages = delivery.digest.messages().len();
        let now = Timestamp::now();
        let update = match outcome {
            Ok(receipt) => {
                tracing::info!(channel = %receipt.channel, place = receipt.place, messages, digest = delivery.digest.key(), "Messages were told.");
                self.outbox().sent(delivery, now)
            }
            Err(failure) => {
                let update = self.outbox().failed(delivery, &failure, now);
                tracing::warn!(channel = %failure.channel, place = failure.place, messages, error = failure.line(), "Messages could not be told.");
                update
            }
        };
        let Some(update) = update else {
            return;
        };
        let (outcome, count) = match update.progress.state {
            State::Sent => ("sent", messages),
            State::Queued => ("failed", messages),
            State::GivenUp => {
                tracing::error!(channel = %update.channel, messages, "Messages are given up; a restart tries them once more.");
                ("given_up", messages)
            }
        };
        let counter = self
            .outcomes
            .get_or_create(&labels(&update.channel, outcome))
            .clone();
        counter.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        self.keep(update, stop).await;
    }

    /// Stores what became of a digest, however long that takes: what is told and not on record as told would be told twice.
    async fn keep(&self, update: Update, stop: &CancellationToken) {
        let record = [NightlyRecord::Delivery {
            channel: update.channel.to_string(),
            digest: update.digest,
            progress: stored_progress(&update.progress),
        }];
        while let Err(error) = self.store.nightly().save_nightly(&record).await {
            tracing::warn!(
                error = chain(&error),
                "What became of messages cannot be stored yet."
            );
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(STORE_PAUSE) => {}
            }
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Every change of it is whole.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn labels(channel: &ChannelName, outcome: &str) -> [(&'static str, String); 2] {
    [
        ("channel", channel.to_string()),
        ("outcome", outcome.to_owned()),
    ]
}

fn stored(row: &Row) -> StoredMessage {
    StoredMessage {
        channel: row.channel.to_string(),
        dedup_key: row.message.dedup_key.clone(),
        digest: row.digest.clone(),
        message: to_json(&row.message),
        queued_at: row.queued_at,
        progress: stored_progress(&row.progress),
    }
}

fn stored_progress(progress: &Progress) -> MessageProgress {
    MessageProgress {
        state: match progress.state {
            State::Queued => MessageState::Queued,
            State::Sent => MessageState::Sent,
            State::GivenUp => MessageState::GivenUp,
        },
        tries: progress.tries,
        next_try_at: progress.next_try_at,
        last_error: progress.last_error.clone(),
    }
}

fn row(stored: StoredMessage) -> Result<Row, StoreError> {
    Ok(Row {
        channel: ChannelName::new(stored.channel),
        digest: stored.digest,
        queued_at: stored.queued_at,
        message: from_json("message", &stored.message)?,
        progress: Progress {
            state: match stored.progress.state {
                MessageState::Queued => State::Queued,
                MessageState::Sent => State::Sent,
                MessageState::GivenUp => State::GivenUp,
            },
            tries: stored.progress.tries,
            next_try_at: stored.progress.next_try_at,
            last_error: stored.progress.last_error,
        },
    })
}
