//! The identities of the store in the process.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_identity::TokenId;
use batchstep_proto::ids::AgentId;

use super::Memory;
use crate::store::{
    Claimed, EnrolledAgent, IdentityStore, StoreError, StoredIdentities, StoredToken,
};

/// What is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    tokens: BTreeMap<TokenId, StoredToken>,
    agents: BTreeMap<AgentId, EnrolledAgent>,
    claims: BTreeMap<Claimed, AgentId>,
}

impl IdentityStore for Memory {
    async fn identities(&self) -> Result<StoredIdentities, StoreError> {
        let tables = self.tables();
        Ok(StoredIdentities {
            tokens: tables.identity.tokens.values().cloned().collect(),
            agents: tables.identity.agents.values().cloned().collect(),
            claims: tables.identity.claims.clone(),
        })
    }

    async fn save_token(&self, token: &StoredToken) -> Result<(), StoreError> {
        self.tables()
            .identity
            .tokens
            .insert(token.id, token.clone());
        Ok(())
    }

    async fn remove_tokens(&self, tokens: &[TokenId]) -> Result<(), StoreError> {
        let mut kept = self.tables();
        kept.identity.tokens.retain(|id, _| !tokens.contains(id));
        Ok(())
    }

    async fn save_agent(
        &self,
        agent: &EnrolledAgent,
        joined_with: Option<&StoredToken>,
    ) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let tables = &mut tables.identity;
        if let Some(token) = joined_with {
            tables.tokens.insert(token.id, token.clone());
        }
        tables.agents.insert(agent.agent, agent.clone());
        Ok(())
    }

    async fn save_claims(
        &self,
        agent: AgentId,
        claims: &BTreeSet<Claimed>,
    ) -> Result<(), StoreError> {
        let mut tables = self.tables();
        let kept = &mut tables.identity.claims;
        kept.retain(|_, holder| *holder != agent);
        kept.extend(claims.iter().map(|claimed| (claimed.clone(), agent)));
        Ok(())
    }
}
