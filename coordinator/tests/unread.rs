//! A coordinator that serves while what was measured before its start is still being read back.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "support/scripted.rs"]
mod scripted;
mod support;

use std::{sync::atomic::Ordering, time::Duration};

use batchstep_coordinator::store::{Memory, Sqlite, Store, StoreError};
use batchstep_proto::{
    domain::{AttemptReport, BatchSizes, SweepSpec},
    ids::RequestId,
    wire::{
        self, agent_message, agent_service_client::AgentServiceClient, held_attempt,
        report_attempt_response::Disposition,
    },
};
use scripted::{Failure, Scripted};
use support::{AGENT, Agent, Coordinator, device, hello, measured, soon, spec};
use tempfile::TempDir;
use tokio::{sync::OwnedMutexGuard, task::JoinHandle};
use tonic::{Code, Status};

const READING: &str = "what it measured before the coordinator started is still being read back";

/// A sweep on one device after a restart: its probe is over, and its first round but for a block that comes late; two more are out, and nothing is read back.
struct Lab<S> {
    store: Scripted<S>,
    coordinator: Coordinator,
    sweep: String,
    /// Of the first round: the report that ended it, and the part that was overtaken.
    reported: wire::AttemptReport,
    late: wire::AttemptReport,
    /// Blocks on record.
    before: u32,
    /// What the agent holds.
    out: [wire::Assignment; 2],
    /// Until it is dropped no history is read.
    disk: OwnedMutexGuard<()>,
}

impl<S: Store> Lab<S> {
    async fn new(store: S) -> Self {
        let store = Scripted::over(store);
        let coordinator = Coordinator::start(store.clone()).await;
        let mut agent = Agent::connect(&coordinator, "CPU-1").await;
        let sweep = submit(&coordinator).await;
        // Nothing is known beside a probe.
        let probe = agent.assignment().await.unwrap();
        agent.work(&probe).await;
        let first = agent.assignment().await.unwrap();
        agent.accept(&first).await;
        let second = agent.assignment().await.unwrap();
        let (reported, late) = torn(measured(&first));
        let receipt = agent.report(reported.clone()).await.unwrap();
        assert_eq!(receipt, Disposition::Accepted);
        agent.accept(&second).await;
        let third = agent.assignment().await.unwrap();
        agent.accept(&third).await;
        let before = series(&coordinator, &sweep).await[0].blocks;
        coordinator.stop().await;

        let disk = store.before_reading.clone().lock_owned().await;
        let coordinator = Coordinator::start(store.clone()).await;
        Self {
            store,
            coordinator,
            sweep,
            reported,
            late,
            before,
            out: [second, third],
            disk,
        }
    }

    /// The agent, come back with what it holds.
    async fn agent(&self) -> Agent {
        let held = self.out.iter().map(|out| wire::HeldAttempt {
            attempt_id: out.attempt_id.clone(),
            state: held_attempt::State::Running as i32,
        });
        let hello = wire::AgentHello {
            held: held.collect(),
            ..hello("CPU-1")
        };
        connect(&self.coordinator, hello).await
    }

    /// Sends the part that was overtaken, and waits for its receipt beside the test.
    async fn send_late(&self) -> JoinHandle<Result<Disposition, Status>> {
        let mut client = AgentServiceClient::new(self.coordinator.channel().await);
        let request = wire::ReportAttemptRequest {
            agent_id: AGENT.to_owned(),
            digest: AttemptReport::digest(&self.late).to_vec(),
            report: Some(self.late.clone()),
        };
        tokio::spawn(async move {
            let receipt = client.report_attempt(request).await?;
            Ok(receipt.into_inner().disposition())
        })
    }

    async fn series(&self) -> Vec<wire::Series> {
        series(&self.coordinator, &self.sweep).await
    }

