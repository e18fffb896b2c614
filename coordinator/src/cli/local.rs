//! `batchstep local`: this machine from end to end. Puts an embedded coordinator and an agent to work, follows the sweep, prints the table and
//! writes the report; what was measured survives every way in which it can end.

use std::{
    env,
    io::{IsTerminal as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use batchstep_core::steptable::Table;
use batchstep_proto::{
    domain::{DeviceSelector, SweepSpec},
    wire,
};
use batchstep_report::cells;
use batchstep_simulated::Simulation;
use clap::Args;

use super::{
    Exit,
    args::{Format, ModelArgs, SweepArgs},
    article, choice, exit, export, follow, hand_over,
    machine::Machine,
    signals::Interrupts,
    sweep, sweep_view, tables, text,
};

/// Where the report goes unless told otherwise.
const USUAL_OUTPUT: &str = "batchstep-report";

/// Where results are kept within the XDG data directory, and those of simulated devices.
const USUAL_DATA: &str = "batchstep";
const SIMULATED_DATA: &str = "batchstep-simulated";

/// Flags of `batchstep local`.
#[derive(Debug, Args)]
#[command(
    after_help = "Ctrl-C stops within a second and keeps what was measured; --resume goes on from there.

Examples:
  batchstep local
  batchstep local --workload linear:inputs=1024,outputs=1024 --threads 1 --budget 1m
  batchstep local --devices gpu --workload resnet50 --dtype bf16 --batch-sizes 1-256
  batchstep local --workload torchscript:path=model.pt,input=3x224x224,target=class:10
  batchstep local --preset article --budget 10m
  batchstep local --simulate docs/examples/simulated.toml"
)]
pub(super) struct Options {
    /// Folder of the report; made when missing.
    #[arg(long, value_name = "DIR", default_value = USUAL_OUTPUT)]
    output: PathBuf,
    /// Where everything measured is kept [default: batchstep in the XDG data directory].
    #[arg(long, value_name = "DIR", env = "BATCHSTEP_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Measure simulated devices, described by this file, instead of this machine's; results are marked, and kept apart unless --data-dir says otherwise.
    #[arg(long, value_name = "FILE.toml")]
    simulate: Option<PathBuf>,
    /// Go on with the newest unfinished sweep of the data directory.
    #[arg(long, conflicts_with_all = ["workloads", "batch_sizes", "mode", "dtype", "threads", "strategy", "budget", "precision", "iterations", "seed", "visit_order", "devices", "preset"])]
    resume: bool,
    /// Start a run that takes hours without asking; where nobody can be asked, it ends with code 2 unless this is given.
    #[arg(long)]
    yes: bool,
    /// How the table is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    #[command(flatten)]
    models: ModelArgs,
    #[command(flatten)]
    sweep: SweepArgs,
}

/// Measures this machine.
///
/// # Errors
/// When nothing could be measured or written.
pub(super) async fn run(options: Options) -> Result<Exit> {
    let mut interrupts = Interrupts::catch()?;
    let data_dir = data_dir(&options)?;
    let spec = spec(&options)?;
    check_simulation(options.simulate.as_deref())?;
    prepare_output(&options.output)?;
    let prepared = tokio::select! {
        prepared = prepare(&options, &data_dir, spec) => prepared?,
        _ = interrupts.next() => {
            eprintln!("Interrupted before anything was measured.");
            return Ok(Exit::Incomplete);
        }
    };
    let Some((mut machine, sweep_id, notes)) = prepared else {
        return Ok(Exit::Usage);
    };
    let followed = tokio::select! {
        sweep = machine.follow(&sweep_id) => Some(sweep),
        _ = interrupts.next() => None,
    };
    // The report takes moments; a second Ctrl-C need not wait for it.
    interrupts.exit_at_next();
    match followed {
        Some(Ok(sweep)) => finish(&options, machine, &sweep, notes).await,
        Some(Err(error)) => {
            let _ = machine.stop().await;
            Err(error)
        }
        None => {
            let sweep = machine.interrupt(&sweep_id).await;
            let blocks = sweep
                .iter()
                .flat_map(|sweep| &sweep.series)
                .map(|series| u64::from(series.blocks))
                .sum::<u64>();
            let kept = if blocks == 1 {
                "1 block is".to_owned()
            } else {
                format!("{blocks} blocks are")
            };
            eprintln!(
                "\nInterrupted: {kept} kept.\n  go on:  {}",
                resume_command(&options)
            );
            if blocks > 0 {
                eprintln!(
                    "  report: {}",
                    export_command(&options, &data_dir, &sweep_id)
                );
            }
            Ok(Exit::Incomplete)
        }
    }
}

