//! `batchstep token ..`: makes, lists and takes back what agents join with and what operators and monitors show.

use std::time::Duration;

use anyhow::Result;
use batchstep_core::steptable::SCHEMA_VERSION;
use batchstep_proto::{ids::AgentId, wire};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Exit,
    args::{CoordinatorArgs, ListFormat},
    endpoint::{Connection, refusal},
    grid, sweep_view, text,
};

/// Long enough to walk to the other host.
const JOIN_TTL: Duration = Duration::from_secs(3600);
/// For tokens that people and programs keep.
const KEPT_TTL: Duration = Duration::from_secs(90 * 86_400);

/// The commands about tokens.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token and print it, this once.
    Create(Create),
    /// List tokens, without their secrets.
    List(List),
    /// Take a token back, at once; agents that joined with it stay.
    Revoke(Revoke),
}

/// Flags of `batchstep token create`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without --operator or --monitor it is a join token: `batchstep-agent enroll` trades it for an agent's certificate. A token also names the
coordinator's certificate authority, so whoever has it connects safely. Stdout carries the token alone.

Who can read the data directory can make the first one, whether the coordinator runs or not.

Examples:
  umask 077
  batchstep token create --data-dir /var/lib/batchstep > join-token
  batchstep token create --uses 40 --ttl 8h > join-token
  batchstep token create --operator ada --data-dir /var/lib/batchstep > token
  batchstep token create --monitor prometheus --ttl 365d > /etc/prometheus/batchstep-token
  BATCHSTEP_TOKEN_FILE=token batchstep sweep list --coordinator https://coordinator:7847"
)]
pub(super) struct Create {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// For a person or a script that shall do everything an operator may; NAME says who.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["monitor", "uses", "agent"])]
    operator: Option<String>,
    /// For a program that shall read /metrics and nothing else; NAME says which.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["uses", "agent"])]
    monitor: Option<String>,
    /// How long it is good, such as 30m, 8h or 90d [default: 1h to join, 90d otherwise].
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
    /// How many agents may join with it [default: 1].
    #[arg(long, value_name = "N", conflicts_with = "agent")]
    uses: Option<u32>,
    /// Enrol this agent again, under its old id: after its certificate ended, or its disk was lost.
    #[arg(long, value_name = "AGENT")]
    agent: Option<AgentId>,
}

/// Flags of `batchstep token list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep token list
  batchstep token list --format json")]
pub(super) struct List {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,
}

/// Flags of `batchstep token revoke`.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  batchstep token revoke 4f1c0a7e93b2d586")]
pub(super) struct Revoke {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// As `batchstep token list` shows it; the second part of the token.
    #[arg(value_name = "ID")]
    id: String,
}

/// Runs one of them.
///
/// # Errors
/// When the coordinator cannot be asked or refuses.
pub(super) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Create(options) => create(options).await,
        Command::List(options) => list(options).await,
        Command::Revoke(options) => revoke(options).await,
    }
}

async fn create(options: Create) -> Result<Exit> {
    let (kind, name) = match (options.operator, options.monitor) {
        (Some(name), _) => (wire::TokenKind::Operator, name),
        (None, Some(name)) => (wire::TokenKind::Monitor, name),
        (None, None) => (wire::TokenKind::Join, String::new()),
    };
    let is_join = kind == wire::TokenKind::Join;
    let ttl = options
        .ttl
        .unwrap_or(if is_join { JOIN_TTL } else { KEPT_TTL });
    let request = wire::CreateTokenRequest {
        kind: kind as i32,
        name,
        ttl_ns: batchstep_proto::domain::nanos(ttl),
        uses: if is_join {
            options.uses.unwrap_or(1)
        } else {
            0
        },
        agent_id: options.agent.map(|agent| agent.to_string()),
    };
    let mut connection = Connection::open_with_authority(&options.coordinator).await?;
    let answer = connection.identity.create_token(request).await;
    let answer = answer.map_err(refusal)?.into_inner();
    text::print_line(&answer.token)?;
    if let Some(created) = answer.created {
        let use_it = match kind {
            wire::TokenKind::Operator => {
                "Give it to batchstep in BATCHSTEP_TOKEN or with --token-file"
            }
            wire::TokenKind::Monitor => "Send it as `authorization: Bearer TOKEN`",
            _ => "Give it to `batchstep-agent enroll`",
        };
        eprintln!(
            "{use_it}. It is good until {} and is not shown again; `batchstep token revoke {}` takes it back.",
            sweep_view::when(&created.expires_at),
            created.id
        );
    }
    connection.close().await?;
    Ok(Exit::Done)
}

async fn list(options: List) -> Result<Exit> {
    let mut connection = Connection::open_with_authority(&options.coordinator).await?;
    let answer = connection.identity.list_tokens(wire::ListTokensRequest {});
    let tokens = answer.await.map_err(refusal)?.into_inner().tokens;
    match options.format {
        ListFormat::Json => {
            let tokens: Vec<_> = tokens.iter().map(as_json).collect();
            text::print_json(&json!({ "schema_version": SCHEMA_VERSION, "tokens": tokens }))?;
        }
        ListFormat::Table if tokens.is_empty() => {
            text::print_line("no tokens; `batchstep token create` makes one")?;
        }
        ListFormat::Table => {
            let mut table = grid::grid();
            table.set_header(["token", "for", "name", "created", "good until", "used"]);
            for token in &tokens {
                table.add_row([
                    token.id.clone(),
                    word(token).to_owned(),
                    token.name.clone(),
                    sweep_view::when(&token.created_at),
                    if token.revoked {
                        "revoked".to_owned()
                    } else {
                        sweep_view::when(&token.expires_at)
                    },
                    match token.uses {
                        0 => String::new(),
                        uses => format!("{} of {uses}", token.used),
                    },
                ]);
            }
            text::print_line(&grid::trim_lines(&table.to_string()))?;
        }
    }
    connection.close().await?;
    Ok(Exit::Done)
}

fn word(token: &wire::Token) -> &'static str {
    match token.kind() {
        wire::TokenKind::Join => "join",
        wire::TokenKind::Operator => "operator",
        wire::TokenKind::Monitor => "monitor",
        wire::TokenKind::Unspecified => "unknown",
    }
}

fn as_json(token: &wire::Token) -> serde_json::Value {
    json!({
        "id": token.id,
        "kind": word(token),
        "name": (!token.name.is_empty()).then_some(&token.name),
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "uses": (token.uses > 0).then_some(token.uses),
        "used": token.used,
        "revoked": token.revoked,
        "agent_id": token.agent_id,
    })
}

async fn revoke(options: Revoke) -> Result<Exit> {
    let mut connection = Connection::open_with_authority(&options.coordinator).await?;
    let request = wire::RevokeTokenRequest {
        token_id: options.id.clone(),
    };
    let answer = connection.identity.revoke_token(request).await;
    answer.map_err(refusal)?;
    eprintln!("Revoked token {}.", options.id);
    connection.close().await?;
    Ok(Exit::Done)
}
