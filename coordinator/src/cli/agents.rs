//! `batchstep agents ..`: who measures for the coordinator, and who is kept from it. Asks and prints; the fleet decides.

use std::time::Duration;

use anyhow::Result;
use batchstep_core::steptable::SCHEMA_VERSION;
use batchstep_proto::{ids::AgentId, wire};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Exit,
    args::{CoordinatorArgs, ListFormat},
    endpoint::{Client, Connection, refusal},
    exit, tables, text,
};

/// Characters of an id that are shown, from its end: agents that were enrolled within a minute begin alike.
const SHORT_ID: usize = 8;

/// The commands about agents.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List all agents: where they are, what they have, why they get no work.
    List(List),
    /// Give an agent no new work; what runs there is finished. Lasts until it is undrained, over restarts of both sides.
    Drain(Drain),
    /// Give an agent work again, whether it was drained or cordoned.
    Undrain(Undrain),
    /// Take an agent that is gone off the list; its rounds go to others at once.
    Remove(Remove),
    /// Take an agent's certificates back, at once and for good; its session ends.
    Revoke(Revoke),
}

/// Flags of `batchstep agents list`.
#[derive(Debug, Args)]
#[command(
    after_help = "States: online; draining and drained, by a person or because the agent is stopping; cordoned, for failing at everything;
unreachable, silent for three heartbeats; lost, silent for so long that its rounds went to others.

Examples:
  batchstep agents list
  batchstep agents list --format json | jq '.agents[] | select(.state != \"online\")'"
)]
pub(super) struct List {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,
}

/// Flags of `batchstep agents drain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep agents drain gpu-07
  batchstep agents drain 0190d3a0 --reason 'new fans'")]
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
#[command(after_help = "One that connects again is on the list again.

Examples:
  batchstep agents remove gpu-07")]
pub(super) struct Remove {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Its id, the beginning or end of that, or its host's name, where it is unique.
    #[arg(value_name = "AGENT")]
    agent: String,
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
    /// Its id, the beginning or end of that, or its host's name, where it is unique; the whole id where it is not on the list.
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
    let agents = all(&mut connection.client).await?;
    match options.format {
        ListFormat::Json => {
            let agents: Vec<_> = agents.iter().map(as_json).collect();
            text::print_json(&json!({"schema_version": SCHEMA_VERSION, "agents": agents}))?;
        }
        ListFormat::Table => text::print_line(&for_people(&agents))?,
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
    let agent = find(&mut connection.client, wanted).await?;
    let request = wire::DrainAgentRequest {
        agent_id: agent.agent_id.clone(),
        drain: reason.is_some(),
        reason: reason.clone().unwrap_or_default(),
    };
    connection
        .client
        .drain_agent(request)
        .await
        .map_err(refusal)?;
    let name = name(&agent);
    match (reason, agent.attempts) {
        (None, _) => eprintln!("{name} is given work again."),
        (Some(_), 0) => eprintln!("{name} is drained: nothing runs there."),
        (Some(_), _) => {
            eprintln!("{name} is draining: what runs there is finished, nothing new begins.")
        }
    }
    connection.close().await?;
    Ok(Exit::Done)
}

async fn remove(options: Remove) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let agent = find(&mut connection.client, &options.agent).await?;
    let request = wire::RemoveAgentRequest {
        agent_id: agent.agent_id.clone(),
    };
    connection
        .client
        .remove_agent(request)
        .await
        .map_err(refusal)?;
    eprintln!("{} is off the list.", name(&agent));
    connection.close().await?;
    Ok(Exit::Done)
}

