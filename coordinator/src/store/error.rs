//! What can go wrong with the store, each with the path and what to do about it.

use std::{io, path::PathBuf};

/// The store cannot do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory cannot be made.
    #[error("cannot create the data directory {path}; choose another with --data-dir")]
    CreateDirectory {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// There is something else in its place.
    #[error("the data directory {path} is not a directory; choose another with --data-dir")]
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// Its files cannot be written.
    #[error(
        "cannot write in the data directory {path}; make it writable for this user, or choose another with --data-dir"
    )]
    Unwritable {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another coordinator uses it.
    #[error(
        "another coordinator uses the data directory {path}; stop it first, or choose another with --data-dir"
    )]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// A newer batchstep wrote it.
    #[error(
        "the database {path} has schema version {found}, this batchstep knows {known}; run the newer batchstep that wrote it, or choose another directory with --data-dir"
    )]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest of this build.
        known: i64,
    },
    /// The schema cannot be brought up to date.
    #[error(
        "cannot bring the database {path} up to date; it is unchanged: restore it from a backup, or choose another directory with --data-dir"
    )]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<sqlx::migrate::MigrateError>,
    },
    /// The database refuses: a full disk, a lock held for too long, a broken file.
    #[error("the database {path} failed")]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The file is damaged.
    #[error("the database {path} is damaged: {problem}; use another backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite finds first.
        problem: String,
    },
    /// A stored value cannot be read back.
    #[error("the database holds a {what} that cannot be read: {problem}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A record does not fit what is stored.
    #[error("cannot record a change of {what}, which is not stored")]
    Dangling {
        /// What is missing.
        what: String,
    },
    /// A record is stored already.
    #[error("{what} is stored already")]
    Conflict {
        /// What.
        what: String,
    },
}
