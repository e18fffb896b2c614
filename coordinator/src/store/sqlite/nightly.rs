//! The tables of nights: a row is written whole, in place of its earlier form.

use jiff::Timestamp;
use sqlx::{
    QueryBuilder, Row as _, Sqlite as Driver, SqliteConnection,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};

use super::{
    Sqlite,
    read::{corrupt, parsed, word},
    words::Word as _,
    write::WriteError,
};
use crate::store::{
    Acknowledgement, AlarmsWanted, BookKind, MessageProgress, MessageState, NewAction, NightState,
    NightlyRecord, NightlyStore, NightsWanted, StoreError, StoredAction, StoredAlarm, StoredBook,
    StoredMessage, StoredNight, StoredNightSeries, StoredSchedule,
};

type Tried<T> = Result<T, WriteError>;

impl NightlyStore for Sqlite {
    async fn save_nightly(&self, records: &[NightlyRecord]) -> Result<(), StoreError> {
        let saved = async {
            let mut transaction = self.begin_write().await?;
            for record in records {
                write(&mut transaction, record).await?;
            }
            transaction.commit().await?;
            Ok(())
        };
        saved.await.map_err(|error: WriteError| self.failed(error))
    }

    async fn schedules(&self) -> Result<Vec<StoredSchedule>, StoreError> {
        self.nightly_rows(
            sqlx::query("SELECT * FROM schedule ORDER BY name"),
            schedule,
        )
        .await
    }

    async fn nights(&self, wanted: &NightsWanted) -> Result<Vec<StoredNight>, StoreError> {
        let mut query: QueryBuilder<Driver> = QueryBuilder::new("SELECT * FROM night WHERE TRUE");
        if let Some(schedule) = &wanted.schedule {
            query.push(" AND schedule = ").push_bind(schedule);
        }
        if let Some(number) = wanted.number {
            query.push(" AND number = ").push_bind(number);
        }
        if let Some(date) = &wanted.date {
            query.push(" AND date = ").push_bind(date);
        }
        if wanted.under_way {
            // In the words of the index.
            query.push(" AND state IN ('measuring', 'again')");
        }
        // The nights of one schedule are in the order of their numbers, whatever the clock showed.
        query.push(match wanted.schedule {
            Some(_) => " ORDER BY number DESC LIMIT ",
            None => " ORDER BY planned_at DESC, number DESC LIMIT ",
        });
        query.push_bind(wanted.limit);
        self.nightly_rows(query.build(), night).await
    }

    async fn last_night(&self, schedule: &str) -> Result<u32, StoreError> {
        sqlx::query("SELECT COALESCE(MAX(number), 0) FROM night WHERE schedule = ?")
            .bind(schedule)
            .fetch_one(&self.readers)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.failed(error))
    }

    async fn night_series(
        &self,
        schedule: &str,
        first: u32,
        last: u32,
    ) -> Result<Vec<StoredNightSeries>, StoreError> {
        let query = sqlx::query(
            "SELECT * FROM night_series WHERE schedule = ? AND night BETWEEN ? AND ? ORDER BY night, series",
        )
        .bind(schedule)
        .bind(first)
        .bind(last);
        self.nightly_rows(query, night_series).await
    }

    async fn books(&self, schedule: &str) -> Result<Vec<StoredBook>, StoreError> {
        let query = sqlx::query("SELECT * FROM nightly_book WHERE schedule = ? ORDER BY kind, key")
            .bind(schedule);
        self.nightly_rows(query, book).await
    }

    async fn alarms(&self, wanted: &AlarmsWanted) -> Result<Vec<StoredAlarm>, StoreError> {
        // Whoever names alarms means them, whatever else they are; of the others most are over, and few are asked for.
        let is_named = wanted.ids.is_some();
        let query = sqlx::query(
            "SELECT * FROM alarm WHERE (?1 IS NULL OR schedule = ?1) AND (?2 OR resolved_at IS NULL) ORDER BY id",
        )
        .bind(wanted.schedule.as_deref().filter(|_| !is_named))
        .bind(is_named || wanted.since.is_some());
        let mut alarms = self.nightly_rows(query, alarm).await?;
        alarms.retain(|alarm| wanted.admits(alarm));
        Ok(alarms)
    }

    async fn last_alarm(&self) -> Result<u64, StoreError> {
        let last: i64 = sqlx::query("SELECT COALESCE(MAX(id), 0) FROM alarm")
            .fetch_one(&self.readers)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.failed(error))?;
        Ok(last.cast_unsigned())
    }

    async fn actions(&self, limit: u32) -> Result<Vec<StoredAction>, StoreError> {
        let query =
            sqlx::query("SELECT * FROM nightly_action ORDER BY seq DESC LIMIT ?").bind(limit);
        self.nightly_rows(query, action).await
    }

    async fn messages(&self, since: Timestamp) -> Result<Vec<StoredMessage>, StoreError> {
        // Times are written in full, so that they sort as text within a second and before the year 10000.
        let query = sqlx::query(
            "SELECT * FROM message WHERE state = 'queued' OR queued_at >= ? ORDER BY channel, dedup_key",
        )
        .bind(since.to_string());
        self.nightly_rows(query, message).await
    }
}

