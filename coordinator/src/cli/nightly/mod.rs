//! `batchstep nightly ..`: the nights of schedules, and one of them with what was said of every series. Asks and prints; the coordinator judges.

use std::path::PathBuf;

use anyhow::Result;
use batchstep_proto::wire::{self, get_night_request::Which};
use batchstep_report::{Histories, write_history};
use clap::{Args, Subcommand};
use jiff::civil::Date;

use super::{
    Exit,
    args::CoordinatorArgs,
    endpoint::{Connection, Nights, refusal},
    nights::{self, NightFormat, ask, findings::Findings, night},
    person::PersonArgs,
    text,
};

/// The commands about nights.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List nights, the newest first.
    List(List),
    /// Show one night: its alarms, and what was said of its series, the gravest first.
    Show(Show),
    /// Write pages and pictures of series over their nights.
    Report(Report),
    /// Send a message to everybody who is told about alarms, to see whether it arrives.
    TestMessages(TestMessages),
}

/// Flags of `batchstep nightly list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep nightly list
  batchstep nightly list --schedule gpus-at-night --limit 90 --format json")]
pub(super) struct List {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Only nights of this schedule.
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u32).range(1..=4000))]
    limit: u32,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: NightFormat,
}

/// Flags of `batchstep nightly show`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing to worry about, 1 an open alarm other than `missing` and `night missed`, 3 one of these, or a night that did not happen,
is under way, or lacks series, 4 with --strict what only the next night decides. What somebody has acknowledged does not count.

Examples:
  batchstep nightly show
  batchstep nightly show 2026-11-26 --schedule gpus-at-night --all
  batchstep nightly show 17 --format markdown >> \"$GITHUB_STEP_SUMMARY\""
)]
pub(super) struct Show {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// The day it was planned for, where its schedule is, or its number [default: the newest].
    #[arg(value_name = "DATE|NUMBER", value_parser = which)]
    night: Option<Which>,
    /// Its schedule; may be left out where there is one only.
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// Also the series of which there is nothing to say.
    #[arg(long)]
    all: bool,
    /// End with 4 where only the next night decides.
    #[arg(long)]
    strict: bool,
    /// How the night is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: NightFormat,
}

/// Flags of `batchstep nightly report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Writes nights.html, history.json and plots/*.svg: each series over its nights with its baseline, the gates, changes of its environment, hits, alarms and
what people answered; and the devices of a model beside each other.

Examples:
  batchstep nightly report --output nights
  batchstep nightly report --schedule gpus-at-night --nights 30 --device gpu-07 --output /srv/www/nights"
)]
pub(super) struct Report {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// The schedule; may be left out where there is one only.
    #[arg(long, value_name = "NAME")]
    schedule: Option<String>,
    /// Only devices whose id, name or host contains this text; case does not matter.
    #[arg(long, value_name = "TEXT")]
    device: Option<String>,
    /// Only workloads that contain this text.
    #[arg(long, value_name = "TEXT")]
    workload: Option<String>,
    /// The newest so many nights.
    #[arg(long, value_name = "N", default_value = "90", value_parser = clap::value_parser!(u32).range(1..=400))]
    nights: u32,
    /// The folder, made when missing.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
}

/// Flags of `batchstep nightly test-messages`.
#[derive(Debug, Args)]
#[command(
    after_help = "Whether it arrived is in the coordinator's log and in batchstep_messages_total.

Examples:
  batchstep nightly test-messages
  batchstep nightly test-messages --channel slack"
)]
pub(super) struct TestMessages {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Only this channel: webhook, slack or email:ADDRESS.
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    #[command(flatten)]
    person: PersonArgs,
}

fn which(text: &str) -> Result<Which, String> {
    if let Ok(number) = text.parse() {
        return Ok(Which::Number(number));
    }
    text.parse::<Date>()
        .map(|date| Which::Date(date.to_string()))
        .map_err(|_| {
            "neither a day nor the number of a night; write a day such as 2026-11-26, or a number as `batchstep nightly list` shows it"
                .to_owned()
        })
}

/// Runs one of them.
///
/// # Errors
/// When the coordinator cannot be asked or refuses.
pub(super) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::List(options) => list(options).await,
        Command::Show(options) => show(options).await,
        Command::Report(options) => report(options).await,
        Command::TestMessages(options) => test_messages(options).await,
    }
}

async fn list(options: List) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let schedule = options.schedule.as_deref();
    let document = ask::nights(&mut connection.nightly, schedule, options.limit).await?;
    if document.nights.is_empty() && schedule.is_some() {
        must_be_known(&mut connection.nightly, schedule).await?;
    }
    match options.format {
        NightFormat::Table => text::print_line(&night::list(&document.nights))?,
        NightFormat::Json => nights::print_document(&document)?,
        NightFormat::Markdown => text::print_line(&night::list_markdown(&document.nights))?,
    }
    connection.close().await?;
    Ok(Exit::Done)
}

/// Refuses a name that is no schedule's, where an answer is empty.
async fn must_be_known(client: &mut Nights, schedule: Option<&str>) -> Result<()> {
    ask::schedules(client, schedule, 0).await.map(|_| ())
}

async fn show(options: Show) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let client = &mut connection.nightly;
    let document = ask::night(client, options.schedule.as_deref(), options.night).await?;
    let findings = Findings::of_night(document);
    let flag = options.coordinator.repeated();
    match options.format {
        NightFormat::Table => text::print_line(&night::show(&findings, options.all, &flag))?,
        NightFormat::Json => nights::print_document(&findings.nights[0])?,
        NightFormat::Markdown => {
            text::print_line(&night::show_markdown(&findings, options.all, &flag))?;
        }
    }
    connection.close().await?;
    let exit = findings.exit(options.strict);
    Findings::explain(exit);
    Ok(exit)
}

async fn report(options: Report) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let schedule = options.schedule.as_deref();
    let request = wire::GetHistoryRequest {
        schedule: options.schedule.clone(),
        device: options.device,
        workload: options.workload,
        nights: options.nights,
    };
    let histories: Histories = ask::read(connection.nightly.get_history(request).await)?;
    if histories.series.is_empty() && schedule.is_some() {
        must_be_known(&mut connection.nightly, schedule).await?;
    }
    connection.close().await?;
    if histories.series.is_empty() {
        eprintln!("No night has measured such a series yet; nothing was written.");
        return Ok(Exit::Incomplete);
    }
    let written = write_history(&options.output, &histories.series)?;
    for path in written
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "html"))
    {
        text::print_line(&path.display().to_string())?;
    }
    Ok(Exit::Done)
}

async fn test_messages(options: TestMessages) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let request = wire::TestMessagesRequest {
        channel: options.channel,
        user: options.person.name(),
    };
    let sent = connection
        .nightly
        .test_messages(request)
        .await
        .map_err(refusal)?;
    connection.close().await?;
    for channel in sent.into_inner().channels {
        text::print_line(&format!("A message is on its way to {channel}."))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_is_meant_by_its_day_or_its_number() {
        assert_eq!(which("17"), Ok(Which::Number(17)));
        assert_eq!(
            which("2026-11-26"),
            Ok(Which::Date("2026-11-26".to_owned()))
        );
        for bad in ["", "yesterday", "2026-11-31", "-1", "99999999999"] {
            let said = which(bad).unwrap_err();
            assert!(said.contains("such as 2026-11-26"), "{bad}: {said}");
        }
    }
}
