//! `batchstep export`: the report of a stored sweep, or its timed blocks on stdout. Also gathers reports for `local`; writes only where it is told.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use batchstep_proto::wire;
use batchstep_report::{Report, blocks_csv};
use clap::{Args, ValueEnum};
use tonic::{Code, Status};

use super::{
    Exit,
    args::CoordinatorArgs,
    endpoint::{Client, Connection, refusal},
    exit, sweep, tables, text,
};

/// Flags of `batchstep export`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep export last --output report
  batchstep export last --format csv > blocks.csv
  batchstep export 0190d3a0 --data-dir ~/.local/share/batchstep --output report")]
pub(super) struct Options {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Id of the sweep, its beginning or its end where that is unique, or last.
    #[arg(value_name = "SWEEP")]
    sweep: String,
    /// Folder to write the report into; made when missing.
    #[arg(long, value_name = "DIR", required_unless_present = "format")]
    output: Option<PathBuf>,
    /// Print the timed blocks (csv) or the detailed rows with points and curves (json) on stdout.
    #[arg(long, value_enum)]
    format: Option<ExportFormat>,
}

/// What is printed on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// Every timed block.
    Csv,
    /// The rows with their points and fitted curves.
    Json,
}

/// Exports one sweep.
///
/// # Errors
/// When there is no such sweep, or the folder cannot be written.
pub(super) async fn run(options: Options) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let client = &mut connection.client;
    let sweep = sweep::find(client, &options.sweep).await?;
    if let Some(output) = &options.output {
        let report = gather(client, &sweep, Vec::new()).await?;
        if report.table.rows.is_empty() && report.blocks.is_empty() {
            return Err(exit::usage(format!(
                "sweep {} has measured nothing yet; `batchstep sweep show {} --explain` says why",
                sweep.sweep_id, sweep.sweep_id
            )));
        }
        batchstep_report::write(output, &report)
            .with_context(|| format!("cannot write the report into {}", output.display()))?;
        eprintln!("Report: {}", output.join("report.html").display());
    }
    match options.format {
        None => {}
        Some(ExportFormat::Csv) => {
            let blocks = blocks(client, &sweep.sweep_id).await?;
            let csv = blocks_csv(&blocks).context("cannot write the blocks as CSV")?;
            text::print(csv.as_bytes())?;
        }
        Some(ExportFormat::Json) => {
            text::print_json(&tables::fetch_sweep(client, &sweep.sweep_id, true).await?)?;
        }
    }
    connection.close().await?;
    Ok(Exit::Done)
}

/// Every timed block of a sweep, in order of series, round and visit.
///
/// # Errors
/// When the coordinator refuses or goes away.
pub(super) async fn blocks(client: &mut Client, sweep_id: &str) -> Result<Vec<wire::BlockRecord>> {
    stored_blocks(client, sweep_id).await.map_err(refusal)
}

/// The same with the coordinator's own refusal.
async fn stored_blocks(
    client: &mut Client,
    sweep_id: &str,
) -> Result<Vec<wire::BlockRecord>, Status> {
    let request = wire::ExportBlocksRequest {
        sweep_id: sweep_id.to_owned(),
    };
    let mut stream = client.export_blocks(request).await?.into_inner();
    let mut blocks = Vec::new();
    while let Some(block) = stream.message().await? {
        blocks.push(block);
    }
    Ok(blocks)
}

/// Everything a report says about a sweep; without blocks, and with a note, where those are compacted.
///
/// # Errors
/// When the coordinator refuses or goes away.
pub(super) async fn gather(
    client: &mut Client,
    sweep: &wire::Sweep,
    mut notes: Vec<String>,
) -> Result<Report> {
    let table = tables::fetch_sweep(client, &sweep.sweep_id, true).await?;
    let blocks = match stored_blocks(client, &sweep.sweep_id).await {
        Ok(blocks) => blocks,
        Err(status) if status.code() == Code::FailedPrecondition => {
            notes.push(status.message().to_owned());
            Vec::new()
        }
        Err(status) => return Err(refusal(status)),
    };
    let mut hosts: Vec<&str> = sweep
        .series
        .iter()
        .map(|series| series.hostname.as_str())
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    Ok(Report {
        title: "Parallelism step sizes".to_owned(),
        command: text::command_line(std::env::args_os()),
        generated_at: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        host: (!hosts.is_empty()).then(|| hosts.join(", ")),
        preset: sweep.spec.as_ref().and_then(|spec| spec.preset.clone()),
        table,
        blocks,
        notes,
    })
}
