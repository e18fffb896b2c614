//! This machine as a lab of one: an embedded coordinator and its agent on a data directory. Used by `local` and by the article's estimate; chooses
//! neither what to measure nor on which device.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use batchstep_proto::wire;

use super::{
    agent_child::AgentChild,
    endpoint::{self, Client, Embedded, refusal},
    follow, text,
};
use crate::store::ModelLimits;

/// How long an agent may take to say hello: it looks for devices and checks its worker first.
const HELLO_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between looks for its hello; it decides how soon the first block can start.
const HELLO_PAUSE: Duration = Duration::from_millis(10);
/// Pause between looks at a sweep that nobody watches.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long an agent that has nothing to do may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// How long an interrupted one may take to report what it has: people wait for it.
const INTERRUPTED_PATIENCE: Duration = Duration::from_millis(700);

/// A coordinator and an agent of our own.
pub(super) struct Machine {
    /// Where requests go.
    pub(super) client: Client,
    /// What the agent offers.
    pub(super) devices: Vec<wire::Device>,
    agent: AgentChild,
    coordinator: Embedded,
}

impl Machine {
    /// Starts both and waits until the agent has said hello; with `simulate` it offers the devices of that file instead of this machine's.
    ///
    /// # Errors
    /// When the data directory cannot be used, or the agent does not come up.
    pub(super) async fn start(
        data_dir: &Path,
        models: ModelLimits,
        simulate: Option<&Path>,
    ) -> Result<Self> {
        let coordinator = Embedded::start(data_dir, models).await?;
        let mut agent = AgentChild::start(coordinator.url(), data_dir, simulate)?;
        let mut client = endpoint::connect(coordinator.url()).await?;
        let devices = hello(&mut client, &mut agent).await?;
        Ok(Self {
            client,
            devices,
            agent,
            coordinator,
        })
    }

    /// Follows a sweep to its end.
    ///
    /// # Errors
    /// When the agent ends before, or the coordinator fails.
    pub(super) async fn follow(&mut self, sweep_id: &str) -> Result<wire::Sweep> {
        let Self { client, agent, .. } = self;
        tokio::select! {
            sweep = follow::follow(client, sweep_id) => return sweep,
            _ = agent.ended() => {}
        }
        Err(self.agent.failure(&format!(
            "The agent ended in the middle of the sweep; what was measured is kept. `{} local --resume` goes on.",
            text::program()
        )))
    }

    /// Waits, without showing anything, until a sweep is over or `enough` of it is there.
    ///
    /// # Errors
    /// When the coordinator fails.
    pub(super) async fn wait_for(
        &mut self,
        sweep_id: &str,
        enough: impl Fn(&wire::Sweep) -> bool,
    ) -> Result<()> {
        loop {
            let sweep = follow::get(&mut self.client, sweep_id)
                .await
                .map_err(refusal)?;
            if enough(&sweep) || !follow::is_active(&sweep) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Stops the agent at once, keeping what it has measured, and returns the sweep as it is then.
    pub(super) async fn interrupt(mut self, sweep_id: &str) -> Option<wire::Sweep> {
        self.agent.stop(INTERRUPTED_PATIENCE).await;
        let sweep = follow::get(&mut self.client, sweep_id).await.ok();
        // Everything is committed; what is left ends with the process.
        drop(self.client);
        let _ = tokio::time::timeout(Duration::from_millis(100), self.coordinator.stop()).await;
        sweep
    }

    /// Ends both.
    ///
    /// # Errors
    /// When the coordinator had failed.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.agent.stop(STOP_PATIENCE).await;
        drop(self.client);
        self.coordinator.stop().await
    }
}

/// Waits until the agent is welcome, and returns its devices.
async fn hello(client: &mut Client, agent: &mut AgentChild) -> Result<Vec<wire::Device>> {
    let begun = Instant::now();
    loop {
        let answer = client
            .list_agents(wire::ListAgentsRequest {})
            .await
            .map_err(refusal)?;
        let online = answer
            .into_inner()
            .agents
            .into_iter()
            .find(|agent| agent.state() == wire::AgentState::Online);
        if let Some(agent) = online {
            return Ok(agent.devices);
        }
        if begun.elapsed() > HELLO_TIMEOUT {
            return Err(agent.failure(&format!(
                "The agent did not report within {} s.",
                HELLO_TIMEOUT.as_secs()
            )));
        }
        tokio::select! {
            status = agent.ended() => {
                let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(agent.failure(&format!("The agent ended before it reported ({how}).")));
            }
            () = tokio::time::sleep(HELLO_PAUSE) => {}
        }
    }
}
