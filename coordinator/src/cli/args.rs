//! Flags that several commands share: what a sweep measures, which coordinator is asked, how an answer is printed. Knows no commands.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Result;
use batchstep_identity::Token;
use batchstep_proto::{
    domain::{
        BatchSizes, DailyWindow, DeviceSelector, Dtype, Mode, Scheduling, Strategy, SweepSpec,
        Times, VisitOrder,
    },
    limits,
    size::Size,
    workload::WorkloadSpec,
};
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};

use super::{exit, text};
use crate::store::ModelLimits;

/// Measuring time per device and workload when none is given: two workloads on a CPU take a few minutes.
const USUAL_BUDGET: &str = "2m";
/// Wanted relative standard error when none is given.
const USUAL_PRECISION: &str = "0.3%";
/// Seed when none is given; any fixed number does.
const USUAL_SEED: &str = "1";

/// Where a coordinator listens unless told otherwise.
const USUAL_COORDINATOR: &str = "http://127.0.0.1:7847";
/// Holds an operator's token for all commands of a shell.
const TOKEN_VARIABLE: &str = "BATCHSTEP_TOKEN";
/// Names a file with one.
const TOKEN_FILE_VARIABLE: &str = "BATCHSTEP_TOKEN_FILE";
/// Names the coordinator for all commands of a shell.
const COORDINATOR_VARIABLE: &str = "BATCHSTEP_COORDINATOR";

/// How an answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Table,
    /// For programs; carries `schema_version`.
    Json,
    /// For spreadsheets.
    Csv,
    /// For documents.
    Markdown,
}

/// How a list that is no table of results is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ListFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Which coordinator is asked.
#[derive(Debug, Clone, Args)]
pub(super) struct CoordinatorArgs {
    /// URL of the coordinator.
    #[arg(long, value_name = "URL", env = COORDINATOR_VARIABLE, default_value = USUAL_COORDINATOR)]
    pub(super) coordinator: String,
    /// Ask this data directory instead: its coordinator where one serves TLS on it now, otherwise the files.
    #[arg(long, value_name = "DIR")]
    pub(super) data_dir: Option<PathBuf>,
    /// File with an operator's token, for an https:// coordinator; the token itself can be in BATCHSTEP_TOKEN.
    #[arg(long, value_name = "FILE", env = TOKEN_FILE_VARIABLE)]
    token_file: Option<PathBuf>,
}

impl CoordinatorArgs {
    /// The flag that a command typed next needs to reach the same coordinator; empty where it needs none.
    pub(super) fn repeated(&self) -> String {
        let known_without = std::env::var(COORDINATOR_VARIABLE)
            .unwrap_or_else(|_| USUAL_COORDINATOR.to_owned())
            == self.coordinator;
        if known_without {
            String::new()
        } else {
            format!(" --coordinator {}", text::shell_word(&self.coordinator))
        }
    }

    /// The operator's token, where one was given.
    ///
    /// # Errors
    /// When its file cannot be read, or holds no token.
    pub(super) fn token(&self) -> Result<Option<Token>> {
        let text = match (&self.token_file, std::env::var(TOKEN_VARIABLE)) {
            (Some(path), _) => fs::read_to_string(path).map_err(|error| {
                let place = path.display();
                exit::usage(format!("cannot read the token from {place}: {error}"))
            })?,
            (None, Ok(text)) => text,
            (None, Err(_)) => return Ok(None),
        };
        let token = text.parse::<Token>();
        token
            .map(Some)
            .map_err(|error| exit::usage(error.to_string()))
    }
}

/// A time as people write it: `90s`, `5m`, `7days`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl std::str::FromStr for Span {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// How much room a coordinator gives to people's own networks.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct ModelArgs {
    /// Largest network of your own (a TorchScript file) that is taken.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "2GiB",
        env = "BATCHSTEP_MAX_MODEL_SIZE"
    )]
    max_model_size: Size,
    /// Room for all of them together; `batchstep model` lists and removes them.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "24GiB",
        env = "BATCHSTEP_MAX_MODELS_SIZE"
    )]
    max_models_size: Size,
}

impl ModelArgs {
    /// The same for the store.
    pub(super) const fn limits(self) -> ModelLimits {
        ModelLimits {
            one: self.max_model_size.0,
            all: self.max_models_size.0,
        }
    }
}

/// Which devices measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Devices(pub(super) DeviceSelector);

impl std::str::FromStr for Devices {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ids: Vec<String> = text
            .split(',')
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
            .collect();
        match ids.as_slice() {
            [] => Err("no device given; write all, cpu, gpu, or device ids".to_owned()),
            [word] if word == "all" => Ok(Self(DeviceSelector::All)),
            [word] if word == "cpu" => Ok(Self(DeviceSelector::Cpu)),
            [word] if word == "gpu" => Ok(Self(DeviceSelector::Gpu)),
            ids => match ids
                .iter()
                .find(|id| ["all", "cpu", "gpu"].contains(&id.as_str()))
            {
                Some(word) => Err(format!(
                    "{word} stands for a set of devices and cannot be in a list of ids; give it alone"
                )),
                None => Ok(Self(DeviceSelector::Listed(ids.to_vec()))),
            },
        }
    }
}

