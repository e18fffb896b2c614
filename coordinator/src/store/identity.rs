//! What a store keeps about who may speak to the coordinator: tokens, without their secrets, and the agents that were enrolled.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use batchstep_identity::{TokenId, TokenKind};
use batchstep_proto::ids::AgentId;
use jiff::Timestamp;

use super::StoreError;

/// The part of a [`Store`](super::Store) that keeps identities. One process at a time uses a store, so rows are written whole.
pub trait IdentityStore: Send + Sync + 'static {
    /// Everything that is known: what a coordinator begins with.
    fn identities(&self) -> impl Future<Output = Result<StoredIdentities, StoreError>> + Send;

    /// Keeps a token in place of its earlier row.
    fn save_token(
        &self,
        token: &StoredToken,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets tokens, all or none.
    fn remove_tokens(
        &self,
        tokens: &[TokenId],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps an agent in place of its earlier row, together with the token that it has used: both or nothing.
    fn save_agent(
        &self,
        agent: &EnrolledAgent,
        joined_with: Option<&StoredToken>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps what an agent reports for in place of what it did before, and takes it from whoever had it.
    fn save_claims(
        &self,
        agent: AgentId,
        claims: &BTreeSet<Claimed>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// All rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredIdentities {
    /// By id.
    pub tokens: Vec<StoredToken>,
    /// By id.
    pub agents: Vec<EnrolledAgent>,
    /// What is reported for by whom.
    pub claims: BTreeMap<Claimed, AgentId>,
}

/// Something that one enrolled agent at a time reports for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claimed {
    /// A host, by its machine id.
    Host(String),
    /// A device, by its id.
    Device(String),
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// Its id.
    pub id: TokenId,
    /// What it is good for.
    pub kind: TokenKind,
    /// Whose it is, for people.
    pub name: String,
    /// SHA-256 of its secret.
    pub digest: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How many agents may join with it; 0: it is no join token.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Taken back.
    pub revoked: bool,
    /// The agent to be enrolled again under its old id.
    pub agent: Option<AgentId>,
}

/// An agent that has, or had, a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolledAgent {
    /// Its id.
    pub agent: AgentId,
    /// As it called itself when it was enrolled.
    pub hostname: String,
    /// The token it joined with.
    pub token: TokenId,
    /// When it joined.
    pub enrolled_at: Timestamp,
    /// Of its newest certificate, in hexadecimal digits.
    pub serial: String,
    /// When that one ends.
    pub expires_at: Timestamp,
    /// Not welcome any more.
    pub revoked: Option<Revocation>,
    /// A person took it off the list, and it has not come back since: it holds neither its host nor its devices.
    pub removed: bool,
}

/// That an agent is not welcome any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Since when.
    pub at: Timestamp,
    /// Why, for its log.
    pub reason: String,
}
