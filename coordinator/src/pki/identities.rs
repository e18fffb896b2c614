//! Which tokens and agents are good: the store's rows, held in memory so that every call can be checked against them, and changed only together with
//! the store.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use batchstep_identity::{Token, TokenId, TokenKind};
use batchstep_proto::ids::AgentId;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::{Authority, IssuedCertificate, PkiError};
use crate::store::{EnrolledAgent, Revocation, Store, StoredIdentities, StoredToken};

mod claims;
mod endings;
mod refusals;

use claims::Claims;
pub(crate) use claims::{Foreign, Removal};
pub(crate) use refusals::TurnedAway;

/// Longest name of a token, characters.
const NAME_CHARACTERS: usize = 64;
/// Most agents that may join with one token: more than one at a time brings up.
const USES: u32 = 100_000;
/// Longest life of a token; so far ahead, somebody else looks after the lab.
const TTL: Duration = Duration::from_secs(10 * 366 * 86_400);

/// How long a token that has ended is still listed, so that somebody who looks for it learns what became of it.
const ENDED_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How often those that ended long ago are forgotten.
const PRUNE_INTERVAL: Duration = Duration::from_secs(86_400);

/// Who is known here.
pub struct Identities<S> {
    store: Arc<S>,
    authority: Option<Arc<Authority>>,
    /// False: everybody on this host may do everything.
    required: bool,
    certificate_lifetime: Duration,
    known: Mutex<Known>,
    /// Held from reading what is changed until the store has it, so that a token for one agent never brings in two.
    changing: tokio::sync::Mutex<()>,
    /// Grows when somebody is revoked.
    revocations: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    tokens: BTreeMap<TokenId, StoredToken>,
    agents: BTreeMap<AgentId, EnrolledAgent>,
    claims: Claims,
    /// Why agents were last turned away, if they have not been welcome since.
    refusals: BTreeMap<AgentId, TurnedAway>,
    /// The token of local operators: never stored, so that it ends with the process.
    local: Option<StoredToken>,
}

/// What a new token shall be good for.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What.
    pub kind: TokenKind,
    /// Whose it is, for people.
    pub name: String,
    /// How long.
    pub ttl: Duration,
    /// How many agents may join with it; 0 for other kinds.
    pub uses: u32,
    /// Join tokens only: the agent to be enrolled again under its old id.
    pub agent: Option<AgentId>,
}

impl<S> Identities<S> {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Every change is a single insertion.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> Identities<S> {
    /// On a store, asking nobody who they are; with `authority` tokens can be made for a time when they are asked.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn unguarded(store: Arc<S>, authority: Option<Authority>) -> Result<Self, PkiError> {
        Self::restore(store, authority.map(Arc::new), false, Duration::ZERO).await
    }

