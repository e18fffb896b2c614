//! `batchstep sweep ..`: asks a coordinator for measurements and follows them. Holds no state of its own; what a sweep measures is `args`' business,
//! how it reads is `sweep_view`'s.

use anyhow::Result;
use batchstep_core::steptable::SCHEMA_VERSION;
use batchstep_proto::{
    domain::{InvalidField, SweepSpec},
    ids::RequestId,
    wire,
};
use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    Exit,
    args::{CoordinatorArgs, Format, SchedulingArgs, SweepArgs},
    article,
    endpoint::{Client, Connection, refusal},
    exit, follow, forewarning, hand_over,
    signals::Interrupts,
    sweep_view, tables, text,
};

/// The commands about sweeps.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Submit a sweep and follow it.
    Run(Run),
    /// List all sweeps.
    List(List),
    /// Show one sweep: its series and its rows.
    Show(Show),
    /// Follow a sweep until it is over.
    Watch(Watch),
    /// End a sweep; what was measured is kept.
    Cancel(Cancel),
}

/// Flags of `batchstep sweep run`.
#[derive(Debug, Args)]
#[command(after_help = "Ctrl-C stops following, not the sweep.

Examples:
  batchstep sweep run --workload linear --budget 1m
  batchstep sweep run --devices gpu --workload cnn --dtype tf32 --detach
  batchstep sweep run --only-between 20:00-06:00 --idle-only --detach
  batchstep sweep run --workload conv:inputs=128 --batch-sizes 1-256 --strategy dense
  batchstep sweep run --workload torchscript:path=net.pt,input=3x224x224,target=class:10")]
pub(super) struct Run {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Print the sweep's id and return.
    #[arg(long)]
    detach: bool,
    /// Submit a preset that takes hours on CPUs; without this or --budget it ends with code 2.
    #[arg(long)]
    yes: bool,
    /// How the rows are printed at the end.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    sweep: SweepArgs,
    #[command(flatten)]
    scheduling: SchedulingArgs,
}

/// Flags of `batchstep sweep list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep sweep list
  batchstep sweep list --format json")]
