//! Group commit: inputs that wait share a commit, nothing is told before it, and one that fails is taken back as a whole.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/scripted.rs"]
mod scripted;
mod support;

use std::sync::{Arc, atomic::Ordering};

use batchstep_coordinator::engine::{self, Engine, EngineError, Session};
use batchstep_core::fleet::{Config, Disposition, Hello, Input, Record, SessionKey};
use batchstep_proto::{
    domain::{AttemptReport, DeviceSelector, HostFacts, Round, SweepSpec},
    ids::{AgentId, AttemptId, BootId, RequestId, RoundId, SweepId},
    wire::coordinator_message::Message,
};
use futures_util::future::join_all;
use scripted::Scripted;
use support::{block, device, plan, report, soon, spec};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A task over a store to order, with a device that has work.
struct Lab {
    store: Scripted,
    engine: Engine,
    agent: AgentId,
    session: Session,
    _stop: tokio_util::sync::DropGuard,
}

impl Lab {
    async fn new() -> Self {
        let store = Scripted::default();
        let stop = CancellationToken::new();
        let (engine, task) = engine::start(
            store.clone().into(),
            Config::default(),
            Arc::default(),
            CancellationToken::new(),
            stop.clone(),
        )
        .await
        .unwrap();
        tokio::spawn(task);
        let agent = AgentId::generate();
        let session = engine.open(hello(agent)).await.unwrap();
        let sweep = SweepSpec {
            devices: DeviceSelector::All,
            ..spec()
        };
        engine.submit(RequestId::generate(), sweep).await.unwrap();
        Self {
            store,
            engine,
            agent,
            session,
            _stop: stop.drop_guard(),
        }
    }

    /// The attempt that was given out, with its round.
    async fn assignment(&mut self) -> (AttemptId, Round) {
        loop {
            let message = soon("a message", self.session.messages.recv()).await;
            if let Some(Message::Assignment(assignment)) = message.unwrap().unwrap().message {
                let attempt = assignment.attempt_id.parse().unwrap();
                return (attempt, assignment.round.unwrap().try_into().unwrap());
            }
        }
    }

    fn report(
        &self,
        report: AttemptReport,
        digest: u8,
    ) -> JoinHandle<Result<Disposition, EngineError>> {
        let (engine, agent) = (self.engine.clone(), self.agent);
        tokio::spawn(async move { engine.report(agent, report, [digest; 32]).await })
    }

    fn commits(&self) -> usize {
        self.store.commits.lock().unwrap().len()
    }

