//! The identities of the store in the process.

use std::collections::BTreeMap;

use batchstep_identity::TokenId;
use batchstep_proto::ids::AgentId;

use super::Memory;
use crate::store::{EnrolledAgent, IdentityStore, StoreError, StoredIdentities, StoredToken};

/// What is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    tokens: BTreeMap<TokenId, StoredToken>,
    agents: BTreeMap<AgentId, EnrolledAgent>,
}

impl IdentityStore for Memory {
    async fn identities(&self) -> Result<StoredIdentities, StoreError> {
        let tables = self.tables();
        Ok(StoredIdentities {
            tokens: tables.identity.tokens.values().cloned().collect(),
            agents: tables.identity.agents.values().cloned().collect(),
        })
    }

    async fn save_token(&self, token: &StoredToken) -> Result<(), StoreError> {
        self.tables()
            .identity
            .tokens
            .insert(token.id, token.clone());
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
}