/// What to measure.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sweep")]
pub(super) struct SweepArgs {
    /// Network as name:key=value,.. (repeatable; `batchstep workloads` lists them) [default: cnn and linear].
    #[arg(long = "workload", value_name = "SPEC")]
    pub(super) workloads: Vec<WorkloadSpec>,
    /// Numbers and ranges such as 1-64,72,80 or 8-512:8, or auto [default: auto].
    #[arg(long, value_name = "LIST")]
    pub(super) batch_sizes: Option<BatchSizes>,
    /// What one iteration does.
    #[arg(long, default_value = "train", value_parser = mode_parser())]
    pub(super) mode: Mode,
    /// Arithmetic of weights and activations.
    #[arg(long, default_value = "f32", value_parser = dtype_parser())]
    pub(super) dtype: Dtype,
    /// CPU threads, at most the logical cores [default: all physical cores].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::THREADS)))]
    pub(super) threads: Option<u32>,
    /// How the budget is spent [default: adaptive; dense where batch sizes are listed].
    #[arg(long)]
    pub(super) strategy: Option<StrategyWord>,
    /// Measuring time per device and workload, such as 90s, 5m or 1h.
    #[arg(long, value_name = "TIME", value_parser = budget)]
    #[arg(help = format!("Measuring time per device and workload, such as 90s, 5m or 1h [default: {USUAL_BUDGET}]"))]
    pub(super) budget: Option<Duration>,
    /// Wanted relative standard error of each batch size's median: 0.3% or 0.003.
    #[arg(long, value_name = "SHARE", default_value = USUAL_PRECISION, value_parser = precision)]
    pub(super) precision: f64,
    /// Iterations of every timed block, instead of a block length chosen by the protocol.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) iterations: Option<u32>,
    /// Seeds weights, data and the order of visits.
    #[arg(long, value_name = "N", default_value = USUAL_SEED)]
    pub(super) seed: u64,
    /// Order of visits within a round; ascending only shows what random is worth.
    #[arg(long, default_value = "random", hide = true)]
    pub(super) visit_order: OrderWord,
    /// all (GPUs where there are some, else the CPU), cpu, gpu, or device ids separated by commas.
    #[arg(long, value_name = "LIST", default_value = "all")]
    pub(super) devices: Devices,
    /// A ready-made sweep: article repeats the experiment this tool grew from.
    #[arg(long, value_name = "NAME")]
    pub(super) preset: Option<Preset>,
}

/// A ready-made sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Preset {
    /// The cnn on 256x256x3 images, 1000 training iterations per batch size.
    Article,
}

/// `--strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum StrategyWord {
    /// Measures where the verdict can still change, and stops when it cannot: some of the batch sizes.
    Adaptive,
    /// Measures every batch size alike, until all are precise.
    Dense,
}

/// `--visit-order`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OrderWord {
    /// A fresh permutation each round, with reference visits.
    Random,
    /// One ascending pass, without reference visits.
    Ascending,
}

impl SweepArgs {
    /// The sweep that was asked for, presets aside.
    pub(super) fn spec(&self) -> SweepSpec {
        let workloads = if self.workloads.is_empty() {
            usual_workloads()
        } else {
            self.workloads.clone()
        };
        SweepSpec {
            workloads,
            batch_sizes: self.batch_sizes.clone().unwrap_or(BatchSizes::Auto),
            mode: self.mode,
            dtype: self.dtype,
            threads: self.threads,
            strategy: match (self.strategy, &self.batch_sizes) {
                // Who lists batch sizes and says no more wants each of them.
                (None, Some(BatchSizes::Listed(_))) | (Some(StrategyWord::Dense), _) => {
                    Strategy::Dense
                }
                (None, _) | (Some(StrategyWord::Adaptive), _) => Strategy::Adaptive,
            },
            budget: self.budget.unwrap_or(Duration::from_secs(120)),
            precision: self.precision,
            iterations: self.iterations,
            seed: self.seed,
            devices: self.devices.0.clone(),
            preset: None,
            visit_order: match self.visit_order {
                OrderWord::Random => VisitOrder::Random,
                OrderWord::Ascending => VisitOrder::Ascending,
            },
            scheduling: Scheduling::default(),
        }
    }
}

/// How measuring stands to others and to the time of day.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scheduling")]
pub(super) struct TurnArgs {
    /// Of the sweeps that wait for a device the highest run first, -100 to 100; those of one priority share it by time.
    #[arg(long, value_name = "N", default_value = "0", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(i64::from(*Scheduling::PRIORITIES.start())..=i64::from(*Scheduling::PRIORITIES.end())))]
    priority: i32,
    /// Measure only between these times of every day, such as 20:00-06:00; what runs at the end stops and keeps its blocks.
    #[arg(long, value_name = "TIMES")]
    only_between: Option<Times>,
    /// Start only on GPUs that nobody else uses, and stop when somebody does.
    #[arg(long)]
    idle_only: bool,
}