impl Sqlite {
    async fn nightly_rows<T>(
        &self,
        query: Query<'_, Driver, SqliteArguments>,
        read: fn(&SqliteRow) -> Tried<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = query.fetch_all(&self.readers).await;
        let rows = rows.map_err(|error| self.failed(error))?;
        let rows: Tried<Vec<T>> = rows.iter().map(read).collect();
        rows.map_err(|error| self.failed(error))
    }
}

async fn write(db: &mut SqliteConnection, record: &NightlyRecord) -> Tried<()> {
    match record {
        NightlyRecord::Schedule(row) => write_schedule(db, row).await,
        NightlyRecord::ScheduleRemoved(name) => {
            for statement in [
                "DELETE FROM schedule WHERE name = ?",
                "DELETE FROM nightly_book WHERE schedule = ?",
            ] {
                sqlx::query(statement).bind(name).execute(&mut *db).await?;
            }
            Ok(())
        }
        NightlyRecord::Night(row) => write_night(db, row).await,
        NightlyRecord::Series(row) => {
            let query = sqlx::query(
                "INSERT OR REPLACE INTO night_series (schedule, night, series, about, observation, verdicts) VALUES (?, ?, ?, ?, ?, ?)",
            );
            let query = query.bind(&row.schedule).bind(row.night).bind(&row.series);
            let query = query
                .bind(&row.about)
                .bind(&row.observation)
                .bind(&row.verdicts);
            query.execute(db).await?;
            Ok(())
        }
        NightlyRecord::Book(row) => {
            let query = sqlx::query(
                "INSERT OR REPLACE INTO nightly_book (schedule, kind, key, book) VALUES (?, ?, ?, ?)",
            );
            let query = query
                .bind(&row.schedule)
                .bind(row.kind.word())
                .bind(&row.key);
            query.bind(&row.book).execute(db).await?;
            Ok(())
        }
        NightlyRecord::BookRemoved {
            schedule,
            kind,
            key,
        } => {
            let query =
                sqlx::query("DELETE FROM nightly_book WHERE schedule = ? AND kind = ? AND key = ?");
            let query = query.bind(schedule).bind(kind.word()).bind(key);
            query.execute(db).await?;
            Ok(())
        }
        NightlyRecord::Alarm(row) => write_alarm(db, row).await,
        NightlyRecord::Action(action) => write_action(db, action).await,
        NightlyRecord::Message(row) => write_message(db, row).await,
        NightlyRecord::Delivery {
            channel,
            digest,
            progress,
        } => {
            let query = sqlx::query(
                "UPDATE message SET state = ?, tries = ?, next_try_at = ?, last_error = ? WHERE channel = ? AND digest = ?",
            );
            let query = query.bind(progress.state.word()).bind(progress.tries);
            let query = query
                .bind(progress.next_try_at.to_string())
                .bind(&progress.last_error);
            query.bind(channel).bind(digest).execute(db).await?;
            Ok(())
        }
    }
}

