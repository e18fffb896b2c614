//! The tables of identities: a row is written whole, in place of its earlier form.

use std::collections::BTreeSet;

use batchstep_identity::{TokenId, TokenKind};
use batchstep_proto::ids::AgentId;
use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use super::{
    Sqlite,
    read::{corrupt, parsed, word},
    words::Word,
    write::WriteError,
};
use crate::store::{
    Claimed, EnrolledAgent, IdentityStore, Revocation, StoreError, StoredIdentities, StoredToken,
};

/// The kinds of claims, as the database says them.
const HOST: &str = "host";
const DEVICE: &str = "device";

type Tried<T> = Result<T, WriteError>;

impl IdentityStore for Sqlite {
    async fn identities(&self) -> Result<StoredIdentities, StoreError> {
        let read = async {
            let mut view = self.readers.begin().await?;
            let tokens = sqlx::query("SELECT * FROM identity_token ORDER BY id")
                .fetch_all(&mut *view)
                .await?;
            let agents = sqlx::query("SELECT * FROM identity_agent ORDER BY agent_id")
                .fetch_all(&mut *view)
                .await?;
            let claims = sqlx::query("SELECT * FROM identity_claim")
                .fetch_all(&mut *view)
                .await?;
            Ok(StoredIdentities {
                tokens: tokens.iter().map(stored_token).collect::<Tried<_>>()?,
                agents: agents.iter().map(enrolled_agent).collect::<Tried<_>>()?,
                claims: claims.iter().map(claim).collect::<Tried<_>>()?,
            })
        };
        read.await.map_err(|error: WriteError| self.failed(error))
    }

    async fn save_token(&self, token: &StoredToken) -> Result<(), StoreError> {
        let saved = async {
            let mut connection = self.writer.acquire().await?;
            write_token(&mut connection, token).await
        };
        saved.await.map_err(|error: WriteError| self.failed(error))
    }

    async fn remove_tokens(&self, tokens: &[TokenId]) -> Result<(), StoreError> {
        let removed = async {
            let mut transaction = self.begin_write().await?;
            for token in tokens {
                sqlx::query("DELETE FROM identity_token WHERE id = ?")
                    .bind(token.to_string())
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            Ok(())
        };
        removed
            .await
            .map_err(|error: WriteError| self.failed(error))
    }

    async fn save_agent(
        &self,
        agent: &EnrolledAgent,
        joined_with: Option<&StoredToken>,
    ) -> Result<(), StoreError> {
        let saved = async {
            let mut transaction = self.begin_write().await?;
            if let Some(token) = joined_with {
                write_token(&mut transaction, token).await?;
            }
            write_agent(&mut transaction, agent).await?;
            transaction.commit().await?;
            Ok(())
        };
        saved.await.map_err(|error: WriteError| self.failed(error))
    }

    async fn save_claims(
        &self,
        agent: AgentId,
        claims: &BTreeSet<Claimed>,
    ) -> Result<(), StoreError> {
        let saved = async {
            let mut transaction = self.begin_write().await?;
            let holder = agent.to_string();
            sqlx::query("DELETE FROM identity_claim WHERE agent_id = ?")
                .bind(&holder)
                .execute(&mut *transaction)
                .await?;
            for claimed in claims {
                let (kind, name) = match claimed {
                    Claimed::Host(machine_id) => (HOST, machine_id),
                    Claimed::Device(id) => (DEVICE, id),
                };
                sqlx::query(
                    "INSERT OR REPLACE INTO identity_claim (kind, name, agent_id) VALUES (?, ?, ?)",
                )
                .bind(kind)
                .bind(name)
                .bind(&holder)
                .execute(&mut *transaction)
                .await?;
            }
            transaction.commit().await?;
            Ok(())
        };
        saved.await.map_err(|error: WriteError| self.failed(error))
    }
}

async fn write_token(db: &mut SqliteConnection, token: &StoredToken) -> Tried<()> {
    sqlx::query(
        "INSERT OR REPLACE INTO identity_token (id, kind, name, digest, created_at, expires_at, uses, used, revoked, agent_id) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(token.id.to_string())
    .bind(Word::word(token.kind))
    .bind(&token.name)
    .bind(token.digest.as_slice())
    .bind(token.created_at.to_string())
    .bind(token.expires_at.to_string())
    .bind(token.uses)
    .bind(token.used)
    .bind(token.revoked)
    .bind(token.agent.map(|agent| agent.to_string()))
    .execute(db)
    .await?;
    Ok(())
}

async fn write_agent(db: &mut SqliteConnection, agent: &EnrolledAgent) -> Tried<()> {
    let revoked = agent.revoked.as_ref();
    sqlx::query(
        "INSERT OR REPLACE INTO identity_agent (agent_id, hostname, token_id, enrolled_at, serial, expires_at, revoked_at, revoked_for, removed) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(agent.agent.to_string())
    .bind(&agent.hostname)
    .bind(agent.token.to_string())
    .bind(agent.enrolled_at.to_string())
    .bind(&agent.serial)
    .bind(agent.expires_at.to_string())
    .bind(revoked.map(|revocation| revocation.at.to_string()))
    .bind(revoked.map_or("", |revocation| &revocation.reason))
    .bind(agent.removed)
    .execute(db)
    .await?;
    Ok(())
}

fn stored_token(row: &SqliteRow) -> Tried<StoredToken> {
    let digest: &[u8] = row.try_get("digest")?;
    let agent: Option<&str> = row.try_get("agent_id")?;
    Ok(StoredToken {
        id: parsed("token id", row.try_get("id")?)?,
        kind: word::<TokenKind>(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        digest: digest
            .try_into()
            .map_err(|error| corrupt("digest of a token", &error))?,
        created_at: parsed("time of a token", row.try_get("created_at")?)?,
        expires_at: parsed("end of a token", row.try_get("expires_at")?)?,
        uses: row.try_get("uses")?,
        used: row.try_get("used")?,
        revoked: row.try_get("revoked")?,
        agent: agent.map(|id| parsed("agent id", id)).transpose()?,
    })
}

fn enrolled_agent(row: &SqliteRow) -> Tried<EnrolledAgent> {
    let revoked_at: Option<&str> = row.try_get("revoked_at")?;
    let revoked = revoked_at
        .map(|at| {
            Ok::<_, WriteError>(Revocation {
                at: parsed("time of a revocation", at)?,
                reason: row.try_get("revoked_for")?,
            })
        })
        .transpose()?;
    Ok(EnrolledAgent {
        agent: parsed("agent id", row.try_get("agent_id")?)?,
        hostname: row.try_get("hostname")?,
        token: parsed("token id", row.try_get("token_id")?)?,
        enrolled_at: parsed("time of an enrolment", row.try_get("enrolled_at")?)?,
        serial: row.try_get("serial")?,
        expires_at: parsed("end of a certificate", row.try_get("expires_at")?)?,
        revoked,
        removed: row.try_get("removed")?,
    })
}

fn claim(row: &SqliteRow) -> Tried<(Claimed, AgentId)> {
    let name: String = row.try_get("name")?;
    let claimed = match row.try_get("kind")? {
        HOST => Claimed::Host(name),
        DEVICE => Claimed::Device(name),
        other => {
            return Err(corrupt(
                "kind of a claim",
                &format!("unknown word {other:?}"),
            ));
        }
    };
    Ok((claimed, parsed("agent id", row.try_get("agent_id")?)?))
}
