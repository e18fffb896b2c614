//! Which host and which devices an enrolled agent reports for: whoever said so first, as long as it is enrolled. The services ask before they believe a
//! hello, a heartbeat or an inventory; where nobody is asked who they are everything is believed.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_core::{fleet::Enrolled, inventory};
use batchstep_proto::{
    domain::{Device, DeviceKind},
    ids::AgentId,
    limits,
};
use jiff::Timestamp;

use super::{Identities, Known};
use crate::{
    pki::PkiError,
    store::{Claimed, EnrolledAgent, Store},
};

/// What is reported for by whom.
#[derive(Debug, Default)]
pub(super) struct Claims {
    holders: BTreeMap<Claimed, AgentId>,
    by_agent: BTreeMap<AgentId, BTreeSet<Claimed>>,
}

impl From<BTreeMap<Claimed, AgentId>> for Claims {
    fn from(holders: BTreeMap<Claimed, AgentId>) -> Self {
        let mut by_agent: BTreeMap<AgentId, BTreeSet<Claimed>> = BTreeMap::new();
        for (claimed, agent) in &holders {
            by_agent.entry(*agent).or_default().insert(claimed.clone());
        }
        Self { holders, by_agent }
    }
}

impl Claims {
    fn of(&self, agent: AgentId) -> BTreeSet<Claimed> {
        self.by_agent.get(&agent).cloned().unwrap_or_default()
    }

    /// Puts an agent's claims in place of its earlier ones, and takes them from whoever had them.
    fn set(&mut self, agent: AgentId, claims: BTreeSet<Claimed>) {
        for given_up in self.by_agent.remove(&agent).into_iter().flatten() {
            self.holders.remove(&given_up);
        }
        for claimed in &claims {
            let before = self.holders.insert(claimed.clone(), agent);
            if let Some(theirs) = before.and_then(|before| self.by_agent.get_mut(&before)) {
                theirs.remove(claimed);
            }
        }
        self.by_agent.insert(agent, claims);
    }
}

/// What becomes of devices that an agent has and does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unnamed {
    /// They stay its own.
    Kept,
    /// They are given up: it said which ones it has.
    GivenUp,
}

/// A device that an agent offers and another one has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Foreign {
    pub device: Device,
    /// Whose it is.
    pub holder: AgentId,
}

/// What an agent is found to report for.
struct Found {
    claims: BTreeSet<Claimed>,
    /// Devices that are others', with whose.
    foreign: BTreeMap<String, AgentId>,
    /// There is something to write.
    is_news: bool,
}

impl Known {
    /// Whoever else has it, and is there to have it.
    fn another(&self, claimed: &Claimed, agent: AgentId, now: Timestamp) -> Option<&EnrolledAgent> {
        let holder = self
            .claims
            .holders
            .get(claimed)
            .filter(|it| **it != agent)?;
        let holder = self.agents.get(holder)?;
        let holds = holder.revoked.is_none() && !holder.removed && now < holder.expires_at;
        holds.then_some(holder)
    }

    /// What an agent on this host with these devices reports for.
    fn look(
        &self,
        agent: AgentId,
        host: Option<Claimed>,
        devices: &[Device],
        unnamed: Unnamed,
        now: Timestamp,
    ) -> Found {
        let before = self.claims.of(agent);
        let mut claims = before.clone();
        if host.is_some() {
            claims.retain(|claimed| matches!(claimed, Claimed::Device(_)));
        }
        if unnamed == Unnamed::GivenUp {
            claims.retain(|claimed| matches!(claimed, Claimed::Host(_)));
        }
        claims.extend(host);
        let mut foreign = BTreeMap::new();
        // As many as an agent can have, and its host; what is offered beyond that the fleet does not take either.
        let room = limits::DEVICES_PER_AGENT + 1;
        for device in devices {
            let claimed = Claimed::Device(device.id.clone());
            if let Some(holder) = self.another(&claimed, agent, now) {
                foreign.insert(device.id.clone(), holder.agent);
            } else if claims.len() < room {
                claims.insert(claimed);
            }
        }
        let is_back = self.agents.get(&agent).is_some_and(|it| it.removed);
        Found {
            is_news: is_back || claims != before,
            claims,
            foreign,
        }
    }

    /// The claim of an agent to a host; `None` where the host has no machine id.
    ///
    /// # Errors
    /// When the host is another agent's.
    fn host(
        &self,
        agent: AgentId,
        machine_id: &str,
        now: Timestamp,
    ) -> Result<Option<Claimed>, PkiError> {
        let anothers = |holder: AgentId, hostname: &str| {
            Err(PkiError::AnothersHost {
                machine_id: machine_id.to_owned(),
                agent,
                holder,
                hostname: hostname.to_owned(),
            })
        };
        // The inventory's name for the host of an agent that has no machine id.
        match inventory::agent_of_machine(machine_id) {
            _ if machine_id.is_empty() => return Ok(None),
            Some(own) if own == agent => return Ok(None),
            Some(other) => return anothers(other, "without a machine id"),
            None => {}
        }
        let claimed = Claimed::Host(machine_id.to_owned());
        match self.another(&claimed, agent, now) {
            Some(holder) => anothers(holder.agent, &holder.hostname),
            None => Ok(Some(claimed)),
        }
    }
}