    /// On a store, asking everybody who they are. Certificates are issued for `certificate_lifetime`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn guarded(
        store: Arc<S>,
        authority: Arc<Authority>,
        certificate_lifetime: Duration,
    ) -> Result<Self, PkiError> {
        Self::restore(store, Some(authority), true, certificate_lifetime).await
    }

    async fn restore(
        store: Arc<S>,
        authority: Option<Arc<Authority>>,
        required: bool,
        certificate_lifetime: Duration,
    ) -> Result<Self, PkiError> {
        let StoredIdentities {
            tokens,
            agents,
            claims,
        } = store.identities().await?;
        let known = Known {
            tokens: tokens.into_iter().map(|token| (token.id, token)).collect(),
            agents: agents
                .into_iter()
                .map(|agent| (agent.agent, agent))
                .collect(),
            claims: Claims::from(claims),
            refusals: BTreeMap::new(),
            local: None,
        };
        Ok(Self {
            store,
            authority,
            required,
            certificate_lifetime,
            known: Mutex::new(known),
            changing: tokio::sync::Mutex::new(()),
            revocations: watch::Sender::new(0),
        })
    }

    /// True when everybody has to say who they are.
    pub(crate) const fn are_required(&self) -> bool {
        self.required
    }

    fn authority(&self) -> Result<&Authority, PkiError> {
        self.authority.as_deref().ok_or(PkiError::NoAuthority)
    }

    /// Makes a token; the answer is the one place where its secret is.
    ///
    /// # Errors
    /// When a field breaks a rule, there is no authority, or it cannot be recorded.
    pub async fn create_token(
        &self,
        wanted: NewToken,
        now: Timestamp,
    ) -> Result<(Token, StoredToken), PkiError> {
        let authority = self.authority()?;
        let (token, stored) = new_token(wanted, authority, now)?;
        let _change = self.changing.lock().await;
        if let Some(agent) = stored.agent {
            self.agent_to_enrol_again(agent)?;
        }
        self.store.save_token(&stored).await?;
        self.known().tokens.insert(stored.id, stored.clone());
        tracing::info!(token = %stored.id, kind = stored.kind.word(), name = stored.name, expires_at = %stored.expires_at, "A token was made.");
        Ok((token, stored))
    }

    /// A token for operators that ends with this process.
    ///
    /// # Errors
    /// When there is no authority, or no randomness.
    pub(crate) fn local_operator(&self, now: Timestamp) -> Result<Token, PkiError> {
        let wanted = NewToken {
            kind: TokenKind::Operator,
            name: "local".to_owned(),
            ttl: TTL,
            uses: 0,
            agent: None,
        };
        let (token, stored) = new_token(wanted, self.authority()?, now)?;
        self.known().local = Some(stored);
        Ok(token)
    }

    fn agent_to_enrol_again(&self, agent: AgentId) -> Result<(), PkiError> {
        match self.known().agents.get(&agent) {
            None => Err(no_agent(agent)),
            Some(enrolled) => still_welcome(enrolled),
        }
    }

    /// All tokens, newest first.
    pub fn tokens(&self) -> Vec<StoredToken> {
        let mut tokens: Vec<_> = self.known().tokens.values().cloned().collect();
        tokens.sort_by_key(|token| std::cmp::Reverse((token.created_at, token.id)));
        tokens
    }

    /// Forgets tokens that ended long ago, now and every day until `stop` is set.
    pub(crate) async fn keep_pruned(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PRUNE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            // The next time has them again.
            if let Err(error) = self.prune(Timestamp::now()).await {
                tracing::warn!(%error, "Tokens that ended long ago could not be forgotten.");
            }
        }
    }

    async fn prune(&self, now: Timestamp) -> Result<(), PkiError> {
        let _change = self.changing.lock().await;
        let is_old = |token: &StoredToken| now.duration_since(token.expires_at) > ENDED_KEPT;
        let old: Vec<TokenId> = {
            let known = self.known();
            let tokens = known.tokens.values().filter(|token| is_old(token));
            tokens.map(|token| token.id).collect()
        };
        if old.is_empty() {
            return Ok(());
        }
        self.store.remove_tokens(&old).await?;
        self.known().tokens.retain(|id, _| !old.contains(id));
        tracing::info!(
            tokens = old.len(),
            "Tokens that ended long ago were forgotten."
        );
        Ok(())
    }

    /// Takes a token back, at once.
    ///
    /// # Errors
    /// When there is none, or it cannot be recorded.
    pub async fn revoke_token(&self, id: TokenId) -> Result<(), PkiError> {
        let _change = self.changing.lock().await;
        let found = self.known().tokens.get(&id).cloned();
        let mut token = found.ok_or_else(|| PkiError::NotFound {
            what: "token",
            id: id.to_string(),
            list: "`batchstep token list`",
        })?;
        token.revoked = true;
        self.store.save_token(&token).await?;
        self.known().tokens.insert(id, token);
        self.revocations.send_modify(|count| *count += 1);
        tracing::info!(token = %id, "A token was revoked.");
        Ok(())
    }

    /// Takes an agent's certificates back, at once and for good; false when they were.
    ///
    /// # Errors
    /// When there is no such agent, or it cannot be recorded.
    pub async fn revoke_agent(
        &self,
        agent: AgentId,
        reason: String,
        now: Timestamp,
    ) -> Result<bool, PkiError> {
        let _change = self.changing.lock().await;
        let found = self.known().agents.get(&agent).cloned();
        let mut enrolled = found.ok_or_else(|| {
            if self.required {
                no_agent(agent)
            } else {
                PkiError::NotEnrolledHere(agent)
            }
        })?;
        if enrolled.revoked.is_some() {
            return Ok(false);
        }
        tracing::info!(%agent, reason, "An agent was revoked.");
        enrolled.revoked = Some(Revocation { at: now, reason });
        self.store.save_agent(&enrolled, None).await?;
        self.known().agents.insert(agent, enrolled);
        self.revocations.send_modify(|count| *count += 1);
        Ok(true)
    }

    /// Trades a join token for an identity.
    ///
    /// # Errors
    /// When the token is not good, the request is malformed, or it cannot be recorded.
    pub async fn enroll(
        &self,
        token: &Token,
        signing_request: &[u8],
        hostname: String,
        now: Timestamp,
    ) -> Result<(AgentId, IssuedCertificate), PkiError> {
        let authority = self.authority()?;
        let _change = self.changing.lock().await;
        let mut joining = self.good(token, now)?;
        if joining.kind != TokenKind::Join {
            return Err(PkiError::WrongKind(an(joining.kind)));
        }
        if joining.used >= joining.uses {
            return Err(PkiError::UsedToken);
        }
        let agent = match joining.agent {
            None => AgentId::generate(),
            Some(agent) => {
                self.agent_to_enrol_again(agent)?;
                agent
            }
        };
        let issued =
            authority.issue_agent(signing_request, agent, now, self.certificate_lifetime)?;
        joining.used += 1;
        let enrolled = EnrolledAgent {
            agent,
            hostname,
            token: joining.id,
            enrolled_at: now,
            serial: issued.serial.clone(),
            expires_at: issued.expires_at,
            revoked: None,
            removed: false,
        };
        self.store.save_agent(&enrolled, Some(&joining)).await?;
        tracing::info!(%agent, hostname = enrolled.hostname, token = %joining.id, expires_at = %issued.expires_at, "An agent was enrolled.");
        let mut known = self.known();
        known.tokens.insert(joining.id, joining);
        known.agents.insert(agent, enrolled);
        Ok((agent, issued))
    }

    /// A new certificate for an agent that has one.
    ///
    /// # Errors
    /// When it is not welcome any more, the request is malformed, or it cannot be recorded.
    pub async fn renew(
        &self,
        agent: AgentId,
        signing_request: &[u8],
        now: Timestamp,
    ) -> Result<IssuedCertificate, PkiError> {
        let authority = self.authority()?;
        let _change = self.changing.lock().await;
        let found = self.known().agents.get(&agent).cloned();
        let mut enrolled = found.ok_or(PkiError::UnknownAgent)?;
        still_welcome(&enrolled)?;
        let issued =
            authority.issue_agent(signing_request, agent, now, self.certificate_lifetime)?;
        enrolled.serial.clone_from(&issued.serial);
        enrolled.expires_at = issued.expires_at;
        self.store.save_agent(&enrolled, None).await?;
        self.known().agents.insert(agent, enrolled);
        tracing::info!(%agent, expires_at = %issued.expires_at, "An agent's certificate was renewed.");
        Ok(issued)
    }

    /// The certificate that is to be trusted.
    ///
    /// # Errors
    /// When there is no authority.
    pub fn authority_certificate(&self) -> Result<&CertificateDer<'static>, PkiError> {
        self.authority().map(Authority::certificate)
    }

    /// What a token is good for now.
    ///
    /// # Errors
    /// When it is good for nothing.
    pub(crate) fn check(&self, token: &Token, now: Timestamp) -> Result<TokenKind, PkiError> {
        self.good(token, now).map(|stored| stored.kind)
    }

    /// The row of a token that is proved and in its time.
    fn good(&self, token: &Token, now: Timestamp) -> Result<StoredToken, PkiError> {
        let known = self.known();
        let local = known.local.as_ref().filter(|local| local.id == token.id);
        let stored = local
            .or_else(|| known.tokens.get(&token.id))
            .filter(|stored| token.secret.has_digest(&stored.digest))
            .ok_or(PkiError::UnknownToken)?;
        if stored.revoked {
            return Err(PkiError::RevokedToken);
        }
        if now >= stored.expires_at {
            return Err(PkiError::ExpiredToken(stored.expires_at));
        }
        Ok(stored.clone())
    }

    /// Whether an agent with a good certificate may call.
    ///
    /// # Errors
    /// When it was revoked, or is not known.
    pub(crate) fn welcome(&self, agent: AgentId) -> Result<(), PkiError> {
        match self.known().agents.get(&agent) {
            None => Err(PkiError::UnknownAgent),
            Some(enrolled) => still_welcome(enrolled),
        }
    }
}