fn data_dir(options: &Options) -> Result<PathBuf> {
    if let Some(given) = &options.data_dir {
        return Ok(given.clone());
    }
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|home| {
            home.join(if options.simulate.is_some() {
                SIMULATED_DATA
            } else {
                USUAL_DATA
            })
        })
        .ok_or_else(|| exit::usage("neither XDG_DATA_HOME nor HOME is set; say where results are kept with --data-dir DIR"))
}

/// What to measure; `None` when an earlier sweep goes on.
fn spec(options: &Options) -> Result<Option<SweepSpec>> {
    if options.resume {
        return Ok(None);
    }
    let mut spec = options.sweep.spec();
    if options.sweep.preset.is_some() {
        article::apply(&mut spec, &options.sweep)?;
    }
    hand_over::check(&spec)?;
    sweep::checked(spec).map(Some)
}

/// Finds out before anything is started or written that there is nothing to simulate.
fn check_simulation(file: Option<&Path>) -> Result<()> {
    match file.map(Simulation::read) {
        Some(Err(error)) => Err(exit::usage(format!("--simulate: {error}"))),
        _ => Ok(()),
    }
}

/// Finds out before hours of measuring that the report cannot be written.
fn prepare_output(output: &Path) -> Result<()> {
    std::fs::create_dir_all(output).with_context(|| {
        format!(
            "cannot make the report's folder {}; choose another with --output",
            output.display()
        )
    })
}

/// Starts everything and submits, or finds the sweep that goes on; `None` when the person decided against it.
async fn prepare(
    options: &Options,
    data_dir: &Path,
    spec: Option<SweepSpec>,
) -> Result<Option<(Machine, String, Vec<String>)>> {
    let mut machine = Machine::start(
        data_dir,
        options.models.limits(),
        options.simulate.as_deref(),
    )
    .await?;
    let unfinished = unfinished(&mut machine).await?;
    let Some(mut spec) = spec else {
        let Some(newest) = unfinished.last() else {
            return Err(exit::usage(format!(
                "there is no unfinished sweep in {}; leave out --resume to begin one",
                data_dir.display()
            )));
        };
        eprintln!("Going on with sweep {}.", newest.sweep_id);
        return Ok(Some((machine, newest.sweep_id.clone(), Vec::new())));
    };
    let choice = choice::choose(&machine.devices, &spec.devices)?;
    if choice.cpu_instead {
        eprintln!("No GPU can be measured now, so the CPU is:");
        spec.devices = DeviceSelector::Cpu;
    } else if !choice.left_out.is_empty() {
        eprintln!("Left out:");
    }
    for reason in &choice.left_out {
        eprintln!("{reason}");
    }
    let names: Vec<String> = choice
        .devices
        .iter()
        .map(|device| choice::name(device))
        .collect();
    eprintln!("Measuring on {}.", names.join(", "));
    let on_cpu = choice
        .devices
        .iter()
        .any(|device| device.kind() == wire::DeviceKind::Cpu);
    let notes = choice.left_out;
    if article::is_whole(&spec) && on_cpu {
        eprintln!("Estimating how long the article's experiment takes here ..");
        let estimate = article::estimate(&spec, data_dir).await?;
        spec.budget = spec.budget.min(estimate * 3);
        let said = cells::long_duration(estimate.as_secs_f64());
        eprintln!(
            "1000 iterations at every batch size take about {said} on this CPU.\n  within a budget: {}",
            article::budgeted_command()
        );
        if !options.yes && !confirmed().await? {
            eprintln!("Nothing was measured. To run it all the same, add --yes.");
            machine.stop().await?;
            return Ok(None);
        }
    }
    hand_over::hand_over(&mut machine.client, &mut spec).await?;
    let spec = sweep::checked(spec)?;
    for sweep in &unfinished {
        let blocks: u32 = sweep.series.iter().map(|series| series.blocks).sum();
        sweep::cancel_sweep(
            &mut machine.client,
            &sweep.sweep_id,
            "a newer local sweep took its place",
        )
        .await?;
        eprintln!(
            "The unfinished sweep {} ends here, with {} kept. (--resume would have gone on with it.)",
            sweep.sweep_id,
            text::count(blocks, "block")
        );
    }
    let sweep_id = sweep::submit(&mut machine.client, spec).await?;
    Ok(Some((machine, sweep_id, notes)))
}