impl<S: Store> Identities<S> {
    /// Holds an agent that says hello to its own host and its own devices: those of others are taken out of `devices` and handed back, and those that it
    /// has no more are free for others.
    ///
    /// # Errors
    /// When the host is another agent's, or it cannot be recorded.
    pub(crate) async fn greet(
        &self,
        agent: AgentId,
        machine_id: &str,
        devices: &mut Vec<Device>,
        now: Timestamp,
    ) -> Result<Vec<Foreign>, PkiError> {
        // Without any GPU it may be that its driver has not come up yet.
        let unnamed = if devices.iter().any(|it| it.kind != DeviceKind::Cpu) {
            Unnamed::GivenUp
        } else {
            Unnamed::Kept
        };
        self.claim(agent, machine_id, devices, unnamed, now).await
    }

    /// Holds an agent to its own host.
    ///
    /// # Errors
    /// When it is another agent's, or it cannot be recorded.
    pub(crate) async fn claim_host(
        &self,
        agent: AgentId,
        machine_id: &str,
        now: Timestamp,
    ) -> Result<(), PkiError> {
        self.claim(agent, machine_id, &mut Vec::new(), Unnamed::Kept, now)
            .await
            .map(drop)
    }

    /// Takes others' devices out of what an agent offers besides those that it named before, and hands them back.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub(crate) async fn claim_devices(
        &self,
        agent: AgentId,
        devices: &mut Vec<Device>,
        now: Timestamp,
    ) -> Result<Vec<Foreign>, PkiError> {
        self.claim(agent, "", devices, Unnamed::Kept, now).await
    }

    async fn claim(
        &self,
        agent: AgentId,
        machine_id: &str,
        devices: &mut Vec<Device>,
        unnamed: Unnamed,
        now: Timestamp,
    ) -> Result<Vec<Foreign>, PkiError> {
        if !self.are_required() {
            return Ok(Vec::new());
        }
        let look = |known: &Known| {
            let host = known.host(agent, machine_id, now)?;
            Ok::<_, PkiError>(known.look(agent, host, devices, unnamed, now))
        };
        let mut found = look(&self.known())?;
        if found.is_news {
            let _change = self.changing.lock().await;
            // Somebody may have been faster.
            found = look(&self.known())?;
            self.keep_claims(agent, &found.claims).await?;
        }
        let foreign = devices.extract_if(.., |device| found.foreign.contains_key(&device.id));
        Ok(foreign
            .map(|device| Foreign {
                holder: found.foreign[&device.id],
                device,
            })
            .collect())
    }

    /// Writes what an agent reports for; the caller holds `changing`.
    async fn keep_claims(
        &self,
        agent: AgentId,
        claims: &BTreeSet<Claimed>,
    ) -> Result<(), PkiError> {
        self.store.save_claims(agent, claims).await?;
        self.known().claims.set(agent, claims.clone());
        let enrolled = self.known().agents.get(&agent).cloned();
        if let Some(mut enrolled) = enrolled.filter(|enrolled| enrolled.removed) {
            enrolled.removed = false;
            self.store.save_agent(&enrolled, None).await?;
            self.known().agents.insert(agent, enrolled);
        }
        Ok(())
    }

    /// What is on record of an agent, for the fleet; `None`: it was never enrolled.
    pub(crate) fn enrolment(&self, agent: AgentId) -> Option<Enrolled> {
        let known = self.known();
        let enrolled = known.agents.get(&agent)?;
        let claims = known.claims.by_agent.get(&agent).into_iter().flatten();
        let devices = claims.filter_map(|claimed| match claimed {
            Claimed::Device(device) => Some(device.clone()),
            Claimed::Host(_) => None,
        });
        Some(Enrolled {
            hostname: enrolled.hostname.clone(),
            devices: devices.collect(),
        })
    }

    /// True of an agent whose certificates were taken back.
    pub(crate) fn is_revoked(&self, agent: AgentId) -> bool {
        let known = self.known();
        let enrolled = known.agents.get(&agent);
        enrolled.is_some_and(|enrolled| enrolled.revoked.is_some())
    }

    /// Every agent that was ever enrolled, newest first, with the machine id of its host.
    pub(crate) fn enrolled(&self) -> Vec<(EnrolledAgent, Option<String>)> {
        let known = self.known();
        let with_host = known.agents.values().map(|enrolled| {
            let claims = known.claims.by_agent.get(&enrolled.agent);
            let machine_id = claims
                .into_iter()
                .flatten()
                .find_map(|claimed| match claimed {
                    Claimed::Host(machine_id) => Some(machine_id.clone()),
                    Claimed::Device(_) => None,
                });
            (enrolled.clone(), machine_id)
        });
        let mut agents: Vec<_> = with_host.collect();
        agents.sort_by_key(|(agent, _)| std::cmp::Reverse((agent.enrolled_at, agent.agent)));
        agents
    }

    /// Notes that a person took an agent off the list: its host and its devices are free until it comes back. It may have come since the fleet let go of it, and
    /// `is_back` then says so: nobody else gets what it has before that is known.
    ///
    /// # Errors
    /// When it cannot be recorded; then it is not removed.
    pub(crate) async fn remove_agent(
        &self,
        agent: AgentId,
        is_back: impl Future<Output = bool> + Send,
    ) -> Result<Removal, PkiError> {
        let _change = self.changing.lock().await;
        let Some(before) = self.known().agents.get(&agent).cloned() else {
            return Ok(Removal::NotEnrolled);
        };
        let mut removed = before.clone();
        removed.removed = true;
        // Whoever says hello from here on sees it, and waits to take it back.
        self.known().agents.insert(agent, removed.clone());
        let outcome = if is_back.await {
            Ok(Removal::IsBack)
        } else {
            let saved = self.store.save_agent(&removed, None).await;
            saved.map(|()| Removal::Done)
        };
        if !matches!(outcome, Ok(Removal::Done)) {
            self.known().agents.insert(agent, before);
        }
        Ok(outcome?)
    }
}

