//! The step table on the terminal: `batchstep table`, and the same printing for `local` and `sweep show`. Asks the coordinator for rows and prints
//! them; never changes a number.

use anyhow::{Context as _, Result};
use batchstep_core::steptable::{Row, Table, Verdict};
use batchstep_proto::wire;
use batchstep_report::{cells, siblings, table_csv, table_markdown};
use clap::Args;

use super::{
    Exit,
    args::{CoordinatorArgs, Format},
    endpoint::{Client, Connection, refusal},
    grid, text,
};

/// Recommended batch sizes in a cell.
const SIZES_SHOWN: usize = 6;

/// Flags of `batchstep table`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep table
  batchstep table --device-model h200 --workload cnn
  batchstep table --data-dir ~/.local/share/batchstep --format json")]
pub(super) struct Options {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Only device models that contain this text; case does not matter.
    #[arg(long, value_name = "TEXT")]
    device_model: Option<String>,
    /// Only workloads that contain this text.
    #[arg(long, value_name = "TEXT")]
    workload: Option<String>,
    /// Also rows of simulated devices, which are marked as such.
    #[arg(long)]
    simulated: bool,
    /// How the table is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Prints the step table.
///
/// # Errors
/// When the coordinator cannot be asked.
pub(super) async fn run(options: Options) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let request = wire::GetTableRequest {
        device_model: options.device_model,
        workload: options.workload,
        simulated: options.simulated,
        ..Default::default()
    };
    let table = fetch(&mut connection.client, request.clone()).await?;
    print(&table, options.format)?;
    if table.rows.is_empty() && !request.simulated {
        let simulated = wire::GetTableRequest {
            simulated: true,
            ..request
        };
        let hidden = fetch(&mut connection.client, simulated).await?.rows.len();
        if hidden > 0 {
            let rows = text::count(u32::try_from(hidden).unwrap_or(u32::MAX), "row");
            eprintln!("Not shown: {rows} of simulated devices; --simulated shows them.");
        }
    }
    connection.close().await?;
    Ok(Exit::Done)
}

/// Asks for rows.
///
/// # Errors
/// When the coordinator refuses, or its answer is not a table.
pub(super) async fn fetch(client: &mut Client, request: wire::GetTableRequest) -> Result<Table> {
    let answer = client.get_table(request).await.map_err(refusal)?;
    serde_json::from_slice(&answer.into_inner().json)
        .context("the coordinator's table is of a form that this batchstep does not know")
}

/// Asks for the rows of one sweep, simulated devices included; `detailed` adds points and fitted curves.
///
/// # Errors
/// As [`fetch`].
pub(super) async fn fetch_sweep(client: &mut Client, sweep: &str, detailed: bool) -> Result<Table> {
    let request = wire::GetTableRequest {
        sweep_id: Some(sweep.to_owned()),
        detailed,
        simulated: true,
        ..Default::default()
    };
    fetch(client, request).await
}

/// The table without points and curves, as it is printed.
pub(super) fn summary(table: &Table) -> Table {
    let mut table = table.clone();
    for row in &mut table.rows {
        row.points.clear();
        row.fitted.clear();
        row.edges.clear();
    }
    table
}

/// Prints a table on stdout.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(table: &Table, format: Format) -> Result<()> {
    let rows = || {
        table
            .rows
            .iter()
            .map(|row| row.row.clone())
            .collect::<Vec<Row>>()
    };
    match format {
        Format::Json => text::print_json(table),
        Format::Csv => text::print(
            table_csv(&rows())
                .context("cannot write the table as CSV")?
                .as_bytes(),
        ),
        Format::Markdown => text::print(table_markdown(&rows()).as_bytes()),
        Format::Table => text::print_line(&for_people(&rows())),
    }
}

fn for_people(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "No rows: nothing has been measured yet. `batchstep local` measures this machine."
            .to_owned();
    }
    let columns: Vec<[String; 8]> = rows.iter().map(|row| columns(row, rows)).collect();
    let mut text = grid::fit(HEADER, &columns, &[], None);
    let width = grid::width();
    if width.is_some_and(|width| grid::longest_line(&text) > width) {
        text = grid::records(HEADER, &columns, width);
    }
    for row in rows {
        text.push_str(&remarks(row, rows));
    }
    text
}

/// What stands below the table: why a row has no step and what to do, and what the devices of a row say where they are several.
fn remarks(row: &Row, rows: &[Row]) -> String {
    let devices = siblings::lines(row);
    let explained = row.verdict != Verdict::Step;
    if !explained && devices.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{} on {}: {}: {}",
        short_workload(row, rows),
        cells::device(row),
        cells::verdict(row.verdict),
        row.reason
    );
    for line in devices {
        text.push_str(&format!("\n  {line}"));
    }
    if let Some(action) = row.next_action.as_ref().filter(|_| explained) {
        text.push_str(&format!("\n  next: {action}"));
    }
    text
}

/// What a person sees of a row, in this order.
const HEADER: [&str; 8] = [
    "device",
    "workload",
    "setting",
    "verdict",
    "step",
    "one sample more",
    "good batch sizes",
    "best throughput",
];

fn columns(row: &Row, rows: &[Row]) -> [String; 8] {
    let best = row.best_throughput.as_ref().map_or_else(
        || cells::ABSENT.to_owned(),
        |best| {
            format!(
                "{} at {}",
                cells::throughput(best.samples_per_second),
                best.batch_size
            )
        },
    );
    [
        cells::device(row),
        short_workload(row, rows),
        cells::setting(row),
        siblings::verdict(row),
        cells::step(row),
        cells::jump(row).unwrap_or_else(|| cells::ABSENT.to_owned()),
        cells::batch_sizes(&row.recommended_batch_sizes, SIZES_SHOWN),
        best,
    ]
}

/// The name alone where that is unambiguous.
fn short_workload(row: &Row, rows: &[Row]) -> String {
    let ambiguous = rows
        .iter()
        .any(|other| other.workload == row.workload && other.parameters != row.parameters);
    // A user's own network.
    let name = row.parameters.get("name").and_then(|name| name.as_str());
    if ambiguous {
        text::short_digests(&cells::workload_spec(row))
    } else if let Some(name) = name {
        format!("{} {name}", row.workload)
    } else {
        row.workload.clone()
    }
}

/// True when a verdict leaves its question open, so that the command is incomplete.
pub(super) const fn is_open(verdict: Verdict) -> bool {
    match verdict {
        Verdict::Step | Verdict::NoStep | Verdict::Irregular => false,
        Verdict::Insufficient | Verdict::Disputed | Verdict::Contended | Verdict::Throttled => true,
    }
}