async fn unfinished(machine: &mut Machine) -> Result<Vec<wire::Sweep>> {
    let mut sweeps = sweep::all(&mut machine.client).await?;
    sweeps.retain(follow::is_active);
    Ok(sweeps)
}

/// Asks on a terminal; elsewhere the answer is no.
async fn confirmed() -> Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    eprint!("Run all of it now? [y/N] ");
    std::io::stderr().flush().context("cannot ask")?;
    // On a thread of its own: Ctrl-C must be heard while the answer is awaited.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    })
    .await
    .context("cannot wait for the answer")?
    .context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn finish(
    options: &Options,
    mut machine: Machine,
    sweep: &wire::Sweep,
    notes: Vec<String>,
) -> Result<Exit> {
    let report = export::gather(&mut machine.client, sweep, notes).await?;
    let stopped = machine.stop().await;
    let table = tables::summary(&report.table);
    tables::print(&table, options.format)?;
    let written = batchstep_report::write(&options.output, &report)
        .with_context(|| format!("cannot write the report into {}", options.output.display()));
    written?;
    stopped?;
    eprintln!("Report: {}", options.output.join("report.html").display());
    Ok(verdict(&table, sweep, options.format))
}

/// The exit code, with what is open told on stderr where the table does not tell it.
fn verdict(table: &Table, sweep: &wire::Sweep, format: Format) -> Exit {
    let rows = || table.rows.iter().map(|row| &row.row);
    let open = rows().any(|row| tables::is_open(row.verdict));
    // The table for people tells it already, and the progress told which series failed.
    if format != Format::Table {
        for row in rows().filter(|row| tables::is_open(row.verdict)) {
            let next = row.next_action.as_deref().unwrap_or("measure again");
            eprintln!(
                "{} on {}: {}. Next: {next}",
                row.workload,
                cells::device(row),
                cells::verdict(row.verdict)
            );
        }
    }
    let over = sweep.state() == wire::SweepState::Done;
    if !over {
        eprintln!(
            "Sweep {}: {}",
            sweep_view::state_word(sweep.state()),
            sweep.explanation.join("; ")
        );
    }
    let all_done = sweep
        .series
        .iter()
        .all(|series| series.state() == wire::SeriesState::Done);
    if over && all_done && !open && !table.rows.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    }
}

/// `--simulate`, `--data-dir` and `--output` as they were given, for commands that go on from here.
fn places(options: &Options) -> String {
    let mut places = String::new();
    if let Some(file) = &options.simulate {
        places.push_str(&format!(
            " --simulate {}",
            text::shell_word(&file.to_string_lossy())
        ));
    }
    if let Some(data_dir) = &options.data_dir {
        places.push_str(&format!(
            " --data-dir {}",
            text::shell_word(&data_dir.to_string_lossy())
        ));
    }
    if options.output != Path::new(USUAL_OUTPUT) {
        places.push_str(&format!(
            " --output {}",
            text::shell_word(&options.output.to_string_lossy())
        ));
    }
    places
}

fn resume_command(options: &Options) -> String {
    format!("{} local{} --resume", text::program(), places(options))
}

fn export_command(options: &Options, data_dir: &Path, sweep_id: &str) -> String {
    format!(
        "{} export {sweep_id} --data-dir {} --output {}",
        text::program(),
        text::shell_word(&data_dir.to_string_lossy()),
        text::shell_word(&options.output.to_string_lossy())
    )
}
