//! Transactions that write. One that was begun and did not end with a commit takes its connection with it: after a write that failed, as on a full disk, SQLite
//! may have ended the transaction already, and what the driver believes of it cannot be trusted.

use std::ops::{Deref, DerefMut};

use sqlx::{Sqlite, SqliteConnection, SqlitePool, pool::PoolConnection};

/// A transaction on the connection that writes.
pub(super) struct WriteTransaction {
    connection: PoolConnection<Sqlite>,
    committed: bool,
}

impl WriteTransaction {
    /// Takes the connection and the file's lock. A transaction that begins by reading could find at its first write that another one was faster.
    pub(super) async fn begin(writer: &SqlitePool) -> Result<Self, sqlx::Error> {
        let mut connection = writer.acquire().await?;
        match sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut *connection)
            .await
        {
            Ok(_) => Ok(Self {
                connection,
                committed: false,
            }),
            Err(error) => {
                connection.close_on_drop();
                Err(error)
            }
        }
    }

    /// Puts everything on the disk.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("COMMIT").execute(&mut *self.connection).await?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if !self.committed {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for WriteTransaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}
