//! The store on disk: one SQLite file in the data directory, in WAL mode, synced at every commit.
//!
//! `write` puts records into a transaction, `read` brings them back, `inventory` does both for its tables, `words` holds the vocabulary, `copy` is for backups. The schema and the meaning of every column
//! is in `coordinator/migrations`.

mod copy;
mod inventory;
mod read;
mod words;
mod write;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use batchstep_core::fleet::{Disposition, Record, SeriesSnapshot, SweepSnapshot};
use batchstep_proto::ids::{AttemptId, RequestId, SweepId};
use jiff::Timestamp;
use sqlx::{
    Row as _, Sqlite as Driver, SqliteConnection, SqlitePool, Transaction,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use self::{
    read::{Which, parsed, word},
    write::WriteError,
};
use super::{
    ModelLimits, Models, Store, StoreError, StoredEvent, StoredHistory, StoredSweep,
    data_dir::DataDir, history,
};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a statement waits for another process that holds the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// One connection writes at a time; the others read meanwhile.
const CONNECTIONS: u32 = 4;

/// A store in a data directory.
#[derive(Debug)]
pub struct Sqlite {
    pool: SqlitePool,
    path: PathBuf,
    models: Models,
    /// Held as long as the pool may write.
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
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Database {
                path: path.clone(),
                source,
            })?;
        let store = Self {
            pool,
            path,
            models,
            _directory: directory,
        };
        let mut connection = store
            .pool
            .acquire()
            .await
            .map_err(|error| store.failed(error))?;
        refuse_newer_schema(&mut connection, &store.path).await?;
        drop(connection);
        MIGRATIONS
            .run(&store.pool)
            .await
            .map_err(|source| StoreError::Migrate {
                path: store.path.clone(),
                source: Box::new(source),
            })?;
        Ok(store)
    }

    /// Ends all connections and leaves a single file behind.
    pub async fn close(self) {
        self.pool.close().await;
    }

    /// One consistent view of the file for several queries.
    async fn snapshot(&self) -> Result<Transaction<'static, Driver>, StoreError> {
        self.pool.begin().await.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: impl Into<WriteError>) -> StoreError {
        match error.into() {
            WriteError::Sqlx(source) => StoreError::Database {
                path: self.path.clone(),
                source,
            },
            WriteError::Store(error) => error,
        }
    }

    async fn write_all(&self, at: Timestamp, records: &[Record]) -> Result<Vec<u64>, WriteError> {
        // A transaction that begins by reading could find at its first write that another one was faster.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let mut seqs = Vec::new();
        for record in records {
            seqs.extend(write::record(&mut transaction, at, record).await?);
        }
        transaction.commit().await?;
        Ok(seqs)
    }

    /// The number in the file's header that SQLite leaves to its users, and nobody uses: writing it takes the lock, a page of the log and a sync.
    async fn write_probe(&self) -> Result<(), WriteError> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("PRAGMA user_version = 1")
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
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
            let mut series = Vec::with_capacity(sweep.stored.series.len());
            for one in sweep.stored.series {
                let rounds = read::rounds(&mut view, &one.plan)
                    .await
                    .map_err(|error| self.failed(error))?;
                series.push(SeriesSnapshot {
                    plan: one.plan,
                    state: one.state,
                    message: one.message,
                    rounds: rounds.into_iter().map(|round| round.stored).collect(),
                });
            }
            snapshots.push(SweepSnapshot {
                id: sweep.stored.id,
                request: sweep.request,
                spec: sweep.stored.spec,
                state: sweep.stored.state,
                series,
            });
        }
        Ok(snapshots)
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
        let sweeps = read::sweeps(&mut view, &sweep.map_or(Which::All, Which::One))
            .await
            .map_err(|error| self.failed(error))?;
        let mut histories = Vec::new();
        for series in sweeps.into_iter().flat_map(|sweep| sweep.stored.series) {
            let rounds = read::rounds(&mut view, &series.plan)
                .await
                .map_err(|error| self.failed(error))?;
            histories.push(history(series, rounds));
        }
        Ok(histories)
    }

    async fn find_request(&self, request: RequestId) -> Result<Option<SweepId>, StoreError> {
        let row = sqlx::query("SELECT id FROM sweep WHERE request_id = ?")
            .bind(request.to_string())
            .fetch_optional(&self.pool)
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
            .fetch_optional(&self.pool)
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

    async fn last_seq(&self) -> Result<u64, StoreError> {
        let last: i64 = sqlx::query("SELECT COALESCE(MAX(seq), 0) FROM event")
            .fetch_one(&self.pool)
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
