//! `batchstep advise`: which batch size to choose, from the step table. Asks the coordinator for rows, lets `batchstep_core::advise` choose and answer, and
//! names the command that measures what the table does not know; measures nothing itself.

use anyhow::{Context as _, Result, anyhow};
use batchstep_core::{
    advise::{
        Advice, Basis, Candidate, Question, Selection, Undecided, advise, choose, flags_for_row,
        flags_for_selection,
    },
    steptable::{DetailedRow, Row, SCHEMA_VERSION, Table},
};
use batchstep_proto::{
    domain::{DeviceKind, Dtype, Mode},
    limits,
    size::Size,
    wire,
    workload::WorkloadSpec,
};
use batchstep_report::cells;
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser as _},
};
use serde::Serialize;

use super::{
    Exit, advise_view,
    args::{CoordinatorArgs, dtype_parser, mode_parser},
    endpoint::Connection,
    exit, tables, text,
};

/// Rows listed where a question fits none or several.
const MOST_LISTED: usize = 12;
/// Batch sizes on each side of one that is to be measured.
const WINDOW: u32 = 32;

/// Flags of `batchstep advise`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep advise --workload linear
  batchstep advise --device-model h200 --workload resnet50 --dtype bf16 --near 34
  batchstep advise --workload cnn --at-most-memory 16GiB --data-dir ~/.local/share/batchstep
  batchstep advise --workload cnn --near 34 --format json

Exit codes: 0 advice given, 2 the question is ambiguous, 3 the table does not know; stderr or the answer says what to measure.")]
pub(super) struct Options {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// The batch size you have in mind: what it costs, and the better ones next to it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::BATCH_SIZE)))]
    near: Option<u32>,
    /// Advise no batch that needs more memory, such as 16GiB.
    #[arg(long, value_name = "SIZE")]
    at_most_memory: Option<Size>,
    /// Device model, or a part of it; case does not matter [default: the only one].
    #[arg(long, value_name = "TEXT")]
    device_model: Option<String>,
    /// Network as name:key=value,.. [default: the only one measured].
    #[arg(long, value_name = "SPEC")]
    workload: Option<WorkloadSpec>,
    /// What one iteration does [default: the only one measured].
    #[arg(long, value_parser = mode_parser())]
    mode: Option<Mode>,
    /// Arithmetic of weights and activations [default: the only one measured].
    #[arg(long, value_parser = dtype_parser())]
    dtype: Option<Dtype>,
    /// CPU threads [default: the only number measured].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    threads: Option<u32>,
    /// MIG profile, or none.
    #[arg(long, value_name = "PROFILE")]
    mig_profile: Option<String>,
    /// SMs of the GPU, or logical cores of the CPU.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    compute_units: Option<u32>,
    /// What executes it.
    #[arg(long, value_parser = kind_parser())]
    device_kind: Option<DeviceKind>,
    /// A version of the software, or a part of it, such as 'driver 580' (repeatable).
    #[arg(long, value_name = "TEXT")]
    software: Vec<String>,
    /// Also rows of simulated devices, which are marked as such; --device-kind simulated: only those.
    #[arg(long)]
    simulated: bool,
    /// How the advice is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: AdviceFormat,
}

/// How the advice is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AdviceFormat {
    /// For people.
    Table,
    /// For programs; carries `schema_version`.
    Json,
}

fn kind_parser() -> impl clap::builder::TypedValueParser<Value = DeviceKind> {
    PossibleValuesParser::new(DeviceKind::ALL.iter().map(|kind| kind.word()))
        .try_map(|word| word.parse::<DeviceKind>())
}

/// The JSON: a row as `table` prints it, and the advice beside its fields.
#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    #[serde(flatten)]
    row: &'a Row,
    #[serde(flatten)]
    advice: &'a Advice,
    command: Option<&'a str>,
}

