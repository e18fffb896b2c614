//! The identities of the scripted store are those of the store in memory below it.

use batchstep_coordinator::store::{
    EnrolledAgent, IdentityStore, StoreError, StoredIdentities, StoredToken,
};

use super::Scripted;

impl IdentityStore for Scripted {
    async fn identities(&self) -> Result<StoredIdentities, StoreError> {
        self.store.identities().await
    }

    async fn save_token(&self, token: &StoredToken) -> Result<(), StoreError> {
        self.store.save_token(token).await
    }

    async fn save_agent(
        &self,
        agent: &EnrolledAgent,
        joined_with: Option<&StoredToken>,
    ) -> Result<(), StoreError> {
        self.store.save_agent(agent, joined_with).await
    }
}
