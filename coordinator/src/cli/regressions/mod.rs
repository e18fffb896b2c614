//! `batchstep regressions`: alarms, what people answer them, and the record of that. Made for people and for CI: the exit code says how bad it is.

mod answer;
mod junit;
mod log;
mod page;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::{
    Exit,
    args::CoordinatorArgs,
    endpoint::Connection,
    moment::Moment,
    nights::{self, findings::Findings},
    text,
};

/// `batchstep regressions`, alone or with what is done about them.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Alarms that are open, and with --since those that were. An alarm that somebody has acknowledged is shown on, and fails nothing any more.

Exit codes: 0 nothing to worry about, 1 an open alarm other than `missing` and `night missed`, 3 one of these, or a newest night of a schedule that
did not happen or lacks series, 4 with --strict what only the next night decides. What somebody has acknowledged does not count; the lowest code wins.

Examples:
  batchstep regressions
  batchstep regressions --since 7d --format markdown >> \"$GITHUB_STEP_SUMMARY\"
  batchstep regressions --schedule gpus-at-night --format junit > regressions.xml
  batchstep regressions ack 17 --reason 'driver 580, ticket 4711'
  batchstep regressions mute 17 18 --reason 'fan ordered'
  batchstep regressions rebaseline 17 --reason 'power limit lowered for good'
  batchstep regressions label 17 false
  batchstep regressions log"
)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: Show,
}

/// What is done about alarms.
#[derive(Debug, Subcommand)]
enum Command {
    /// Say that somebody knows of alarms: they are shown on, and fail nothing any more.
    Ack(answer::Reasoned),
    /// Have the series of alarms say nothing for as long as the policy sets, and acknowledge them.
    Mute(answer::Reasoned),
    /// Take what is now for the new usual: the series of the alarms begin a new baseline, and the alarms are over.
    Rebaseline(answer::Reasoned),
    /// Say whether alarms were right, which is how the precision is known.
    Label(answer::Label),
    /// What people did with schedules and alarms, the newest first.
    Log(log::Log),
}

/// Flags of `batchstep regressions` itself.
#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Also alarms that are over but were open then or later: a time such as 2026-11-24T08:00:00Z, a day such as 2026-11-24 (UTC), or how long ago, such as 7d.
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Only those of this schedule.
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// End with 4 where only the next night decides.
    #[arg(long)]
    strict: bool,
    /// How they are printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs; carries `schema_version`.
    Json,
    /// For CI that reads test results: a suite for each schedule's newest night, a case for each series.
    Junit,
    /// For the summary of a CI run, and for comments.
    Markdown,
}

/// Shows alarms, or does something about them.
///
/// # Errors
/// When the coordinator cannot be asked or refuses.
pub(super) async fn run(options: Options) -> Result<Exit> {
    use batchstep_proto::wire::AlarmAction;
    match options.command {
        None => show(options.show).await,
        Some(Command::Ack(it)) => answer::reasoned(it, AlarmAction::Acknowledge).await,
        Some(Command::Mute(it)) => answer::reasoned(it, AlarmAction::Mute).await,
        Some(Command::Rebaseline(it)) => answer::reasoned(it, AlarmAction::Rebaseline).await,
        Some(Command::Label(it)) => answer::label(it).await,
        Some(Command::Log(it)) => log::run(it).await,
    }
}

async fn show(options: Show) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let since = options.since.map(|since| since.before(Timestamp::now()));
    let client = &mut connection.nightly;
    let (findings, document) = Findings::ask(client, options.schedule.as_deref(), since).await?;
    let page = page::Page {
        findings: &findings,
        document: &document,
        since,
        flag: options.coordinator.repeated(),
    };
    match options.format {
        Format::Table => text::print_line(&page.table())?,
        Format::Json => nights::print_document(&document)?,
        Format::Junit => text::print(junit::suites(&findings).as_bytes())?,
        Format::Markdown => text::print_line(&page.markdown())?,
    }
    connection.close().await?;
    let exit = findings.exit(options.strict);
    Findings::explain(exit);
    Ok(exit)
}
