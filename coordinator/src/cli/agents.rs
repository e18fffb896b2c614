//! `batchstep agents ..`: who measures for the coordinator, and who is kept from it. Asks and prints; the fleet decides.

use anyhow::Result;
use batchstep_core::steptable::SCHEMA_VERSION;
use batchstep_proto::wire;
use clap::{Args, Subcommand};
use serde_json::json;
use tonic::Code;

use super::{
    Exit,
    agents_view::{self, Listed},
    args::{CoordinatorArgs, ListFormat},
    endpoint::{Connection, refusal},
    exit, text,
};

/// The commands about agents.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all agents: where they are, what they have, why they get no work.
    List(List),
    /// Give an agent no new work; what runs there is finished. Lasts until it is undrained, over restarts of both sides.
    Drain(Drain),
    /// Give an agent work again, whether it was drained or cordoned.
    Undrain(Undrain),
    /// Take an agent that is gone off the list; its rounds go to others at once, and what nobody else can measure fails.
    Remove(Remove),
    /// Take an agent's certificates back, at once and for good; its session ends.
    Revoke(Revoke),
}

/// Flags of `batchstep agents list`.
#[derive(Debug, Args)]
#[command(
    after_help = "States: online; draining and drained, by a person or because the agent is stopping; cordoned, for failing at everything;
unreachable, silent for three heartbeats; lost, silent for so long that its rounds went to others; enrolled, with a certificate, and not
heard of since the coordinator started or for longer than it remembers; with --all also revoked and removed. Of one that was turned away
when it last said hello the list tells when and why.

Examples:
  batchstep agents list
  batchstep agents list --all
  batchstep agents list --format json | jq '.agents[] | select(.state != \"online\")'"
)]
pub(super) struct List {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Also agents that were revoked or removed.
    #[arg(long)]
    all: bool,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,
}

/// Flags of `batchstep agents drain`.
#[derive(Debug, Args)]
#[command(
    after_help = "What runs is finished, and what waits at the agent behind it is given back. An agent that is not connected, or has never been, learns it when
it connects, before anything begins there.

Examples:
  batchstep agents drain gpu-07
  batchstep agents drain 0190d3a0 --reason 'new fans'"
)]
pub(super) struct Drain {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Its id, the beginning or end of that, or its host's name, where it is unique.
    #[arg(value_name = "AGENT")]
    agent: String,
    /// Why, for whoever looks later.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
}

/// Flags of `batchstep agents undrain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep agents undrain gpu-07")]
pub(super) struct Undrain {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Its id, the beginning or end of that, or its host's name, where it is unique.
    #[arg(value_name = "AGENT")]
    agent: String,
}

/// Flags of `batchstep agents remove`.
#[derive(Debug, Args)]
#[command(
    after_help = "Its host and its devices are free for another agent. One that connects again is on the list again. Series that another agent can measure go on
there. Those that only this one could fail, and keep what was measured; with --replaced they wait, however long, for another agent that
comes with the same devices: the same host with a new identity, or the host that a card was moved to.

Examples:
  batchstep agents remove gpu-07
  batchstep agents remove gpu-07 --replaced"
)]
pub(super) struct Remove {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Its id, the beginning or end of that, or its host's name, where it is unique.
    #[arg(value_name = "AGENT")]
    agent: String,
    /// Its devices come back with another agent: what only they can measure waits for that.
    #[arg(long)]
    replaced: bool,
}

/// Flags of `batchstep agents revoke`.
#[derive(Debug, Args)]
#[command(
    after_help = "What the agent measured stays. A host that shall measure again is enrolled as a new agent, with a new state directory.

Examples:
  batchstep agents revoke gpu-07
  batchstep agents revoke 0190d3a0-0000-7000-8000-00000000000a --reason 'the laptop was stolen'"
)]
pub(super) struct Revoke {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Its id, the beginning or end of that, or its host's name, where it is unique.
    #[arg(value_name = "AGENT")]
    agent: String,
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
        Command::List(options) => list(options).await,
        Command::Drain(options) => {
            let Drain {
                coordinator,
                agent,
                reason,
            } = options;
            drain(&coordinator, &agent, Some(reason)).await
        }
        Command::Undrain(options) => drain(&options.coordinator, &options.agent, None).await,
        Command::Remove(options) => remove(options).await,
        Command::Revoke(options) => revoke(options).await,
    }
}

async fn list(options: List) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let agents = all(&mut connection).await?;
    let is_shown = |agent: &Listed| options.all || agent.is_wanted();
    let (agents, gone): (Vec<_>, Vec<_>) = agents.into_iter().partition(is_shown);
    match options.format {
        ListFormat::Json => {
            let agents: Vec<_> = agents.iter().map(agents_view::as_json).collect();
            text::print_json(&json!({"schema_version": SCHEMA_VERSION, "agents": agents}))?;
        }
        ListFormat::Table => text::print_line(&agents_view::for_people(&agents, &gone))?,
    }
    connection.close().await?;
    Ok(Exit::Done)
}