async fn write_schedule(db: &mut SqliteConnection, row: &StoredSchedule) -> Tried<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO schedule (name, cron, time_zone, definition, enabled, created_at, settled_until) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&row.name)
    .bind(&row.cron)
    .bind(&row.time_zone)
    .bind(&row.definition)
    .bind(row.enabled)
    .bind(row.created_at.to_string())
    .bind(row.settled_until.to_string())
    .execute(db)
    .await?;
    Ok(())
}

async fn write_night(db: &mut SqliteConnection, row: &StoredNight) -> Tried<()> {
    // Not REPLACE, which would delete the row that its series refer to.
    sqlx::query(
        "INSERT INTO night (schedule, number, date, planned_at, started_at, finished_at, state, note, life, summary)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (schedule, number) DO UPDATE SET date = excluded.date, planned_at = excluded.planned_at,
             started_at = excluded.started_at, finished_at = excluded.finished_at, state = excluded.state, note = excluded.note,
             life = excluded.life, summary = excluded.summary",
    )
    .bind(&row.schedule)
    .bind(row.number)
    .bind(&row.date)
    .bind(row.planned_at.to_string())
    .bind(row.started_at.map(|at| at.to_string()))
    .bind(row.finished_at.map(|at| at.to_string()))
    .bind(row.state.word())
    .bind(&row.note)
    .bind(&row.life)
    .bind(&row.summary)
    .execute(db)
    .await?;
    Ok(())
}

async fn write_alarm(db: &mut SqliteConnection, row: &StoredAlarm) -> Tried<()> {
    let (resolved_at, resolved_by) = match &row.resolved {
        Some((at, by)) => (Some(at.to_string()), Some(by)),
        None => (None, None),
    };
    let acknowledged = row.acknowledged.as_ref();
    sqlx::query(
        "INSERT OR REPLACE INTO alarm (id, schedule, subject, kind, night, opened_at, detail, resolved_at, resolved_by,
             acknowledged_at, acknowledged_by, acknowledged_reason, is_right)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(row.id.cast_signed())
    .bind(&row.schedule)
    .bind(&row.subject)
    .bind(&row.kind)
    .bind(row.night)
    .bind(row.opened_at.to_string())
    .bind(&row.detail)
    .bind(resolved_at)
    .bind(resolved_by)
    .bind(acknowledged.map(|it| it.at.to_string()))
    .bind(acknowledged.map(|it| &it.by))
    .bind(acknowledged.map(|it| &it.reason))
    .bind(row.is_right)
    .execute(db)
    .await?;
    Ok(())
}

async fn write_action(db: &mut SqliteConnection, action: &NewAction) -> Tried<()> {
    sqlx::query(
        "INSERT INTO nightly_action (at, user, caller, action, schedule, alarm, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(action.at.to_string())
    .bind(&action.user)
    .bind(&action.caller)
    .bind(&action.action)
    .bind(&action.schedule)
    .bind(action.alarm.map(u64::cast_signed))
    .bind(&action.reason)
    .execute(db)
    .await?;
    Ok(())
}

async fn write_message(db: &mut SqliteConnection, row: &StoredMessage) -> Tried<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO message (channel, dedup_key, digest, message, state, queued_at, tries, next_try_at, last_error)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&row.channel)
    .bind(&row.dedup_key)
    .bind(&row.digest)
    .bind(&row.message)
    .bind(row.progress.state.word())
    .bind(row.queued_at.to_string())
    .bind(row.progress.tries)
    .bind(row.progress.next_try_at.to_string())
    .bind(&row.progress.last_error)
    .execute(db)
    .await?;
    Ok(())
}

fn time(row: &SqliteRow, column: &str) -> Tried<Timestamp> {
    parsed("time", row.try_get(column)?)
}