/// Gives advice.
///
/// # Errors
/// When the coordinator cannot be asked, or the question fits no row or several.
pub(super) async fn run(mut options: Options) -> Result<Exit> {
    options.simulated |= options.device_kind == Some(DeviceKind::Simulated);
    let selection = options.selection();
    let mut connection = Connection::open(&options.coordinator).await?;
    let request = wire::GetTableRequest {
        device_model: selection.device_model.clone(),
        // Parameters are compared here: the table's filter knows parts of words only.
        workload: selection
            .workload
            .as_ref()
            .map(|spec| spec.name().to_owned()),
        detailed: true,
        simulated: options.simulated,
        ..Default::default()
    };
    let table = tables::fetch(&mut connection.client, request).await?;
    let chosen = match choose(&table.rows, &selection) {
        Ok(row) => Ok(row),
        Err(Undecided::Ambiguous(candidates)) => Err(ambiguous(&candidates)),
        Err(Undecided::Unknown) => {
            let request = wire::GetTableRequest {
                simulated: true,
                ..Default::default()
            };
            let whole = tables::fetch(&mut connection.client, request).await?;
            Err(options.unknown(&selection, &whole))
        }
    };
    connection.close().await?;
    options.answer(chosen?)
}

impl Options {
    fn selection(&self) -> Selection {
        Selection {
            device_model: self.device_model.clone(),
            workload: self.workload.clone(),
            mode: self.mode,
            dtype: self.dtype,
            threads: self.threads,
            mig_profile: self.mig_profile.clone(),
            compute_units: self.compute_units,
            device_kind: self.device_kind,
            software: self.software.clone(),
        }
    }

    fn answer(&self, row: &DetailedRow) -> Result<Exit> {
        let question = Question {
            near: self.near,
            at_most_memory: self.at_most_memory.map(|size| size.0),
        };
        let advice = advise(row, question)
            .map_err(anyhow::Error::new)
            .with_context(|| {
                format!(
                    "--at-most-memory cannot be kept for {} on {}",
                    cells::workload_spec(&row.row),
                    cells::device(&row.row)
                )
            })?;
        let command = self.command_for(&row.row, &advice);
        match self.format {
            AdviceFormat::Json => text::print_json(&Document {
                schema_version: SCHEMA_VERSION,
                row: &row.row,
                advice: &advice,
                command: command.as_deref(),
            })?,
            AdviceFormat::Table => {
                text::print_line(&advise_view::for_people(
                    &row.row,
                    &advice,
                    command.as_deref(),
                ))?;
            }
        }
        let answered = advice.basis != Basis::Nothing
            && !(self.at_most_memory.is_some() && advice.advised_batch_sizes.is_empty())
            && advice
                .near
                .as_ref()
                .is_none_or(|near| near.unknown_because.is_none());
        Ok(if answered {
            Exit::Done
        } else {
            Exit::Incomplete
        })
    }

    /// The command that measures what the advice lacks; `None` where it lacks nothing.
    fn command_for(&self, row: &Row, advice: &Advice) -> Option<String> {
        let around = |size: u32| {
            let low = size.saturating_sub(WINDOW).max(1);
            (low, size.saturating_add(WINDOW).min(limits::BATCH_SIZE))
        };
        let unknown = advice
            .near
            .as_ref()
            .filter(|near| near.unknown_because.is_some() || advice.basis == Basis::Irregular)
            .map(|near| around(near.facts.batch_size));
        let needed = matches!(advice.basis, Basis::Nothing | Basis::Irregular);
        (needed || unknown.is_some()).then(|| {
            let mut command = self.sweep(&flags_for_row(row, unknown));
            if row.device_kind == DeviceKind::Simulated && self.coordinator.data_dir.is_some() {
                // Which file describes the device is not on record.
                command.push_str(" --simulate FILE.toml");
            }
            command
        })
    }

