//! The store on disk: one SQLite file in the data directory, in WAL mode, synced at every commit.
//!
//! `write` puts records into a transaction, sorted by `changes`, `read` brings them back, `inventory`, `nightly`, `identity` and `retention` do both for their tables, `blocks` and `words` hold how
//! values are written, `copy` is for backups. The schema and the meaning of every column is in `coordinator/migrations`.

mod blocks;
mod changes;
mod copy;
mod identity;
mod inventory;
mod nightly;
mod read;
mod retention;
mod transaction;
mod words;
mod write;

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use batchstep_core::fleet::{
    Disposition, Record, Restriction, SeriesSnapshot, StoredRound, SweepSnapshot,
};
use batchstep_proto::ids::{AgentId, AttemptId, RequestId, SeriesId, SweepId};
use jiff::Timestamp;
use sqlx::{
    Row as _, Sqlite as Driver, SqliteConnection, SqlitePool, Transaction,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use self::{
    read::{Which, WhichRounds, parsed, word},
    transaction::WriteTransaction,
    write::WriteError,
};
use super::{
    ModelLimits, Models, ReadRound, Store, StoreError, StoredEvent, StoredHistory, StoredSweep,
    data_dir::DataDir,
};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a statement waits for another process that holds the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections that read, beside the one that writes.
const READERS: u32 = 3;
/// Rows on their way from a reading connection's thread: enough that the two seldom wait for each other.
const ROWS_AHEAD: usize = 256;
/// What the writing connection keeps of the file in memory, KiB: the inner pages of its indexes, whose keys come in no order.
const WRITER_CACHE_KIB: u32 = 32 << 10;
/// Pages of the write-ahead log after which it is copied into the database, 16 MiB: a page that many commits change is copied once, and the commit
/// that copies takes some tens of milliseconds.
const CHECKPOINT_PAGES: u32 = 4096;

/// A store in a data directory.
#[derive(Debug)]
pub struct Sqlite {
    /// A single connection, so that writers wait for each other here and not in the file's lock.
    writer: SqlitePool,
    readers: SqlitePool,
    path: PathBuf,
    models: Models,
    /// Held as long as the connections may write.
    _directory: DataDir,
}

impl Sqlite {
    /// Opens the store in `directory`, which is made when it is absent, and brings its schema up to date.
    ///
    /// # Errors
    /// When the directory cannot be used, another coordinator uses it, or a newer batchstep wrote it.
    pub async fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with(directory, ModelLimits::default()).await
    }

    /// The same with another room for models.
    ///
    /// # Errors
    /// As [`Sqlite::open`].
    pub async fn open_with(directory: &Path, limits: ModelLimits) -> Result<Self, StoreError> {
        let directory = DataDir::open(directory)?;
        let path = directory.database();
        let models = Models::open(&directory.models(), limits)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // A report is acknowledged only when it is on the disk.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let failed = |source| StoreError::Database {
            path: path.clone(),
            source,
        };
        // A connection is a thread of this process: there is nothing to test before it is used.
        let pool = || SqlitePoolOptions::new().test_before_acquire(false);
        let writing = options
            .clone()
            .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string());
        let writer = pool()
            .max_connections(1)
            .connect_with(writing)
            .await
            .map_err(failed)?;
        let readers = pool()
            .max_connections(READERS)
            .connect_with(options.row_buffer_size(ROWS_AHEAD))
            .await
            .map_err(failed)?;
        let store = Self {
            writer,
            readers,
            path,
            models,
            _directory: directory,
        };
        let mut connection = store
            .writer
            .acquire()
            .await
            .map_err(|error| store.failed(error))?;
        refuse_newer_schema(&mut connection, &store.path).await?;
        drop(connection);
        MIGRATIONS
            .run(&store.writer)
            .await
            .map_err(|source| StoreError::Migrate {
                path: store.path.clone(),
                source: Box::new(source),
            })?;
        Ok(store)
    }

    /// Ends all connections and leaves a single file behind.
    pub async fn close(self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// One consistent view of the file for several queries.
    async fn snapshot(&self) -> Result<Transaction<'static, Driver>, StoreError> {
        self.readers
            .begin()
            .await
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<WriteError>) -> StoreError {
        match error.into() {
            WriteError::Sqlx(source) if is_damage(&source) => StoreError::Corrupt {
                what: "row",
                problem: source.to_string(),
            },
            WriteError::Sqlx(source) => StoreError::Database {
                path: self.path.clone(),
                source,
            },
            WriteError::Store(error) => error,
        }
    }

    async fn write_all(&self, at: Timestamp, records: &[Record]) -> Result<Vec<u64>, WriteError> {
        let mut transaction = self.begin_write().await?;
        let seqs = write::records(&mut transaction, at, records).await?;
        transaction.commit().await?;
        Ok(seqs)
    }

    async fn begin_write(&self) -> Result<WriteTransaction, sqlx::Error> {
        WriteTransaction::begin(&self.writer).await
    }

    /// The number in the file's header that SQLite leaves to its users, and nobody uses: writing it takes the lock, a page of the log and a sync.
    async fn write_probe(&self) -> Result<(), WriteError> {
        let mut transaction = self.begin_write().await?;
        sqlx::query("PRAGMA user_version = 1")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// True of a value or a page that will be no better the next time it is read.
fn is_damage(error: &sqlx::Error) -> bool {
    /// SQLite's SQLITE_CORRUPT and SQLITE_NOTADB (<https://sqlite.org/rescode.html>).
    const DAMAGED: [&str; 2] = ["11", "26"];
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| DAMAGED.contains(&&*code)),
        _ => false,
    }
}