fn optional_time(row: &SqliteRow, column: &str) -> Tried<Option<Timestamp>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| parsed("time", text)).transpose()
}

fn schedule(row: &SqliteRow) -> Tried<StoredSchedule> {
    Ok(StoredSchedule {
        name: row.try_get("name")?,
        cron: row.try_get("cron")?,
        time_zone: row.try_get("time_zone")?,
        definition: row.try_get("definition")?,
        enabled: row.try_get("enabled")?,
        created_at: time(row, "created_at")?,
        settled_until: time(row, "settled_until")?,
    })
}

fn night(row: &SqliteRow) -> Tried<StoredNight> {
    Ok(StoredNight {
        schedule: row.try_get("schedule")?,
        number: row.try_get("number")?,
        date: row.try_get("date")?,
        planned_at: time(row, "planned_at")?,
        started_at: optional_time(row, "started_at")?,
        finished_at: optional_time(row, "finished_at")?,
        state: word::<NightState>(row.try_get("state")?)?,
        note: row.try_get("note")?,
        life: row.try_get("life")?,
        summary: row.try_get("summary")?,
    })
}

fn night_series(row: &SqliteRow) -> Tried<StoredNightSeries> {
    Ok(StoredNightSeries {
        schedule: row.try_get("schedule")?,
        night: row.try_get("night")?,
        series: row.try_get("series")?,
        about: row.try_get("about")?,
        observation: row.try_get("observation")?,
        verdicts: row.try_get("verdicts")?,
    })
}

fn book(row: &SqliteRow) -> Tried<StoredBook> {
    Ok(StoredBook {
        schedule: row.try_get("schedule")?,
        kind: word::<BookKind>(row.try_get("kind")?)?,
        key: row.try_get("key")?,
        book: row.try_get("book")?,
    })
}

fn alarm(row: &SqliteRow) -> Tried<StoredAlarm> {
    let resolved_by: Option<String> = row.try_get("resolved_by")?;
    let acknowledged = match optional_time(row, "acknowledged_at")? {
        Some(at) => Some(Acknowledgement {
            at,
            by: row.try_get("acknowledged_by")?,
            reason: row.try_get("acknowledged_reason")?,
        }),
        None => None,
    };
    Ok(StoredAlarm {
        id: count(row, "id")?,
        schedule: row.try_get("schedule")?,
        subject: row.try_get("subject")?,
        kind: row.try_get("kind")?,
        night: row.try_get("night")?,
        opened_at: time(row, "opened_at")?,
        detail: row.try_get("detail")?,
        resolved: optional_time(row, "resolved_at")?.zip(resolved_by),
        acknowledged,
        is_right: row.try_get("is_right")?,
    })
}

fn action(row: &SqliteRow) -> Tried<StoredAction> {
    let alarm: Option<i64> = row.try_get("alarm")?;
    Ok(StoredAction {
        seq: count(row, "seq")?,
        action: NewAction {
            at: time(row, "at")?,
            user: row.try_get("user")?,
            caller: row.try_get("caller")?,
            action: row.try_get("action")?,
            schedule: row.try_get("schedule")?,
            alarm: alarm.map(i64::cast_unsigned),
            reason: row.try_get("reason")?,
        },
    })
}

fn message(row: &SqliteRow) -> Tried<StoredMessage> {
    Ok(StoredMessage {
        channel: row.try_get("channel")?,
        dedup_key: row.try_get("dedup_key")?,
        digest: row.try_get("digest")?,
        message: row.try_get("message")?,
        queued_at: time(row, "queued_at")?,
        progress: MessageProgress {
            state: word::<MessageState>(row.try_get("state")?)?,
            tries: row.try_get("tries")?,
            next_try_at: time(row, "next_try_at")?,
            last_error: row.try_get("last_error")?,
        },
    })
}

fn count(row: &SqliteRow, column: &'static str) -> Tried<u64> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|error| corrupt(column, &error))
}