    /// Waits until the reading has begun so often.
    async fn reads(&self, times: usize) {
        soon("a reading", async {
            while self.store.readings.lock().unwrap().len() < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

async fn connect(coordinator: &Coordinator, hello: wire::AgentHello) -> Agent {
    let hello = agent_message::Message::Hello(hello);
    Agent::try_connect(coordinator, hello).await.unwrap()
}

/// Submits a sweep of several rounds.
async fn submit(coordinator: &Coordinator) -> String {
    let long = SweepSpec {
        batch_sizes: BatchSizes::Listed((1..=128).collect()),
        budget: Duration::from_secs(600),
        ..spec()
    };
    let request = wire::SubmitSweepRequest {
        request_id: RequestId::generate().to_string(),
        spec: Some(long.into()),
    };
    let mut operator = coordinator.operator().await;
    let answer = operator.submit_sweep(request).await.unwrap().into_inner();
    answer.sweep_id
}

async fn series(coordinator: &Coordinator, sweep: &str) -> Vec<wire::Series> {
    let request = wire::GetSweepRequest {
        sweep_id: sweep.to_owned(),
    };
    let mut operator = coordinator.operator().await;
    let answer = operator.get_sweep(request).await.unwrap().into_inner();
    answer.sweep.unwrap().series
}

/// A report without its last block, and that block as a part of its own.
fn torn(mut report: wire::AttemptReport) -> (wire::AttemptReport, wire::AttemptReport) {
    let block = report.blocks.pop().unwrap();
    assert!(
        !report.blocks.is_empty(),
        "a round of one visit cannot be torn"
    );
    let late = wire::AttemptReport {
        attempt_id: report.attempt_id.clone(),
        round_id: report.round_id.clone(),
        part: 1,
        blocks: vec![block],
        ..wire::AttemptReport::default()
    };
    (report, late)
}

fn index(assignment: &wire::Assignment) -> u32 {
    assignment.round.as_ref().unwrap().index
}

async fn serves_first_and_reads_later<S: Store>(store: S) {
    let lab = Lab::new(store).await;
    let mut agent = lab.agent().await;
    assert_eq!(agent.welcome.verdicts.len(), 2);
    let late = lab.send_late().await;
    // What is on record is known without any history.
    let again = agent.report(lab.reported.clone()).await.unwrap();
    assert_eq!(again, Disposition::Duplicate);
    for out in &lab.out {
        let receipt = agent.report(measured(out)).await.unwrap();
        assert_eq!(receipt, Disposition::Accepted);
    }
    let [series] = lab.series().await.try_into().unwrap();
    assert_eq!(series.explanation, READING);
    assert_eq!(series.rounds_done, 4);
    let out: usize = lab.out.iter().map(|out| measured(out).blocks.len()).sum();
    assert_eq!(series.blocks, lab.before + u32::try_from(out).unwrap());
    assert!(!late.is_finished(), "judged without its round");

    drop(lab.disk);
    let receipt = soon("the late receipt", late).await.unwrap();
    assert_eq!(receipt.unwrap(), Disposition::Accepted);
    let next = agent.assignment().await.unwrap();
    assert_eq!(index(&next), 4);
    lab.coordinator.stop().await;
}

#[tokio::test]
async fn a_coordinator_in_memory_serves_first_and_reads_later() {
    serves_first_and_reads_later(Memory::new()).await;
}

#[tokio::test]
async fn a_coordinator_on_a_disk_serves_first_and_reads_later() {
    let folder = TempDir::new().unwrap();
    serves_first_and_reads_later(Sqlite::open(folder.path()).await.unwrap()).await;
}

#[tokio::test]
async fn a_state_that_is_made_anew_reads_anew() {
    let lab = Lab::new(Memory::new()).await;
    let mut agent = lab.agent().await;
    lab.reads(1).await;
    let late = lab.send_late().await;
    lab.store.full.store(true, Ordering::SeqCst);
    let refused = agent.report(measured(&lab.out[0])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    // Whoever waited is told to come again, too, whether it came before the disk was full or after.
    let refused = soon("the late answer", late).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(agent.closing().await.is_some());

    lab.store.full.store(false, Ordering::SeqCst);
    let mut agent = lab.agent().await;
    let receipt = agent.report(measured(&lab.out[0])).await.unwrap();
    assert_eq!(receipt, Disposition::Accepted);
    lab.reads(2).await;
    let late = lab.send_late().await;
    drop(lab.disk);
    let receipt = soon("the late receipt", late).await.unwrap();
    assert_eq!(receipt.unwrap(), Disposition::Accepted);
    let receipt = agent.report(measured(&lab.out[1])).await.unwrap();
    assert_eq!(receipt, Disposition::Accepted);
    let next = agent.assignment().await.unwrap();
    assert_eq!(index(&next), 4);
}

/// A sweep on two devices after a restart, with two rounds out on each; reading the first series fails.
async fn with_damage(error: Failure) -> (Scripted, Coordinator, Agent, String) {
    let both = || wire::AgentHello {
        devices: ["CPU-1", "CPU-2"].map(|id| device(id).into()).to_vec(),
        ..hello("CPU-1")
    };
    let store = Scripted::default();
    let coordinator = Coordinator::start(store.clone()).await;
    let mut agent = connect(&coordinator, both()).await;
    let sweep = submit(&coordinator).await;
    let begun = [
        agent.assignment().await.unwrap(),
        agent.assignment().await.unwrap(),
    ];
    for assignment in begun {
        agent.work(&assignment).await;
    }
    coordinator.stop().await;
    store.damage.lock().unwrap().insert(0, error);
    let coordinator = Coordinator::start(store.clone()).await;
    // It holds nothing: what was out is lost, and given out again.
    let agent = connect(&coordinator, both()).await;
    (store, coordinator, agent, sweep)
}

/// Works on one device until that is given a round with this index.
async fn work_until(agent: &mut Agent, device: &str, wanted: u32) {
    loop {
        let assignment = agent.assignment().await.unwrap();
        let round = assignment.round.as_ref().unwrap();
        if round.device_id != device {
            continue;
        }
        if round.index >= wanted {
            return;
        }
        agent.work(&assignment).await;
    }
}

#[tokio::test]
async fn a_damaged_history_fails_its_series_and_no_other() {
    let damaged = || StoreError::Corrupt {
        what: "blocks",
        problem: "they are torn".to_owned(),
    };
    let (_, coordinator, mut agent, sweep) = with_damage(damaged).await;
    let failed = soon("the series to fail", async {
        loop {
            let series = series(&coordinator, &sweep).await;
            if series[0].state() == wire::SeriesState::Failed {
                return series;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let message = &failed[0].explanation;
    assert!(message.contains("cannot be read back"), "{message}");
    assert!(message.contains("they are torn"), "{message}");
    // What it measured is still counted.
    assert!(failed[0].blocks > 0);
    work_until(&mut agent, "CPU-2", 3).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_read_for_a_while_is_asked_again() {
    let busy = || StoreError::Dangling {
        what: "anything: the disk is busy".to_owned(),
    };
    let (store, coordinator, mut agent, sweep) = with_damage(busy).await;
    let tries = || {
        let readings = store.readings.lock().unwrap();
        readings.iter().filter(|it| **it == (0..=0)).count()
    };
    soon("a second try", async {
        while tries() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let waiting = &series(&coordinator, &sweep).await[0];
    assert_ne!(waiting.state(), wire::SeriesState::Failed);
    store.damage.lock().unwrap().clear();
    work_until(&mut agent, "CPU-1", 3).await;
}