/// Drains an agent for a reason, or takes that back.
async fn drain(
    coordinator: &CoordinatorArgs,
    wanted: &str,
    reason: Option<String>,
) -> Result<Exit> {
    let mut connection = Connection::open(coordinator).await?;
    let agent = find(&mut connection, wanted, Meant::AtWork).await?;
    let request = wire::DrainAgentRequest {
        agent_id: agent.id().to_owned(),
        drain: reason.is_some(),
        reason: reason.clone().unwrap_or_default(),
    };
    connection
        .client
        .drain_agent(request)
        .await
        .map_err(refusal)?;
    let name = agent.name();
    let drains = reason.is_some();
    if !drains && agent.is_revoked() {
        eprintln!(
            "{name} is no longer drained, but was revoked: it gets no work unless it enrols again."
        );
    } else if !drains {
        eprintln!("{name} is given work again.");
    } else if !agent.is_connected() {
        eprintln!(
            "{name} is not connected: what may run there is finished, and nothing new begins once it is back."
        );
    } else if agent.rounds_out() == 0 {
        eprintln!("{name} is drained: nothing runs there.");
    } else {
        eprintln!("{name} is draining: what runs there is finished, nothing new begins.");
    }
    connection.close().await?;
    Ok(Exit::Done)
}

async fn remove(options: Remove) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let agent = find(&mut connection, &options.agent, Meant::AtWork).await?;
    let request = wire::RemoveAgentRequest {
        agent_id: agent.id().to_owned(),
        replaced: options.replaced,
    };
    let answer = connection.client.remove_agent(request).await;
    let wire::RemoveAgentResponse {
        series_failed,
        series_waiting,
    } = answer.map_err(refusal)?.into_inner();
    let name = agent.name();
    eprintln!("{name} is off the list.");
    if series_failed > 0 {
        eprintln!(
            "Series that failed, because nobody else has their devices: {series_failed}. What they measured is kept."
        );
    }
    if series_waiting > 0 {
        eprintln!("Series that wait for another agent with its devices: {series_waiting}.");
    }
    connection.close().await?;
    Ok(Exit::Done)
}

async fn revoke(options: Revoke) -> Result<Exit> {
    let mut connection = Connection::open_with_authority(&options.coordinator).await?;
    let agent = find(&mut connection, &options.agent, Meant::Enrolled).await?;
    let agent_id = agent.id().to_owned();
    let request = wire::RevokeAgentRequest {
        agent_id: agent_id.clone(),
        reason: options.reason,
    };
    let answer = connection.identity.revoke_agent(request).await;
    let revoked = answer.map_err(refusal)?.into_inner().revoked;
    if revoked {
        eprintln!("Revoked agent {agent_id}.");
    } else {
        eprintln!("Agent {agent_id} was revoked before.");
    }
    connection.close().await?;
    Ok(Exit::Done)
}

/// Whoever the fleet knows and whoever was enrolled, by host.
async fn all(connection: &mut Connection) -> Result<Vec<Listed>> {
    let answer = connection.client.list_agents(wire::ListAgentsRequest {});
    let known = answer.await.map_err(refusal)?.into_inner().agents;
    let answer = connection
        .identity
        .list_enrolled(wire::ListEnrolledRequest {});
    let enrolled = match answer.await {
        Ok(answer) => answer.into_inner().agents,
        // An older coordinator.
        Err(status) if status.code() == Code::Unimplemented => Vec::new(),
        Err(status) => return Err(refusal(status)),
    };
    Ok(Listed::join(known, enrolled))
}

/// Whom a part of an id or a host's name means where several have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant {
    /// Rather one that has said hello since the coordinator started than one that is enrolled only.
    AtWork,
    /// Nobody: who is locked out must be named.
    Enrolled,
}

/// The agent that a person means: rather one that is wanted than one that was revoked or removed, which may have had the same host.
///
/// # Errors
/// When it is none, or several.
async fn find(connection: &mut Connection, wanted: &str, meant: Meant) -> Result<Listed> {
    let lower = wanted.to_lowercase();
    let mut agents = all(connection).await?;
    agents.retain(|agent| {
        agent.host().eq_ignore_ascii_case(wanted)
            || !lower.is_empty() && (agent.id().starts_with(&lower) || agent.id().ends_with(&lower))
    });
    if agents.iter().any(Listed::is_wanted) {
        agents.retain(Listed::is_wanted);
    }
    if meant == Meant::AtWork && agents.iter().any(Listed::has_said_hello) {
        agents.retain(Listed::has_said_hello);
    }
    match agents.len() {
        1 => Ok(agents.remove(0)),
        0 => Err(exit::usage(format!(
            "no agent is on a host {wanted:?} or has an id that begins or ends with it; `batchstep agents list` shows them, with --all also the revoked ones"
        ))),
        several => Err(exit::usage(format!(
            "{several} agents are meant by {wanted:?}: {}; write more of the id",
            agents.iter().map(Listed::id).collect::<Vec<_>>().join(", ")
        ))),
    }
}
