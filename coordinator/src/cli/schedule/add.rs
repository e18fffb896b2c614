//! `batchstep schedule add`: a sweep, and when it runs.

use anyhow::Result;
use batchstep_core::{
    calendar::Zone,
    nightly::{Cron, Schedule, ScheduleName},
};
use batchstep_proto::{
    domain::{BatchSizes, Strategy, SweepSpec, nanos},
    wire,
};
use clap::Args;

use super::view;
use crate::cli::{
    Exit,
    args::{CoordinatorArgs, Span, StrategyWord, SweepArgs, TurnArgs, here},
    endpoint::{Connection, refusal},
    exit::usage,
    hand_over,
    person::PersonArgs,
    sweep, text,
};

/// Batch sizes of a night when none are given.
const USUAL_BATCH_SIZES: &str = "1-128";

/// Flags of `batchstep schedule add`.
#[derive(Debug, Args)]
#[command(
    mut_arg("batch_sizes", |arg| arg.help(format!("Numbers and ranges such as 1-64,72,80 or 8-512:8; every night measures all of them [default: {USUAL_BATCH_SIZES}]"))),
    mut_arg("strategy", |arg| arg.hide(true)),
    mut_arg("preset", |arg| arg.hide(true)),
    after_help = "CRON has five fields: minute, hour, day of the month, month and day of the week, such as '0 2 * * *' for every day at 02:00, or '30 22 * * mon-fri'. They
mean the clocks of --tz: a time that they skip in spring runs when they jump, one that they repeat in autumn runs the first time.

Every night measures every batch size alike, each device against its own past. It ends at its deadline: what is not done by then is missing.

Examples:
  batchstep schedule add gpus-at-night --cron '0 2 * * *' --tz Europe/Berlin --devices gpu --workload resnet50 --dtype bf16
  batchstep schedule add weekdays --cron '30 22 * * mon-fri' --deadline 8h --only-between 22:00-06:00 --idle-only
  batchstep schedule add ours --cron @daily --workload torchscript:path=net.pt,input=3x224x224,target=class:10 --batch-sizes 8-256:8"
)]
pub(in crate::cli) struct Add {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// What it is called: letters, digits, - and _.
    #[arg(value_name = "NAME")]
    name: ScheduleName,
    /// When nights begin.
    #[arg(long, value_name = "CRON")]
    cron: Cron,
    /// Time zone of --cron and --only-between, such as Europe/Berlin [default: this computer's].
    #[arg(long, value_name = "ZONE")]
    tz: Option<Zone>,
    /// How long a night may take; what is not done by then is missing.
    #[arg(long, value_name = "TIME", default_value_t = Span(Schedule::DEADLINE))]
    deadline: Span,
    /// The batch sizes whose times are judged [default: chosen in the first valid night, the good ones up to the knee].
    #[arg(long, value_name = "LIST")]
    judge_batch_sizes: Option<BatchSizes>,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    sweep: SweepArgs,
    #[command(flatten)]
    turn: TurnArgs,
}

impl Add {
    /// What a night measures, people's own networks by their files.
    fn sweep(&self, zone: &str) -> Result<SweepSpec> {
        if self.sweep.strategy == Some(StrategyWord::Adaptive) {
            return Err(usage(
                "--strategy: a night measures every batch size alike, so that nights can be compared; leave it out",
            ));
        }
        if self.sweep.preset.is_some() {
            return Err(usage(
                "--preset: presets are measured once; name the workload and the batch sizes of a night with --workload and --batch-sizes",
            ));
        }
        if self.sweep.batch_sizes == Some(BatchSizes::Auto) {
            return Err(usage(format!(
                "--batch-sizes: nights are compared at the same batch sizes; list them, as in {USUAL_BATCH_SIZES}"
            )));
        }
        let usual = || USUAL_BATCH_SIZES.parse::<BatchSizes>();
        Ok(SweepSpec {
            strategy: Strategy::Dense,
            batch_sizes: match &self.sweep.batch_sizes {
                Some(sizes) => sizes.clone(),
                None => usual()?,
            },
            scheduling: self.turn.scheduling(zone),
            ..self.sweep.spec()
        })
    }

    fn judged(&self) -> Result<Vec<u32>> {
        match &self.judge_batch_sizes {
            None => Ok(Vec::new()),
            Some(BatchSizes::Auto) => Ok(Vec::new()),
            Some(sizes) => Ok(sizes.clone().into_list()),
        }
    }
}

/// Adds a schedule, and shows when it runs.
///
/// # Errors
/// Names the flag that is wrong, or says why the coordinator refuses.
pub(super) async fn run(options: Add) -> Result<Exit> {
    let (zone, is_given) = match &options.tz {
        Some(zone) => (zone.to_string(), true),
        None => (own_zone()?, false),
    };
    let spec = options.sweep(&zone)?;
    let judged_batch_sizes = options.judged()?;
    hand_over::check(&spec)?;
    let mut spec = sweep::checked(spec)?;
    let mut connection = Connection::open(&options.coordinator).await?;
    hand_over::hand_over(&mut connection.client, &mut spec).await?;
    let request = wire::AddScheduleRequest {
        schedule: Some(wire::Schedule {
            name: options.name.to_string(),
            cron: options.cron.to_string(),
            time_zone: zone.clone(),
            sweep: Some(sweep::checked(spec)?.into()),
            deadline_ns: nanos(options.deadline.0),
            judged_batch_sizes,
        }),
        user: options.person.name(),
    };
    let answer = connection.nightly.add_schedule(request).await;
    let added = answer.map_err(refusal)?.into_inner().schedule;
    if !is_given {
        eprintln!("Times are those of {zone}, this computer's time zone; --tz chooses another.");
    }
    if let Some(added) = added {
        text::print_line(&view::show(&added))?;
    }
    if connection.is_embedded() {
        eprintln!("Nights begin when a coordinator serves this data directory.");
    }
    connection.close().await?;
    Ok(Exit::Done)
}

/// This computer's time zone, which a coordinator elsewhere must know, too.
fn own_zone() -> Result<String> {
    here().ok_or_else(|| {
        usage("this computer's time zone has no name; give one, as in --tz Europe/Berlin")
    })
}