async fn revoke(options: Revoke) -> Result<Exit> {
    let mut connection = Connection::open_with_authority(&options.coordinator).await?;
    // One that has a certificate and never connected is on no list.
    let agent_id = match options.agent.parse::<AgentId>() {
        Ok(id) => id.to_string(),
        Err(_) => find(&mut connection.client, &options.agent).await?.agent_id,
    };
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

async fn all(client: &mut Client) -> Result<Vec<wire::Agent>> {
    let answer = client.list_agents(wire::ListAgentsRequest {}).await;
    let mut agents = answer.map_err(refusal)?.into_inner().agents;
    agents.sort_by(|a, b| (host(a), &a.agent_id).cmp(&(host(b), &b.agent_id)));
    Ok(agents)
}

/// The agent that a person means.
///
/// # Errors
/// When it is none, or several.
async fn find(client: &mut Client, wanted: &str) -> Result<wire::Agent> {
    let mut agents = all(client).await?;
    let lower = wanted.to_lowercase();
    agents.retain(|agent| {
        host(agent).eq_ignore_ascii_case(wanted)
            || !lower.is_empty()
                && (agent.agent_id.starts_with(&lower) || agent.agent_id.ends_with(&lower))
    });
    match agents.len() {
        1 => Ok(agents.remove(0)),
        0 => Err(exit::usage(format!(
            "no agent is on a host {wanted:?} or has an id that begins or ends with it; `batchstep agents list` shows them"
        ))),
        several => Err(exit::usage(format!(
            "{several} agents are meant by {wanted:?}: {}; write more of the id",
            agents
                .iter()
                .map(|agent| agent.agent_id.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

fn host(agent: &wire::Agent) -> &str {
    agent.host.as_ref().map_or("", |host| &host.hostname)
}

fn name(agent: &wire::Agent) -> String {
    format!("The agent {} on {}", short(agent), host(agent))
}

fn short(agent: &wire::Agent) -> String {
    let id = &agent.agent_id;
    let start = id.len().saturating_sub(SHORT_ID);
    id.get(start..).unwrap_or(id).to_owned()
}

const fn state_word(state: wire::AgentState) -> &'static str {
    match state {
        wire::AgentState::Unspecified => "unknown",
        wire::AgentState::Online => "online",
        wire::AgentState::Draining => "draining",
        wire::AgentState::Drained => "drained",
        wire::AgentState::Unreachable => "unreachable",
        wire::AgentState::Lost => "lost",
        wire::AgentState::Cordoned => "cordoned",
    }
}

fn as_json(agent: &wire::Agent) -> serde_json::Value {
    let devices: Vec<_> = agent
        .devices
        .iter()
        .map(|device| {
            let reasons = device.ineligible.iter();
            let reasons: Vec<_> = reasons
                .map(|reason| json!({"code": reason.code, "message": reason.message}))
                .collect();
            json!({"device_id": device.id, "model": device.model, "ineligible": reasons})
        })
        .collect();
    json!({
        "agent_id": agent.agent_id,
        "state": state_word(agent.state()),
        "hostname": host(agent),
        "agent_version": agent.host.as_ref().map(|host| host.agent_version.as_str()).filter(|version| !version.is_empty()),
        "devices": devices,
        "attempts": agent.attempts,
        "seconds_since_last_message": agent.since_last_message_ns.map(|age| Duration::from_nanos(age).as_secs_f64()),
        "drain_reason": agent.drain_reason,
        "cordon_reason": agent.cordon_reason,
    })
}

fn for_people(agents: &[wire::Agent]) -> String {
    if agents.is_empty() {
        return "No agents yet. `batchstep-agent run` on a GPU host makes one.".to_owned();
    }
    let mut table = tables::grid();
    table.set_header([
        "agent",
        "host",
        "state",
        "devices",
        "rounds out",
        "heard",
        "why",
    ]);
    for agent in agents {
        let heard = agent.since_last_message_ns.map_or_else(
            || "not since the start".to_owned(),
            |age| format!("{} s ago", Duration::from_nanos(age).as_secs()),
        );
        table.add_row([
            short(agent),
            host(agent).to_owned(),
            state_word(agent.state()).to_owned(),
            devices(agent),
            agent.attempts.to_string(),
            heard,
            why(agent),
        ]);
    }
    tables::trim_lines(&table.to_string())
}

/// How many of each model, those that no trial can start on apart.
fn devices(agent: &wire::Agent) -> String {
    let mut models: Vec<(&str, usize, usize)> = Vec::new();
    for device in &agent.devices {
        let unfit = usize::from(!device.ineligible.is_empty());
        match models.iter_mut().find(|(model, ..)| *model == device.model) {
            Some((_, all, bad)) => {
                *all += 1;
                *bad += unfit;
            }
            None => models.push((&device.model, 1, unfit)),
        }
    }
    let models = models.into_iter().map(|(model, all, bad)| {
        let count = if all == 1 {
            String::new()
        } else {
            format!("{all} x ")
        };
        let unfit = if bad == 0 {
            String::new()
        } else {
            format!(" ({bad} not eligible)")
        };
        format!("{count}{model}{unfit}")
    });
    models.collect::<Vec<_>>().join(", ")
}

fn why(agent: &wire::Agent) -> String {
    let cordon = agent.cordon_reason.clone();
    let drain = agent.drain_reason.as_ref().map(|reason| {
        if reason.is_empty() {
            "drained".to_owned()
        } else {
            format!("drained: {reason}")
        }
    });
    cordon
        .into_iter()
        .chain(drain)
        .collect::<Vec<_>>()
        .join("; ")
}
