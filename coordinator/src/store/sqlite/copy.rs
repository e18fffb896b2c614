//! Copies of a database that is in use, whether a copy is whole, and whether a coordinator could begin with a database. Needs no lock on the data
//! directory: the coordinator goes on writing meanwhile.

use std::{fs::File, io, path::Path};

use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions,
};

use super::{BUSY_TIMEOUT, Sqlite, StoreError, refuse_newer_schema};
use crate::store::data_dir::{DATABASE, DataDir};

impl Sqlite {
    /// Writes a copy of the database `from`, as it is at one moment, to `to`, where there is nothing yet. A coordinator may be writing to it: in WAL mode
    /// neither waits for the other.
    ///
    /// # Errors
    /// When the one cannot be read, or the other cannot be written.
    pub async fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::Database {
            path: from.into(),
            source,
        };
        let mut db = open(from, false).await?;
        // Also leaves out what was deleted. The order of rows is kept, and every number that a row is known by.
        sqlx::query("VACUUM INTO ?")
            .bind(to.to_string_lossy().into_owned())
            .execute(&mut db)
            .await
            .map_err(failed)?;
        db.close().await.map_err(failed)
    }

    /// Whether a data directory could be at this place, without making anything: false where this user may not make or write it, and another one might.
    ///
    /// # Errors
    /// When nobody could.
    pub fn check_place(data_dir: &Path) -> Result<bool, StoreError> {
        DataDir::check(data_dir)
    }

    /// Whether a coordinator could begin with the database in this data directory, as far as that can be told without making or writing anything, and by somebody who may
    /// have less rights than the coordinator: false where the database could not be looked at.
    ///
    /// # Errors
    /// When it could not.
    pub async fn check_directory(data_dir: &Path) -> Result<bool, StoreError> {
        let path = data_dir.join(DATABASE);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(_) => return Ok(false),
            Ok(_) => {}
        }
        // What the version is written in never changes while a coordinator runs.
        let mut db = open(&path, true).await?;
        refuse_newer_schema(&mut db, &path).await?;
        let closed = db.close().await;
        closed.map_err(|source| StoreError::Database { path, source })?;
        Ok(true)
    }

    /// Reads all of a database that nobody uses: whether it is whole, and of a schema that this build knows.
    ///
    /// # Errors
    /// When it is not.
    pub async fn check(path: &Path) -> Result<(), StoreError> {
        let failed = |source| StoreError::Database {
            path: path.into(),
            source,
        };
        let mut db = open(path, true).await?;
        for question in ["PRAGMA integrity_check(1)", "PRAGMA foreign_key_check"] {
            let found = sqlx::query(question)
                .fetch_optional(&mut db)
                .await
                .map_err(failed)?;
            let Some(row) = found else { continue };
            let problem: String = row.try_get(0).map_err(failed)?;
            if problem != "ok" {
                return Err(StoreError::Damaged {
                    path: path.into(),
                    problem,
                });
            }
        }
        refuse_newer_schema(&mut db, path).await?;
        db.close().await.map_err(failed)
    }
}

/// `at_rest`: nobody writes to it, so no file is made beside it.
async fn open(path: &Path, at_rest: bool) -> Result<SqliteConnection, StoreError> {
    SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(at_rest)
        .busy_timeout(BUSY_TIMEOUT)
        .connect()
        .await
        .map_err(|source| StoreError::Database {
            path: path.into(),
            source,
        })
}
