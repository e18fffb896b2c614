//! The record of what people did with schedules and alarms.

use anyhow::Result;
use clap::Args;

use crate::{
    cli::{
        Exit,
        args::CoordinatorArgs,
        endpoint::Connection,
        grid,
        nights::{NightFormat, ask, cell, markdown_table, minute, print_document, sentence},
        text,
    },
    nightly::document::ActionRow,
};

/// What a person sees of an action, in this order.
const COLUMNS: [&str; 6] = ["when", "who", "did", "schedule", "alarm", "why"];

/// Flags of `batchstep regressions log`.
#[derive(Debug, Args)]
#[command(
    after_help = "WHO is the name that people gave themselves, and in brackets whom the coordinator knows: local, on its own host, or operator, with a token.

Examples:
  batchstep regressions log
  batchstep regressions log --limit 1000 --format json"
)]
pub(super) struct Log {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// How many at most.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// How the record is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: NightFormat,
}

/// Prints the record, newest first.
///
/// # Errors
/// When the coordinator cannot be asked.
pub(super) async fn run(options: Log) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let document = ask::actions(&mut connection.nightly, options.limit).await?;
    let rows = document.actions.iter().map(columns);
    match options.format {
        NightFormat::Json => print_document(&document)?,
        NightFormat::Markdown => text::print_line(&markdown_table(&COLUMNS, rows.map(Vec::from)))?,
        NightFormat::Table if document.actions.is_empty() => {
            text::print_line("Nobody has done anything yet.")?;
        }
        NightFormat::Table => {
            let rows: Vec<_> = rows.collect();
            text::print_line(&grid::fit(COLUMNS, &rows, &[], grid::width()))?;
        }
    }
    connection.close().await?;
    Ok(Exit::Done)
}

fn columns(action: &ActionRow) -> [String; 6] {
    [
        minute(&action.at),
        cell(&format!("{} ({})", action.user, action.caller)),
        cell(&action.action),
        cell(&action.schedule),
        action
            .alarm
            .map_or_else(String::new, |alarm| alarm.to_string()),
        sentence(&action.reason),
    ]
}