fn new_token(
    wanted: NewToken,
    authority: &Authority,
    now: Timestamp,
) -> Result<(Token, StoredToken), PkiError> {
    let invalid = |field, problem: String| Err(PkiError::Invalid { field, problem });
    let is_join = wanted.kind == TokenKind::Join;
    if wanted.name.chars().count() > NAME_CHARACTERS {
        return invalid("name", format!("more than {NAME_CHARACTERS} characters"));
    }
    if wanted.name.chars().any(char::is_control) {
        return invalid("name", "contains control characters".to_owned());
    }
    if wanted.name.trim().is_empty() && !is_join {
        return invalid("name", "is missing: whose token is it?".to_owned());
    }
    if wanted.ttl.is_zero() || wanted.ttl > TTL {
        return invalid(
            "ttl_ns",
            "must be more than nothing and at most ten years".to_owned(),
        );
    }
    if is_join && !(1..=USES).contains(&wanted.uses) {
        return invalid("uses", format!("must lie between 1 and {USES}"));
    }
    if !is_join && (wanted.uses != 0 || wanted.agent.is_some()) {
        return invalid("uses", "only join tokens have uses and an agent".to_owned());
    }
    if wanted.agent.is_some() && wanted.uses != 1 {
        return invalid("uses", "must be 1 where one agent is to join".to_owned());
    }
    let expires_at = now
        .checked_add(wanted.ttl)
        .map_err(|_| PkiError::Time(now))?;
    let token = Token::generate(wanted.kind, authority.fingerprint())
        .map_err(|_| PkiError::NoRandomness)?;
    let stored = StoredToken {
        id: token.id,
        kind: wanted.kind,
        name: wanted.name,
        digest: token.secret.digest(),
        created_at: now,
        expires_at,
        uses: wanted.uses,
        used: 0,
        revoked: false,
        agent: wanted.agent,
    };
    Ok((token, stored))
}

fn still_welcome(agent: &EnrolledAgent) -> Result<(), PkiError> {
    match &agent.revoked {
        None => Ok(()),
        Some(revocation) if revocation.reason.is_empty() => {
            Err(PkiError::RevokedAgent(String::new()))
        }
        Some(revocation) => Err(PkiError::RevokedAgent(format!(" ({})", revocation.reason))),
    }
}

fn no_agent(agent: AgentId) -> PkiError {
    PkiError::NotFound {
        what: "enrolled agent",
        id: agent.to_string(),
        list: "`batchstep agents list --all`",
    }
}

const fn an(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Join => "a join",
        TokenKind::Operator => "an operator",
        TokenKind::Monitor => "a monitor",
    }
}