/// What came of taking an agent off the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is off.
    Done,
    /// It has said hello again: nothing was changed.
    IsBack,
    /// It was never enrolled.
    NotEnrolled,
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use batchstep_identity::TokenKind;
    use rcgen::{CertificateParams, KeyPair};
    use tokio::task::yield_now;

    use super::*;
    use crate::{
        pki::{Authority, NewToken},
        store::{IdentityStore as _, Memory},
    };

    const DAY: Duration = Duration::from_secs(86_400);

    async fn enrolled(identities: &Identities<Memory>) -> AgentId {
        let now = Timestamp::now();
        let wanted = NewToken {
            kind: TokenKind::Join,
            name: String::new(),
            ttl: DAY,
            uses: 1,
            agent: None,
        };
        let (token, _) = identities.create_token(wanted, now).await.unwrap();
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default()
            .serialize_request(&key)
            .unwrap();
        let joined = identities.enroll(&token, request.der(), "host".to_owned(), now);
        joined.await.unwrap().0
    }

    /// As one that says hello.
    async fn greet(identities: &Identities<Memory>, agent: AgentId) -> Result<(), PkiError> {
        let (mut devices, now) = (Vec::new(), Timestamp::now());
        let greeted = identities.greet(agent, "m-1", &mut devices, now);
        greeted.await.map(drop)
    }

    /// The fleet lets an agent go first, and it may say hello before that is on record.
    #[tokio::test]
    async fn nobody_gets_what_a_removed_agent_has_that_is_back_already() {
        for is_back in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let authority = Authority::open(folder.path(), Timestamp::now()).unwrap();
            let store = Arc::new(Memory::new());
            let guarded = Identities::guarded(Arc::clone(&store), Arc::new(authority), DAY);
            let identities = Arc::new(guarded.await.unwrap());
            let (first, second) = (enrolled(&identities).await, enrolled(&identities).await);
            greet(&identities, first).await.unwrap();
            let others = Arc::clone(&identities);
            let (ask, asked) = tokio::sync::oneshot::channel::<()>();
            let other = tokio::spawn(async move {
                asked.await.unwrap();
                greet(&others, second).await
            });
            let look = async {
                ask.send(()).unwrap();
                // It gets as far as it can.
                for _ in 0..100 {
                    yield_now().await;
                }
                is_back
            };
            let removal = identities.remove_agent(first, look).await.unwrap();
            assert_eq!(removal == Removal::IsBack, is_back);
            let other = other.await.unwrap();
            assert_eq!(other.is_ok(), !is_back, "{other:?}");
            let stored = store.identities().await.unwrap().agents.into_iter();
            let mut stored = stored.filter(|stored| stored.agent == first);
            assert_eq!(stored.next().unwrap().removed, !is_back);
            let listed = identities.enrolled().into_iter();
            let mut listed = listed.filter(|(listed, _)| listed.agent == first);
            assert_eq!(listed.next().unwrap().0.removed, !is_back);
        }
    }
}
