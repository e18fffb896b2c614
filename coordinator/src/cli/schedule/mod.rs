//! `batchstep schedule ..`: which sweeps run on which nights. Asks and prints; the coordinator keeps schedules and begins their nights.

mod add;
mod run_now;
mod view;

use anyhow::Result;
use batchstep_core::nightly::ScheduleName;
use batchstep_proto::wire;
use clap::{Args, Subcommand};

use super::{
    Exit,
    args::{CoordinatorArgs, ListFormat},
    endpoint::{Connection, refusal},
    nights::{ask, night},
    person::PersonArgs,
    text,
};

/// The commands about schedules.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Have a sweep run again and again.
    Add(Box<add::Add>),
    /// List schedules with their next runs.
    List(List),
    /// Show one: its definition, its next runs, its newest nights.
    Show(Show),
    /// Let a schedule's nights begin by themselves again; runs of the time between are not caught up.
    Enable(Switch),
    /// Let no night of a schedule begin by itself; one that is under way goes on.
    Disable(Switch),
    /// Remove a schedule; its nights stay on record, its alarms are over.
    Remove(Switch),
    /// Begin a night now.
    RunNow(run_now::RunNow),
}

/// Flags of `batchstep schedule list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep schedule list
  batchstep schedule list --format json")]
pub(super) struct List {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,
}

/// Flags of `batchstep schedule show`.
#[derive(Debug, Args)]
#[command(
    after_help = "Next runs are told on the clocks of the schedule's time zone, with what daylight saving time does to them.

Examples:
  batchstep schedule show gpus-at-night
  batchstep schedule show gpus-at-night --runs 100
  batchstep schedule show gpus-at-night --format json"
)]
pub(super) struct Show {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Its name.
    #[arg(value_name = "NAME")]
    name: ScheduleName,
    /// How many next runs are shown.
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(0..=100))]
    runs: u32,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,
}

/// Flags of what is done to one schedule.
#[derive(Debug, Args)]
#[command(after_help = "`batchstep regressions log` shows who did what.

Examples:
  batchstep schedule disable gpus-at-night
  batchstep schedule enable gpus-at-night --user ada
  batchstep schedule remove gpus-at-night")]
pub(super) struct Switch {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Its name.
    #[arg(value_name = "NAME")]
    name: ScheduleName,
    #[command(flatten)]
    person: PersonArgs,
}

/// Next runs of each schedule in a list: one is shown, the others are for programs.
const RUNS_LISTED: u32 = 5;
/// Newest nights below a schedule.
const NIGHTS_SHOWN: u32 = 5;

/// Runs one of them.
///
/// # Errors
/// When the coordinator cannot be asked or refuses.
pub(super) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Add(options) => add::run(*options).await,
        Command::List(options) => list(options).await,
        Command::Show(options) => show(options).await,
        Command::Enable(options) => switch(options, true).await,
        Command::Disable(options) => switch(options, false).await,
        Command::Remove(options) => remove(options).await,
        Command::RunNow(options) => run_now::run(options).await,
    }
}

async fn list(options: List) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let schedules = ask::schedules(&mut connection.nightly, None, RUNS_LISTED).await?;
    match options.format {
        ListFormat::Json => text::print_json(&view::as_json(&schedules))?,
        ListFormat::Table => text::print_line(&view::list(&schedules))?,
    }
    connection.close().await?;
    Ok(Exit::Done)
}

async fn show(options: Show) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let client = &mut connection.nightly;
    let name = Some(options.name.as_str());
    let schedules = ask::schedules(client, name, options.runs).await?;
    match options.format {
        ListFormat::Json => text::print_json(&view::as_json(&schedules))?,
        ListFormat::Table => {
            let nights = ask::nights(client, name, NIGHTS_SHOWN).await?.nights;
            for schedule in &schedules {
                text::print_line(&view::show(schedule))?;
            }
            text::print_line(&format!("\n{}", night::list(&nights)))?;
        }
    }
    connection.close().await?;
    Ok(Exit::Done)
}

async fn switch(options: Switch, enabled: bool) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let request = wire::EnableScheduleRequest {
        name: options.name.to_string(),
        enabled,
        user: options.person.name(),
    };
    let answer = connection.nightly.enable_schedule(request).await;
    answer.map_err(refusal)?;
    let what = if enabled {
        "nights begin by themselves"
    } else {
        "no night begins by itself any more"
    };
    eprintln!("Schedule {}: {what}.", options.name);
    connection.close().await?;
    Ok(Exit::Done)
}

async fn remove(options: Switch) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let request = wire::RemoveScheduleRequest {
        name: options.name.to_string(),
        user: options.person.name(),
    };
    let answer = connection.nightly.remove_schedule(request).await;
    answer.map_err(refusal)?;
    eprintln!(
        "Schedule {} is removed; its nights stay on record.",
        options.name
    );
    connection.close().await?;
    Ok(Exit::Done)
}