/// What the state machine wants of rounds.
fn stored(rounds: Vec<ReadRound>) -> Vec<StoredRound> {
    rounds.into_iter().map(|round| round.stored).collect()
}

async fn refuse_newer_schema(db: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Database {
        path: path.into(),
        source,
    };
    let known = MIGRATIONS
        .iter()
        .map(|step| step.version)
        .max()
        .unwrap_or(0);
    let exists = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'")
        .fetch_optional(&mut *db)
        .await
        .map_err(failed)?;
    if exists.is_none() {
        return Ok(());
    }
    let found: Option<i64> = sqlx::query("SELECT MAX(version) FROM _sqlx_migrations")
        .fetch_one(&mut *db)
        .await
        .and_then(|row| row.try_get(0))
        .map_err(failed)?;
    match found {
        Some(found) if found > known => Err(StoreError::NewerSchema {
            path: path.into(),
            found,
            known,
        }),
        _ => Ok(()),
    }
}

impl Store for Sqlite {
    type Nightly = Self;

    fn nightly(&self) -> &Self {
        self
    }

    async fn commit(&self, at: Timestamp, records: &[Record]) -> Result<Vec<u64>, StoreError> {
        self.write_all(at, records)
            .await
            .map_err(|error| self.failed(error))
    }

    async fn open_sweeps(&self) -> Result<Vec<SweepSnapshot>, StoreError> {
        let mut view = self.snapshot().await?;
        let sweeps = read::sweeps(&mut view, &Which::Open)
            .await
            .map_err(|error| self.failed(error))?;
        let mut snapshots = Vec::with_capacity(sweeps.len());
        for sweep in sweeps {
            let mut rounds = read::rounds(&mut view, sweep.stored.id, &WhichRounds::Open)
                .await
                .map_err(|error| self.failed(error))?;
            let series = sweep.stored.series.into_iter().map(|one| SeriesSnapshot {
                rounds_done: one.summary.rounds_done,
                open: stored(rounds.remove(&one.plan.id).unwrap_or_default()),
                plan: one.plan,
                state: one.state,
                message: one.message,
            });
            snapshots.push(SweepSnapshot {
                id: sweep.stored.id,
                request: sweep.request,
                spec: sweep.stored.spec,
                state: sweep.stored.state,
                series: series.collect(),
            });
        }
        Ok(snapshots)
    }

