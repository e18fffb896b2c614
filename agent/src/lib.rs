//! The batchstep agent: one per host, runs assigned rounds in worker processes and reports what they measured. Does not link libtorch.
//!
//! [`run`] is the whole agent as one future that takes its world as arguments; the binary adds the command line, signals and logs.
//!
//! Modules, from the bottom up: files that survive a power cut (`durable`, [`credentials`], [`state_dir`], `spool`, `ledger`, `outbox`), calls to the coordinator (`client`), people's own networks
//! (`models`), the host's devices ([`device`], [`inventory`]), what runs a round ([`executor`]), the line to the coordinator ([`session`], `reporter`,
//! `renewal`, [`retry`]), and the supervisor that decides. [`doctor`] and [`enroll`] stand beside them, and [`simulation`] puts imagined devices in the place of the host's.

mod client;
pub mod config;
pub mod credentials;
pub mod device;
pub mod doctor;
mod durable;
pub mod enroll;
pub mod executor;
mod exit_status;
pub mod inventory;
mod ledger;
mod models;
mod outbox;
pub mod own_workers;
mod ownership;
mod renewal;
mod reporter;
pub mod retry;
pub mod session;
pub mod simulation;
mod spool;
pub mod state_dir;
mod supervisor;
pub mod worker_path;

use std::{io, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};

use config::Config;
use executor::Executor;
use models::Models;
use outbox::Outbox;
use session::{Dialer, Line};
use state_dir::StateDir;
use supervisor::Supervisor;

/// Line events in flight; the supervisor is never far behind.
const LINE_EVENTS: usize = 64;
/// For delivering the last reports and ending idle workers after a drain.
const FLUSH_LIMIT: Duration = Duration::from_secs(10);
/// The same when the agent was told to stop at once.
const URGENT_FLUSH_LIMIT: Duration = Duration::from_millis(400);

/// For closing the stream to the coordinator in order.
const GOODBYE_LIMIT: Duration = Duration::from_millis(200);

/// How far an agent is asked to wind down. Later ones outrank earlier ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// Not at all.
    #[default]
    No,
    /// Finish what runs, then leave.
    Drain,
    /// Kill the workers, report what they had, leave within a second.
    Now,
}

/// An agent that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The spool or the ledger cannot be read.
    #[error("the spool in the state directory cannot be opened")]
    Spool(#[source] io::Error),
    /// The models cannot be listed.
    #[error("the models in the state directory cannot be listed")]
    Models(#[source] io::Error),
    /// The coordinator does not want this agent again.
    #[error("the coordinator rejected this agent: {reason}")]
    Rejected {
        /// In its words.
        reason: String,
    },
}

/// Runs an agent until `shutdown` asks for its end. Reports that found no coordinator stay in the state directory for the next start.
///
/// # Errors
/// When the state directory cannot be read, and when the coordinator rejects this agent for good.
pub async fn run(
    config: Config,
    state: StateDir,
    dialer: impl Dialer,
    executor: impl Executor,
    shutdown: watch::Receiver<Shutdown>,
) -> Result<(), AgentError> {
    let outbox = Arc::new(Outbox::open(&state).map_err(AgentError::Spool)?);
    let executor = Arc::new(executor);
    let model_room = config.model_room;
    let (draining, draining_seen) = watch::channel(false);
    let (channel, channel_seen) = watch::channel(None);
    let (events, heard) = mpsc::channel(LINE_EVENTS);
    info!(
        agent_id = %state.agent_id(),
        devices = config.devices.len(),
        "The agent starts."
    );
    let _reporter = AbortOnDropHandle::new(tokio::spawn(reporter::deliver(
        state.agent_id(),
        Arc::clone(&outbox),
        channel_seen.clone(),
    )));
    let _renewal = state.credentials().cloned().map(|credentials| {
        let renewing = renewal::keep(credentials, channel_seen.clone());
        AbortOnDropHandle::new(tokio::spawn(renewing))
    });
    let leaving = CancellationToken::new();
    let line = AbortOnDropHandle::new(tokio::spawn(session::keep(
        Arc::new(dialer),
        Line {
            events,
            channel,
            draining: draining_seen,
            leaving: leaving.clone(),
        },
    )));
    let _inventory = config.inventory.clone().map(|snapshots| {
        let telling = inventory::report(state.agent_id(), snapshots, channel_seen.clone());
        AbortOnDropHandle::new(tokio::spawn(telling))
    });
    let models = Models::open(state.models(), model_room, channel_seen.clone());
    let mut supervisor = Supervisor::new(
        state.agent_id(),
        config,
        Arc::clone(&executor),
        Arc::clone(&outbox),
        Arc::new(models.map_err(AgentError::Models)?),
        draining,
    );
    let result = supervisor.run(heard, shutdown).await;
    let limit = if supervisor.is_urgent() {
        URGENT_FLUSH_LIMIT
    } else {
        FLUSH_LIMIT
    };
    let reachable = channel_seen.borrow().is_some() && result.is_ok();
    let _ = time::timeout(limit, async {
        tokio::join!(executor.shut_down(), async {
            if reachable {
                outbox.emptied().await;
            }
        })
    })
    .await;
    if !outbox.is_empty() {
        warn!("Reports without a receipt stay in the spool; they are sent at the next start.");
    }
    // The supervisor holds the stream open too.
    drop(supervisor);
    leaving.cancel();
    if reachable {
        let _ = time::timeout(GOODBYE_LIMIT, line).await;
    }
    info!("The agent has stopped.");
    result
}