impl TurnArgs {
    /// The same for a sweep, with times on the clocks of `zone`.
    pub(super) fn scheduling(&self, zone: &str) -> Scheduling {
        Scheduling {
            priority: self.priority,
            only_between: self.only_between.map(|times| DailyWindow {
                from: times.from,
                to: times.to,
                time_zone: zone.to_owned(),
            }),
            idle_only: self.idle_only,
            share_across_model: false,
        }
    }
}

/// The same with what only sweeps that people ask for themselves have.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scheduling")]
pub(super) struct SchedulingArgs {
    #[command(flatten)]
    turn: TurnArgs,
    /// Time zone of --only-between, such as Europe/Berlin [default: this computer's].
    #[arg(long, value_name = "ZONE", requires = "only_between")]
    time_zone: Option<String>,
    /// Let devices that are alike (model, memory partition, driver, agent version) share the rounds of one measurement: the answer comes sooner, and is one
    /// answer. Devices without their like measure alone.
    #[arg(long)]
    share_across_model: bool,
}

impl SchedulingArgs {
    /// The same for a sweep.
    ///
    /// # Errors
    /// When no time zone is given and this computer's has no name.
    pub(super) fn scheduling(&self) -> Result<Scheduling> {
        let zone = match (&self.time_zone, self.turn.only_between) {
            (Some(zone), _) => zone.clone(),
            (None, None) => String::new(),
            (None, Some(_)) => here().ok_or_else(|| {
                exit::usage("this computer's time zone has no name; give one, as in --time-zone Europe/Berlin")
            })?,
        };
        Ok(Scheduling {
            share_across_model: self.share_across_model,
            ..self.turn.scheduling(&zone)
        })
    }
}

/// The name of this computer's time zone, where it has one.
pub(super) fn here() -> Option<String> {
    let zone = jiff::tz::TimeZone::system();
    let name = zone.iana_name().map(ToOwned::to_owned);
    // A computer without a setting has UTC.
    name.or_else(|| (zone == jiff::tz::TimeZone::UTC).then(|| "UTC".to_owned()))
}

fn usual_workloads() -> Vec<WorkloadSpec> {
    use batchstep_proto::workload::{Cnn, Linear};
    vec![
        WorkloadSpec::Cnn(Cnn::default()),
        WorkloadSpec::Linear(Linear::default()),
    ]
}

/// The words of `--mode`.
pub(super) fn mode_parser() -> impl TypedValueParser<Value = Mode> {
    PossibleValuesParser::new(Mode::ALL.iter().map(|mode| mode.word()))
        .try_map(|word| word.parse::<Mode>())
}

/// The words of `--dtype`.
pub(super) fn dtype_parser() -> impl TypedValueParser<Value = Dtype> {
    PossibleValuesParser::new(Dtype::ALL.iter().map(|dtype| dtype.word()))
        .try_map(|word| word.parse::<Dtype>())
}

fn budget(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(budget) if budget.is_zero() => {
            Err("a budget of zero measures nothing; write a time such as 90s, 5m or 1h".to_owned())
        }
        Ok(budget) => Ok(budget),
        Err(error) => Err(format!("{error}; write a time such as 90s, 5m or 1h")),
    }
}

fn precision(text: &str) -> Result<f64, String> {
    let (number, scale) = match text.trim().strip_suffix('%') {
        Some(number) => (number.trim_end(), 0.01),
        None => (text.trim(), 1.0),
    };
    match number.parse::<f64>().map(|value| value * scale) {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        Ok(_) => Err("the share must lie between 0 and 100 %; write 0.3% or 0.003".to_owned()),
        Err(_) => Err("not a number; write 0.3% or 0.003".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_a_share_or_a_percentage() {
        assert!((precision("0.3%").unwrap() - 0.003).abs() < 1e-12);
        assert!((precision("0.003").unwrap() - 0.003).abs() < 1e-12);
        for bad in ["0", "-1%", "100%", "nan", "inf", "few", ""] {
            assert!(precision(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_usual_budget_is_what_the_help_says() {
        assert_eq!(budget(USUAL_BUDGET).unwrap(), Duration::from_secs(120));
        assert!(budget("0s").unwrap_err().contains("measures nothing"));
        assert!(budget("soon").is_err());
    }

    #[test]
    fn devices_are_a_set_or_a_list() {
        let parse = |text: &str| text.parse::<Devices>().map(|devices| devices.0);
        assert_eq!(parse("all"), Ok(DeviceSelector::All));
        assert_eq!(
            parse("GPU-1, CPU-2"),
            Ok(DeviceSelector::Listed(vec!["GPU-1".into(), "CPU-2".into()]))
        );
        assert!(parse("cpu,GPU-1").unwrap_err().contains("give it alone"));
        assert!(parse(",").is_err());
    }
}