pub(super) struct List {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Flags of `batchstep sweep show`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep sweep show last --explain
  batchstep sweep show 0190d3a0 --format json")]
pub(super) struct Show {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Id of the sweep, its beginning or its end where that is unique, or last.
    #[arg(value_name = "SWEEP")]
    sweep: String,
    /// Say of every series why it is where it is.
    #[arg(long)]
    explain: bool,
    /// How the rows are printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Flags of `batchstep sweep watch`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep sweep watch last")]
pub(super) struct Watch {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Id of the sweep, its beginning or its end where that is unique, or last.
    #[arg(value_name = "SWEEP")]
    sweep: String,
    /// How the rows are printed at the end.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// Flags of `batchstep sweep cancel`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep sweep cancel last
  batchstep sweep cancel 0190d3a0 --reason 'the card is needed'")]
pub(super) struct Cancel {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Id of the sweep, its beginning or its end where that is unique, or last.
    #[arg(value_name = "SWEEP")]
    sweep: String,
    /// Why, for whoever looks later.
    #[arg(long, value_name = "TEXT", default_value = "from the command line")]
    reason: String,
}

/// Runs one of them.
///
/// # Errors
/// When the coordinator cannot be asked or refuses.
pub(super) async fn run(command: Command) -> Result<Exit> {
    match command {
        Command::Run(options) => run_sweep(options).await,
        Command::List(options) => list(options).await,
        Command::Show(options) => show(options).await,
        Command::Watch(options) => watch(options).await,
        Command::Cancel(options) => cancel(options).await,
    }
}

async fn run_sweep(options: Run) -> Result<Exit> {
    let mut spec = options.sweep.spec();
    spec.scheduling = options.scheduling.scheduling()?;
    if options.sweep.preset.is_some() {
        article::apply(&mut spec, &options.sweep)?;
    }
    hand_over::check(&spec)?;
    let mut spec = checked(spec)?;
    let mut connection = Connection::open(&options.coordinator).await?;
    if article::is_whole(&spec) {
        let forewarning = forewarning::of(&mut connection.client, &spec).await?;
        eprintln!("{}", forewarning.text);
        if forewarning.on_cpu && !options.yes {
            eprintln!(
                "  within a budget: {}\nNothing was submitted. To run it all the same, add --yes.",
                article::budgeted_command()
            );
            connection.close().await?;
            return Ok(Exit::Usage);
        }
    }
    hand_over::hand_over(&mut connection.client, &mut spec).await?;
    let sweep = submit(&mut connection.client, checked(spec)?).await?;
    if options.detach || connection.is_embedded() {
        if connection.is_embedded() {
            eprintln!("The sweep waits in the data directory for a coordinator and its agents.");
        }
        text::print_line(&sweep)?;
        connection.close().await?;
        return Ok(Exit::Done);
    }
    eprintln!("Sweep {sweep}");
    follow_and_print(connection, &sweep, options.format, &options.coordinator).await
}

/// Checks a spec against every limit, as the coordinator will.
///
/// # Errors
/// Names the flag that is wrong.
pub(super) fn checked(spec: SweepSpec) -> Result<SweepSpec> {
    SweepSpec::try_from(wire::SweepSpec::from(spec)).map_err(|InvalidField { field, problem }| {
        let flag = match field {
            "spec.workloads" => "--workload".to_owned(),
            field => format!(
                "--{}",
                field
                    .trim_start_matches("spec.")
                    .trim_end_matches("_ns")
                    .replace('_', "-")
            ),
        };
        exit::usage(format!("{flag}: {problem}"))
    })
}

/// Submits a sweep and returns its id.
///
/// # Errors
/// When the coordinator refuses it.
pub(super) async fn submit(client: &mut Client, spec: SweepSpec) -> Result<String> {
    let request = wire::SubmitSweepRequest {
        request_id: RequestId::generate().to_string(),
        spec: Some(spec.into()),
    };
    let answer = client.submit_sweep(request).await.map_err(refusal)?;
    Ok(answer.into_inner().sweep_id)
}

async fn follow_and_print(
    mut connection: Connection,
    sweep_id: &str,
    format: Format,
    coordinator: &CoordinatorArgs,
) -> Result<Exit> {
    let mut interrupts = Interrupts::catch()?;
    let sweep = tokio::select! {
        sweep = follow::follow(&mut connection.client, sweep_id) => sweep?,
        _ = interrupts.next() => {
            let (program, flag) = (text::program(), coordinator.repeated());
            eprintln!(
                "\nThe sweep goes on without this command.\n  follow it: {program} sweep watch {sweep_id}{flag}\n  end it:    {program} sweep cancel {sweep_id}{flag}"
            );
            return Ok(Exit::Incomplete);
        }
    };
    let table = tables::fetch_sweep(&mut connection.client, sweep_id, false).await?;
    tables::print(&table, format)?;
    connection.close().await?;
    let open = table
        .rows
        .iter()
        .any(|row| tables::is_open(row.row.verdict));
    let done = sweep.state() == wire::SweepState::Done;
    if !done {
        eprintln!(
            "Sweep {}: {}",
            sweep_view::state_word(sweep.state()),
            sweep.explanation.join("; ")
        );
    }
    Ok(if done && !open && !table.rows.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

async fn list(options: List) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let sweeps = all(&mut connection.client).await?;
    match options.format {
        Format::Json => {
            let sweeps: Vec<_> = sweeps.iter().map(sweep_view::as_json).collect();
            text::print_json(&json!({"schema_version": SCHEMA_VERSION, "sweeps": sweeps}))?;
        }
        Format::Table => text::print_line(&sweep_view::list(&sweeps))?,
        Format::Csv => text::print(&sweep_view::list_csv(&sweeps)?)?,
        Format::Markdown => text::print_line(&sweep_view::list_markdown(&sweeps))?,
    }
    connection.close().await?;
    Ok(Exit::Done)
}

async fn show(options: Show) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let sweep = find(&mut connection.client, &options.sweep).await?;
    let table = tables::fetch_sweep(&mut connection.client, &sweep.sweep_id, false).await?;
    match options.format {
        Format::Json => {
            // The table's own shape, with the sweep beside its rows.
            let mut value = serde_json::to_value(&table)?;
            value["sweep"] = sweep_view::as_json(&sweep);
            text::print_json(&value)?;
        }
        Format::Table => {
            text::print_line(&sweep_view::show(&sweep, options.explain))?;
            if !table.rows.is_empty() {
                tables::print(&table, Format::Table)?;
            }
        }
        format => tables::print(&table, format)?,
    }
    connection.close().await?;
    Ok(Exit::Done)
}

async fn watch(options: Watch) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let sweep = find(&mut connection.client, &options.sweep).await?;
    if connection.is_embedded() && follow::is_active(&sweep) {
        return Err(exit::usage(format!(
            "no agent measures for a coordinator that runs only for this command; leave out --data-dir, or go on with `{} local --resume`",
            text::program()
        )));
    }
    follow_and_print(
        connection,
        &sweep.sweep_id,
        options.format,
        &options.coordinator,
    )
    .await
}

async fn cancel(options: Cancel) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let sweep = find(&mut connection.client, &options.sweep).await?;
    let cancelled = cancel_sweep(&mut connection.client, &sweep.sweep_id, &options.reason).await?;
    connection.close().await?;
    if cancelled {
        eprintln!(
            "Sweep {} is cancelled; what was measured is kept.",
            sweep.sweep_id
        );
        Ok(Exit::Done)
    } else {
        eprintln!(
            "Sweep {} had ended before: {}.",
            sweep.sweep_id,
            sweep_view::state_word(sweep.state())
        );
        Ok(Exit::Done)
    }
}

/// Cancels a sweep; false when it had ended before.
///
/// # Errors
/// When the coordinator refuses.
pub(super) async fn cancel_sweep(
    client: &mut Client,
    sweep_id: &str,
    reason: &str,
) -> Result<bool> {
    let request = wire::CancelSweepRequest {
        sweep_id: sweep_id.to_owned(),
        reason: reason.to_owned(),
    };
    let answer = client.cancel_sweep(request).await.map_err(refusal)?;
    Ok(answer.into_inner().cancelled)
}

/// Every sweep, oldest first.
///
/// # Errors
/// When the coordinator refuses.
pub(super) async fn all(client: &mut Client) -> Result<Vec<wire::Sweep>> {
    let answer = client
        .list_sweeps(wire::ListSweepsRequest {})
        .await
        .map_err(refusal)?;
    let mut sweeps = answer.into_inner().sweeps;
    // Ids are UUIDs of version 7: they sort by time.
    sweeps.sort_by(|a, b| a.sweep_id.cmp(&b.sweep_id));
    Ok(sweeps)
}

/// The sweep that a person means: an id, its beginning or end, or `last`.
///
/// # Errors
/// When there is none or more than one.
pub(super) async fn find(client: &mut Client, wanted: &str) -> Result<wire::Sweep> {
    let mut sweeps = all(client).await?;
    if sweeps.is_empty() {
        return Err(exit::usage(
            "the coordinator has no sweep yet; ask for one with `batchstep sweep run`",
        ));
    }
    if wanted != "last" {
        let lower = wanted.to_lowercase();
        sweeps.retain(|sweep| {
            !lower.is_empty()
                && (sweep.sweep_id.starts_with(&lower) || sweep.sweep_id.ends_with(&lower))
        });
    }
    match (sweeps.len(), sweeps.pop()) {
        (0, _) | (_, None) => Err(exit::usage(format!(
            "no sweep's id begins or ends with {wanted:?}; `batchstep sweep list` shows them"
        ))),
        (count, Some(_)) if count > 1 && wanted != "last" => Err(exit::usage(format!(
            "{count} sweeps' ids begin or end with {wanted:?}; write more of the id"
        ))),
        (_, Some(sweep)) => Ok(sweep),
    }
}