    async fn ended_rounds(
        &self,
        sweep: SweepId,
        ordinals: RangeInclusive<u32>,
    ) -> Result<BTreeMap<SeriesId, Vec<StoredRound>>, StoreError> {
        let mut view = self.snapshot().await?;
        let rounds = read::rounds(&mut view, sweep, &WhichRounds::Ended(ordinals))
            .await
            .map_err(|error| self.failed(error))?;
        let rounds = rounds.into_iter();
        Ok(rounds.map(|(id, rounds)| (id, stored(rounds))).collect())
    }

    async fn sweeps(&self) -> Result<Vec<StoredSweep>, StoreError> {
        let mut view = self.snapshot().await?;
        let sweeps = read::sweeps(&mut view, &Which::All)
            .await
            .map_err(|error| self.failed(error))?;
        Ok(sweeps.into_iter().rev().map(|sweep| sweep.stored).collect())
    }

    async fn sweep(&self, sweep: SweepId) -> Result<Option<StoredSweep>, StoreError> {
        let mut view = self.snapshot().await?;
        let mut sweeps = read::sweeps(&mut view, &Which::One(sweep))
            .await
            .map_err(|error| self.failed(error))?;
        Ok(sweeps.pop().map(|sweep| sweep.stored))
    }

    async fn histories(&self, sweep: Option<SweepId>) -> Result<Vec<StoredHistory>, StoreError> {
        let mut view = self.snapshot().await?;
        retention::histories(&mut view, &sweep.map_or(Which::All, Which::One), None)
            .await
            .map_err(|error| self.failed(error))
    }

    async fn find_request(&self, request: RequestId) -> Result<Option<SweepId>, StoreError> {
        let row = sqlx::query("SELECT id FROM sweep WHERE request_id = ?")
            .bind(request.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| self.failed(error))?;
        row.map(|row| parsed("sweep id", row.try_get("id")?))
            .transpose()
            .map_err(|error: WriteError| self.failed(error))
    }

    async fn report_known(
        &self,
        attempt: AttemptId,
        digest: &[u8; 32],
    ) -> Result<Option<Disposition>, StoreError> {
        let row = sqlx::query("SELECT disposition FROM report WHERE attempt_id = ? AND digest = ?")
            .bind(attempt.to_string())
            .bind(digest.as_slice())
            .fetch_optional(&self.readers)
            .await
            .map_err(|error| self.failed(error))?;
        row.map(|row| word(row.try_get("disposition")?))
            .transpose()
            .map_err(|error: WriteError| self.failed(error))
    }

    async fn events_after(
        &self,
        seq: u64,
        sweep: Option<SweepId>,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let after = i64::try_from(seq).unwrap_or(i64::MAX);
        let mut view = self.snapshot().await?;
        read::events(&mut view, after, sweep, limit)
            .await
            .map_err(|error| self.failed(error))
    }

    async fn restrictions(&self) -> Result<BTreeMap<AgentId, Restriction>, StoreError> {
        let rows = sqlx::query(
            "SELECT agent_id, hostname, drain_reason, cordon_reason FROM agent_restriction",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(|error| self.failed(error))?;
        rows.into_iter()
            .map(|row| {
                let restriction = Restriction {
                    hostname: row.try_get("hostname")?,
                    drain: row.try_get("drain_reason")?,
                    cordon: row.try_get("cordon_reason")?,
                };
                Ok((parsed("agent id", row.try_get("agent_id")?)?, restriction))
            })
            .collect::<Result<_, WriteError>>()
            .map_err(|error| self.failed(error))
    }

    async fn last_seq(&self) -> Result<u64, StoreError> {
        let last: i64 = sqlx::query("SELECT COALESCE(MAX(seq), 0) FROM event")
            .fetch_one(&self.readers)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.failed(error))?;
        Ok(last.cast_unsigned())
    }

    fn models(&self) -> &Models {
        &self.models
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.write_probe().await.map_err(|error| self.failed(error))
    }
}
