//! What people answer alarms: acknowledged, muted, re-baselined, labelled. The coordinator does it, all or none, and keeps the record.

use anyhow::Result;
use batchstep_proto::wire::{ActOnAlarmsRequest, AlarmAction};
use clap::{Args, ValueEnum};

use crate::cli::{
    Exit,
    args::CoordinatorArgs,
    endpoint::{Connection, refusal},
    nights::{ask, findings::precision, sentence},
    person::PersonArgs,
    text,
};

/// Flags of what is done for a reason.
#[derive(Debug, Args)]
#[command(
    after_help = "All of them or, where one cannot be answered so, none. `batchstep regressions log` shows who did what.

Examples:
  batchstep regressions ack 17 --reason 'driver 580, ticket 4711'
  batchstep regressions mute 17 18 --reason 'fan ordered' --user ada
  batchstep regressions rebaseline 17 --reason 'power limit lowered for good'"
)]
pub(super) struct Reasoned {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Numbers of the alarms.
    #[arg(value_name = "ID", required = true, value_parser = alarm)]
    alarms: Vec<u64>,
    /// Why, for whoever looks later.
    #[arg(long, value_name = "TEXT", value_parser = why)]
    reason: String,
    #[command(flatten)]
    person: PersonArgs,
}

/// Flags of `batchstep regressions label`.
#[derive(Debug, Args)]
#[command(
    after_help = "Also alarms that are over can be labelled, and labelled again.

Examples:
  batchstep regressions label 17 true
  batchstep regressions label 18 19 false --reason 'the host was being backed up'"
)]
pub(super) struct Label {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Numbers of the alarms.
    #[arg(value_name = "ID", required = true, value_parser = alarm)]
    alarms: Vec<u64>,
    /// Whether they were right.
    #[arg(value_name = "TRUE|FALSE", value_enum, required = true)]
    label: Truth,
    /// Why, for whoever looks later.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    person: PersonArgs,
}

/// Whether an alarm was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Truth {
    /// It was.
    True,
    /// It was noise.
    False,
}

fn alarm(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(
            "not the number of an alarm; `batchstep regressions` shows it, such as 17 in `alarm 17 (open)`"
                .to_owned(),
        ),
    }
}

fn why(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why, for whoever looks later".to_owned()),
        why => Ok(why.to_owned()),
    }
}

/// Acknowledges, mutes or re-baselines.
///
/// # Errors
/// When the coordinator refuses.
pub(super) async fn reasoned(options: Reasoned, action: AlarmAction) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let request = ActOnAlarmsRequest {
        alarms: options.alarms,
        action: action.into(),
        user: options.person.name(),
        reason: options.reason,
    };
    act(&mut connection, request).await?;
    connection.close().await?;
    Ok(Exit::Done)
}

/// Labels, and shows what share of all labelled alarms was right.
///
/// # Errors
/// When the coordinator refuses.
pub(super) async fn label(options: Label) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let action = match options.label {
        Truth::True => AlarmAction::LabelTrue,
        Truth::False => AlarmAction::LabelFalse,
    };
    let request = ActOnAlarmsRequest {
        alarms: options.alarms,
        action: action.into(),
        user: options.person.name(),
        reason: options.reason,
    };
    act(&mut connection, request).await?;
    let alarms = ask::alarms(&mut connection.nightly, None, None).await?;
    text::print_line(&precision(&alarms.labels))?;
    connection.close().await?;
    Ok(Exit::Done)
}

async fn act(connection: &mut Connection, request: ActOnAlarmsRequest) -> Result<()> {
    let answer = connection.nightly.act_on_alarms(request).await;
    for told in answer.map_err(refusal)?.into_inner().told {
        eprintln!("{}", sentence(&told));
    }
    Ok(())
}
