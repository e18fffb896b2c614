//! `batchstep analyze`: the step in timings of any origin. Reads a file, asks the inference, prints its answer; judges nothing itself.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use batchstep_core::{
    steptable::{SCHEMA_VERSION, Unsettled, settled},
    sweep::REQUIRED_ROUNDS,
};
use batchstep_inference::{Inference, Options as InferenceOptions, Trace, Verdict, infer};
use batchstep_report::timings_picture;
use clap::Args;
use serde::Serialize;

use super::{
    Exit, analyze_view,
    args::Format,
    exit, text,
    timings::{self, Choices, Input, Plan, Timings},
};

/// Confidence from which an answer counts as certain.
const HIGH_CONFIDENCE: f64 = 0.95;

/// Flags of `batchstep analyze`.
#[derive(Debug, Args)]
#[command(
    after_help = "One row per timed block or iteration, in order of measurement, with a batch size and the seconds per iteration. Repeated \
batch sizes are welcome: they are what the confidence rests on. A column `round` groups rows that were measured close in time; \
without one, the k-th row of each batch size is round k.

The header batch_size,seconds needs no flags, and neither do two bare columns of numbers, batch size first. Commas, semicolons, \
tabs and blanks are told apart by the first lines, decimal commas by the numbers; lines that begin with # are comments. Other \
files need the flags that the error names.

Our own blocks.csv is known by its columns series_id and role: there the corrected times of the measuring blocks are judged as \
the table judges them.

Examples:
  batchstep analyze timings.csv
  batchstep analyze bench.tsv --batch-size-column bs --seconds-column latency_ms --unit ms
  batchstep analyze rates.csv --seconds-column throughput --unit samples/s --plot rates.svg
  my-benchmark | batchstep analyze - --format json
  batchstep analyze report/blocks.csv --series 3f2a"
)]
pub(super) struct Options {
    /// File of timings; - reads stdin.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How the answer is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Write the plots of the answer to this SVG file, which is replaced.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Seed of the resampling behind the confidence [default: a fixed one].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// End with code 4 when the step is less than 95 % certain.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    choices: Choices,
}

/// The published JSON.
#[derive(Serialize)]
struct Answer<'a> {
    schema_version: u32,
    #[serde(flatten)]
    inference: &'a Inference,
    /// How the file was read.
    input: &'a Input,
}

/// Analyses one file.
///
/// # Errors
/// When the file is not a list of timings, or the plot cannot be written.
pub(super) fn run(options: &Options) -> Result<Exit> {
    if let Some(plot) = &options.plot {
        check_plot(plot, &options.file)?;
    }
    let Timings {
        observations,
        export,
        input,
    } = timings::read(&options.file, &options.choices).map_err(|error| {
        match std::error::Error::source(&error) {
            Some(source) => exit::usage(source.to_string()).context(error.to_string()),
            None => exit::usage(error.to_string()),
        }
    })?;
    // Our own measurement is judged as the step table judges it: only batch sizes with their blocks count.
    let judged = export.map(|plan| {
        let required = match plan {
            Plan::Calibrated => REQUIRED_ROUNDS,
            Plan::FixedIterations => 1,
        };
        settled(&observations, required)
    });
    let (observations, unsettled) = match judged {
        Some(Ok(settled)) => (settled, None),
        Some(Err(unsettled)) => (observations, Some(unsettled)),
        None => (observations, None),
    };
    let trace = Trace::new(observations)
        .map_err(|error| exit::usage(format!("{}: {error}", options.file.display())))?;
    let mut settings = InferenceOptions::default();
    if let Some(seed) = options.seed {
        settings.seed = seed;
    }
    let mut inference = infer(&trace, &settings);
    match unsettled {
        Some(unsettled) => withdraw(&mut inference, unsettled),
        None => mention_few_repeats(&trace, &mut inference),
    }
    if let Some(path) = &options.plot {
        let picture = timings_picture(&name(&options.file), &trace, &inference);
        std::fs::write(path, picture).with_context(|| {
            format!(
                "cannot write the plot {}: is its folder there and writable?",
                path.display()
            )
        })?;
    }
    match options.format {
        Format::Json => text::print_json(&Answer {
            schema_version: SCHEMA_VERSION,
            inference: &inference,
            input: &input,
        })?,
        Format::Table => text::print_line(&analyze_view::for_people(&trace, &inference, &input))?,
        Format::Csv => text::print(&analyze_view::csv(&inference)?)?,
        Format::Markdown => text::print_line(&analyze_view::markdown(&inference))?,
    }
    Ok(exit_of(&inference, options.strict))
}

/// Finds out before anything is read that a plot would not be what was meant.
fn check_plot(plot: &Path, input: &Path) -> Result<()> {
    let wrong = |problem: &str| Err(exit::usage(format!("--plot {}: {problem}", plot.display())));
    let extension = plot.extension().unwrap_or_default();
    if plot.as_os_str() == "-" || !extension.eq_ignore_ascii_case("svg") {
        return wrong("plots are SVG files; give a name that ends in .svg");
    }
    let same = std::fs::canonicalize(plot)
        .ok()
        .zip(std::fs::canonicalize(input).ok())
        .is_some_and(|(plot, input)| plot == input);
    if same {
        return wrong("the timings are in that file, and would be lost; give another name");
    }
    Ok(())
}

/// What a plot calls the file.
fn name(file: &Path) -> String {
    if file.as_os_str() == "-" {
        return "timings from stdin".to_owned();
    }
    file.file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// Takes an answer back that too few blocks stand behind; the timings and the throughput stay.
fn withdraw(inference: &mut Inference, unsettled: Unsettled) {
    *inference = Inference {
        verdict: Verdict::Insufficient,
        step: None,
        step_interval: None,
        offset: None,
        kind: None,
        profile: None,
        confidence: None,
        jump_at: None,
        jump_relative: None,
        other_steps: Vec::new(),
        reason: unsettled.to_string(),
        next_action: Some("measure again with a larger --budget".to_owned()),
        recommended_batch_sizes: Vec::new(),
        edges: Vec::new(),
        ..inference.clone()
    };
}

/// Says that there are no repeats, or fewer than a measurement of our own would have taken.
fn mention_few_repeats(trace: &Trace, inference: &mut Inference) {
    let most = trace
        .points()
        .iter()
        .map(|point| point.blocks)
        .max()
        .unwrap_or(0);
    if most == 1 {
        inference.reason.push_str(
            "; no batch size was timed twice, and without repeats the confidence cannot be high",
        );
    } else if (2..REQUIRED_ROUNDS as usize).contains(&most) {
        inference.reason.push_str(&format!(
            "; no batch size has more than {most} timings, and {REQUIRED_ROUNDS} each make a firm answer"
        ));
    }
}

fn exit_of(inference: &Inference, strict: bool) -> Exit {
    match inference.verdict {
        Verdict::Insufficient => Exit::Incomplete,
        Verdict::Step
            if strict
                && inference
                    .confidence
                    .is_none_or(|share| share < HIGH_CONFIDENCE) =>
        {
            Exit::Ambiguous
        }
        Verdict::Step | Verdict::NoStep | Verdict::Irregular => Exit::Done,
    }
}