    /// A command that measures: through the coordinator that was asked, or on this machine where its data directory was.
    fn sweep(&self, flags: &[String]) -> String {
        let words: Vec<String> = flags.iter().map(|word| text::shell_word(word)).collect();
        let program = text::program();
        match &self.coordinator.data_dir {
            None => format!(
                "{program} sweep run {}{}",
                words.join(" "),
                self.coordinator.repeated()
            ),
            Some(data_dir) => format!(
                "{program} local --data-dir {} {}",
                text::shell_word(&data_dir.to_string_lossy()),
                words.join(" ")
            ),
        }
    }

    fn unknown(&self, selection: &Selection, whole: &Table) -> anyhow::Error {
        let visible =
            |row: &&DetailedRow| self.simulated || row.row.device_kind != DeviceKind::Simulated;
        let hidden = !self.simulated && choose(&whole.rows, selection) != Err(Undecided::Unknown);
        let rows: Vec<&Row> = whole
            .rows
            .iter()
            .filter(visible)
            .map(|row| &row.row)
            .collect();
        let knows = if rows.is_empty() {
            String::new()
        } else {
            format!(
                "; it knows:\n{}",
                listing(rows.into_iter().map(|row| (row, String::new())))
            )
        };
        let (row, hint) = if hidden {
            (
                "row of a real device",
                "\nSimulated devices answer it: add --simulated to ask about them.",
            )
        } else {
            ("row", "")
        };
        anyhow!(
            "the step table has no {row} for {}{knows}{hint}\nTo measure it:\n  {}",
            described(selection),
            self.sweep(&flags_for_selection(selection))
        )
    }
}

/// The question in words.
fn described(selection: &Selection) -> String {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(selection.workload.as_ref().map(ToString::to_string));
    if let Some(model) = &selection.device_model {
        let on = if parts.is_empty() { "" } else { "on " };
        parts.push(format!("{on}a device named {model:?}"));
    }
    let mut settings: Vec<String> = Vec::new();
    settings.extend(selection.mode.map(|mode| mode.to_string()));
    settings.extend(selection.dtype.map(|dtype| dtype.to_string()));
    settings.extend(selection.threads.map(|count| text::count(count, "thread")));
    settings.extend(
        selection
            .mig_profile
            .as_ref()
            .map(|profile| format!("MIG {profile}")),
    );
    settings.extend(
        selection
            .compute_units
            .map(|units| text::count(units, "compute unit")),
    );
    settings.extend(selection.device_kind.map(|kind| kind.to_string()));
    settings.extend(selection.software.iter().cloned());
    if !settings.is_empty() {
        parts.push(format!("({})", settings.join(", ")));
    }
    if parts.is_empty() {
        "anything yet".to_owned()
    } else {
        parts.join(" ")
    }
}

fn ambiguous(candidates: &[Candidate<'_>]) -> anyhow::Error {
    let rows = candidates.iter().map(|candidate| {
        let flags: Vec<String> = candidate
            .flags
            .iter()
            .map(|(flag, value)| format!("{flag} {}", text::shell_word(value)))
            .collect();
        (candidate.row, flags.join(" "))
    });
    exit::usage(format!(
        "the question fits {} rows of the step table; add the flags of the one you mean:\n{}",
        candidates.len(),
        listing(rows)
    ))
}

/// Rows with the flags that single them out, one a line.
fn listing<'a>(rows: impl ExactSizeIterator<Item = (&'a Row, String)>) -> String {
    let count = rows.len();
    let mut lines: Vec<String> = rows
        .take(MOST_LISTED)
        .map(|(row, flags)| {
            let line = format!(
                "  {} on {}: {}, {}",
                cells::workload_spec(row),
                cells::device(row),
                cells::setting(row),
                cells::verdict(row.verdict)
            );
            if flags.is_empty() {
                line
            } else {
                format!("{line}\n      {flags}")
            }
        })
        .collect();
    if count > MOST_LISTED {
        lines.push(format!("  .. {} more", count - MOST_LISTED));
    }
    lines.join("\n")
}