    /// Waits until so many commits were begun.
    async fn begun(&self, commits: usize) {
        soon("a commit", async {
            while self.commits() < commits {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn hello(agent: AgentId) -> Hello {
    Hello {
        agent,
        boot: BootId::generate(),
        protocol: 1,
        host: HostFacts {
            logical_cores: Some(4),
            ..HostFacts::default()
        },
        devices: vec![device("CPU-1")],
        held: Vec::new(),
        draining: false,
    }
}

/// A part of an attempt with one block of its first visit.
fn part(attempt: AttemptId, round: &Round, number: u32) -> AttemptReport {
    let visit = round.visits[0];
    let mut block = block(0, visit.batch_size);
    block.role = visit.role;
    AttemptReport {
        blocks: vec![block],
        ..report(attempt, round, number, false)
    }
}

/// Lets everything that can run now run.
async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn inputs_that_wait_share_a_commit_and_nobody_is_answered_before_it() {
    let mut lab = Lab::new().await;
    let (attempt, round) = lab.assignment().await;
    let before = lab.commits();
    let disk = lab.store.before_commit.clone().lock_owned().await;
    let first = lab.report(part(attempt, &round, 0), 0);
    lab.begun(before + 1).await;
    let others: Vec<_> = (1..20)
        .map(|number| lab.report(part(attempt, &round, number), u8::try_from(number).unwrap()))
        .collect();
    settle().await;
    assert!(!first.is_finished());
    assert!(others.iter().all(|other| !other.is_finished()));
    assert_eq!(lab.commits(), before + 1);

    drop(disk);
    assert_eq!(
        soon("a receipt", first).await.unwrap(),
        Ok(Disposition::Accepted)
    );
    for other in soon("receipts", join_all(others)).await {
        assert_eq!(other.unwrap(), Ok(Disposition::Accepted));
    }
    let commits = lab.store.commits.lock().unwrap()[before..].to_vec();
    let sizes: Vec<usize> = commits.iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 19]);
}

#[tokio::test]
async fn a_report_that_comes_twice_at_once_counts_once() {
    let mut lab = Lab::new().await;
    let (attempt, round) = lab.assignment().await;
    // Of an attempt that nobody knows: only the store can tell whether it was there before.
    let stranger = AttemptId::of(RoundId::of(plan(SweepId::generate(), "x").id, 0), 0);
    let before = lab.commits();
    let disk = lab.store.before_commit.clone().lock_owned().await;
    let first = lab.report(part(attempt, &round, 0), 0);
    lab.begun(before + 1).await;
    let twice = [1, 2].map(|_| lab.report(part(attempt, &round, 1), 1));
    let strange = [1, 2].map(|_| lab.report(part(stranger, &round, 2), 2));
    settle().await;
    drop(disk);
    assert_eq!(
        soon("a receipt", first).await.unwrap(),
        Ok(Disposition::Accepted)
    );
    let mut answers = Vec::new();
    for answer in soon("receipts", join_all(twice.into_iter().chain(strange))).await {
        answers.push(answer.unwrap().unwrap());
    }
    assert_eq!(
        answers,
        [
            Disposition::Accepted,
            Disposition::Duplicate,
            Disposition::Quarantined,
            Disposition::Duplicate
        ]
    );
    let commits = lab.store.commits.lock().unwrap();
    let is_report = |record: &&Record| matches!(record, Record::Report { .. });
    assert_eq!(
        commits[before..].iter().flatten().filter(is_report).count(),
        3
    );
}

#[tokio::test]
async fn a_report_of_another_agent_does_not_spoil_the_commit_of_the_same_one_from_its_own() {
    let mut lab = Lab::new().await;
    let (attempt, round) = lab.assignment().await;
    let stranger = AgentId::generate();
    let same = part(attempt, &round, 0);
    let strange = lab.engine.report(stranger, same.clone(), [0; 32]).await;
    assert_eq!(strange, Ok(Disposition::Quarantined));
    assert_eq!(
        lab.report(same, 0).await.unwrap(),
        Ok(Disposition::Duplicate)
    );
    let next = lab.report(part(attempt, &round, 1), 1).await.unwrap();
    assert_eq!(next, Ok(Disposition::Accepted));
}

#[tokio::test]
async fn a_batch_that_cannot_be_committed_is_taken_back_as_a_whole() {
    let mut lab = Lab::new().await;
    let (attempt, round) = lab.assignment().await;
    let before = lab.commits();
    let disk = lab.store.before_commit.clone().lock_owned().await;
    let first = lab.report(part(attempt, &round, 0), 0);
    lab.begun(before + 1).await;
    let others = [1, 2]
        .map(|number| lab.report(part(attempt, &round, number), u8::try_from(number).unwrap()));
    settle().await;
    lab.store.full.store(true, Ordering::SeqCst);
    drop(disk);
    // All of them are told to try again, those whose commit failed as well as those that waited behind it.
    assert_eq!(first.await.unwrap(), Err(EngineError::StoreFailed));
    for other in soon("answers", join_all(others)).await {
        assert_eq!(other.unwrap(), Err(EngineError::StoreFailed));
    }
    assert!(
        soon("the session's end", async {
            lab.session.ended.cancelled().await;
            true
        })
        .await
    );

    lab.store.full.store(false, Ordering::SeqCst);
    // A message of a session that ended is no news, and does no harm.
    let old = SessionKey(lab.session.key.0);
    let accepted = Input::Accepted {
        session: old,
        attempt,
    };
    lab.engine.tell(accepted).await.unwrap();
    let again = soon("the state to come back", async {
        loop {
            match lab.report(part(attempt, &round, 1), 1).await.unwrap() {
                Err(EngineError::StoreFailed) => tokio::task::yield_now().await,
                other => return other,
            }
        }
    })
    .await;
    assert_eq!(again, Ok(Disposition::Accepted));
}
