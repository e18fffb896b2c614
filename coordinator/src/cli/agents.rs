//! `batchstep agents ..`: what an operator does to agents.

use anyhow::Result;
use batchstep_proto::{ids::AgentId, wire};
use clap::{Args, Subcommand};

use super::{
    Exit,
    args::CoordinatorArgs,
    endpoint::{Connection, refusal},
};

/// The commands about agents.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take an agent's certificates back, at once and for good; its session ends.
    Revoke(Revoke),
}

/// Flags of `batchstep agents revoke`.
#[derive(Debug, Args)]
#[command(
    after_help = "What the agent measured stays. A host that shall measure again is enrolled as a new agent, with a new state directory.

Examples:
  batchstep agents revoke 0190d3a0-0000-7000-8000-00000000000a
  batchstep agents revoke 0190d3a0-0000-7000-8000-00000000000a --reason 'the laptop was stolen'"
)]
pub(super) struct Revoke {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Its id, as in its log and in the coordinator's.
    #[arg(value_name = "AGENT")]
    agent: AgentId,
    /// Why, for the agent's log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Runs one of them.
///
/// # Errors
/// When the coordinator cannot be asked or refuses.
pub(super) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Revoke(options) => revoke(options).await,
    }
}

async fn revoke(options: Revoke) -> Result<Exit> {
    let mut connection = Connection::open_with_authority(&options.coordinator).await?;
    let request = wire::RevokeAgentRequest {
        agent_id: options.agent.to_string(),
        reason: options.reason,
    };
    let answer = connection.identity.revoke_agent(request).await;
    let revoked = answer.map_err(refusal)?.into_inner().revoked;
    if revoked {
        eprintln!("Revoked agent {}.", options.agent);
    } else {
        eprintln!("Agent {} was revoked before.", options.agent);
    }
    connection.close().await?;
    Ok(Exit::Done)
}
