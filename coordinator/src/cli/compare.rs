//! `batchstep compare`: two runs, nights, devices or drivers beside each other. Asks and prints; the coordinator pairs and compares.

use anyhow::Result;
use batchstep_judge::compare::Answer;
use batchstep_proto::wire;
use clap::Args;

use super::{
    Exit,
    args::CoordinatorArgs,
    endpoint::Connection,
    exit, grid,
    nights::{self, NightFormat, ask},
    sweep, text,
};
use crate::nightly::{CompareDocument, CompareRow, Measured, Side, setting};

/// Flags of `batchstep compare`.
#[derive(Debug, Args)]
#[command(
    after_help = "What can be compared: sweep:ID (or its beginning, or last), night:SCHEDULE@DATE or @NUMBER, device:ID (its last sweep),
driver:VERSION (the last sweep with it). Workloads are paired by name, mode, dtype and threads, devices with themselves where they are
on both sides; of each pair the times at the batch sizes that both have are compared.

`slower` and `faster` are said of the second side: the 95 % interval of the median ratio of times lies on one side of 1 and reaches beyond
1 %; `same`: it lies within 1 % of 1; `ambiguous`: it holds both. What is measured within one night does not know how nights differ; only
between two nights of a schedule that is taken into account.

Exit codes: 0 nothing is slower, 1 something is, 3 nothing could be compared, 4 with --strict something is ambiguous.

Examples:
  batchstep compare night:gpus@2026-11-25 night:gpus@2026-11-26
  batchstep compare sweep:0190d3a0 sweep:last --workload cnn
  batchstep compare device:GPU-5c1a.. device:GPU-77b0.. --format markdown
  batchstep compare driver:570.86.10 driver:580.65.06"
)]
pub(super) struct Options {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// What it is compared with.
    #[arg(value_name = "A")]
    a: String,
    /// What is compared.
    #[arg(value_name = "B")]
    b: String,
    /// Only devices whose id, name or host contains this text; case does not matter.
    #[arg(long, value_name = "TEXT")]
    device: Option<String>,
    /// Only workloads that contain this text.
    #[arg(long, value_name = "TEXT")]
    workload: Option<String>,
    /// End with 4 where the answer is ambiguous.
    #[arg(long)]
    strict: bool,
    /// How the comparison is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: NightFormat,
}

/// Compares.
///
/// # Errors
/// When a side does not exist, or the coordinator cannot be asked.
pub(super) async fn run(options: Options) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    let (a, b) = (
        side(&mut connection, &options.a).await?,
        side(&mut connection, &options.b).await?,
    );
    let request = wire::CompareRequest {
        a: a.to_string(),
        b: b.to_string(),
        device: options.device.clone(),
        workload: options.workload.clone(),
    };
    let document: CompareDocument = ask::read(connection.nightly.compare(request).await)?;
    connection.close().await?;
    match options.format {
        NightFormat::Json => nights::print_document(&document)?,
        NightFormat::Table => text::print_line(&table(&document))?,
        NightFormat::Markdown => text::print_line(&markdown(&document))?,
    }
    Ok(exit(&document, options.strict))
}

/// A side, its sweep by the whole id.
async fn side(connection: &mut Connection, text: &str) -> Result<Side> {
    let text = match text.strip_prefix("sweep:") {
        Some(sweep) => {
            let sweep = sweep::find(&mut connection.client, sweep).await?;
            format!("sweep:{}", sweep.sweep_id)
        }
        None => text.to_owned(),
    };
    text.parse()
        .map_err(|error: crate::nightly::SideError| exit::usage(error.to_string()))
}

fn exit(document: &CompareDocument, strict: bool) -> Exit {
    let has = |answer| {
        document
            .rows
            .iter()
            .any(|row| row.comparison.answer == answer)
    };
    if document.rows.is_empty() {
        Exit::Incomplete
    } else if has(Answer::Slower) {
        Exit::BadNews
    } else if strict && has(Answer::Ambiguous) {
        Exit::Ambiguous
    } else {
        Exit::Done
    }
}

const HEADER: [&str; 6] = [
    "workload",
    "a",
    "b",
    "b beside a",
    "95 % interval",
    "batch sizes",
];

/// What a narrow terminal does without.
const SPARE: [&str; 1] = ["batch sizes"];

fn cells(row: &CompareRow) -> [String; 6] {
    let comparison = &row.comparison;
    let percent = |shift: f64| format!("{:+.1} %", shift.exp_m1() * 100.0);
    let word = match comparison.answer {
        Answer::Same => "same",
        Answer::Faster => "faster",
        Answer::Slower => "slower",
        Answer::Ambiguous => "ambiguous",
    };
    let interval = comparison.interval.map_or_else(
        || "–".to_owned(),
        |[low, high]| format!("{} .. {}", percent(low), percent(high)),
    );
    [
        nights::cell(&setting(&row.workload)),
        who(&row.a),
        who(&row.b),
        format!("{word}, {}", percent(comparison.shift)),
        interval,
        comparison.pairs.to_string(),
    ]
}

/// Whose times they are: the device where it is one, else how many.
fn who(measured: &Measured) -> String {
    let models = measured.device_models.join(", ");
    let text = match measured.devices.as_slice() {
        [device] => format!("{models} {device}"),
        devices => format!("{} × {models}", devices.len()),
    };
    nights::cell(&text)
}

fn table(document: &CompareDocument) -> String {
    let mut out = format!(
        "a: {}\nb: {}\n",
        nights::cell(&document.a),
        nights::cell(&document.b)
    );
    if !document.rows.is_empty() {
        let rows: Vec<_> = document.rows.iter().map(cells).collect();
        out.push_str(&grid::fit(HEADER, &rows, &SPARE, grid::width()));
        out.push('\n');
    }
    for line in &document.left_out {
        out.push_str(&format!("left out: {}\n", nights::sentence(&setting(line))));
    }
    out
}

fn markdown(document: &CompareDocument) -> String {
    let rows = document.rows.iter().map(|row| cells(row).to_vec());
    let mut out = format!("**a**: `{}`, **b**: `{}`\n\n", document.a, document.b);
    out.push_str(&nights::markdown_table(&HEADER, rows));
    for line in &document.left_out {
        out.push_str(&format!(
            "\n- left out: {}",
            nights::sentence(&setting(line))
        ));
    }
    out
}
