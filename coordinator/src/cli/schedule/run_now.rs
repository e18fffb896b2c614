//! `batchstep schedule run-now`: a night out of turn, and waiting for its end over restarts of the coordinator.

use std::time::{Duration, Instant};

use anyhow::Result;
use batchstep_core::nightly::ScheduleName;
use batchstep_proto::wire::{self, get_night_request::Which};
use clap::Args;

use crate::{
    cli::{
        Exit,
        args::CoordinatorArgs,
        endpoint::{Connection, Nights, refusal},
        exit::usage,
        follow::is_away,
        nights::{ask, findings::Findings, night},
        person::PersonArgs,
        signals::Interrupts,
        text,
    },
    nightly::document::NightDocument,
};

/// Pause between two looks at a night, which takes minutes at least.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a coordinator may be away before waiting ends: restarts take seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Flags of `batchstep schedule run-now`.
#[derive(Debug, Args)]
#[command(
    after_help = "Stdout has the number of the night, or with --wait the night itself, and the exit code is that of `batchstep nightly show`. Ctrl-C stops waiting, not the night.

Examples:
  batchstep schedule run-now gpus-at-night
  batchstep schedule run-now gpus-at-night --wait"
)]
pub(in crate::cli) struct RunNow {
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Name of the schedule.
    #[arg(value_name = "NAME")]
    name: ScheduleName,
    /// Wait for the end of the night, and show it.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    person: PersonArgs,
}

/// Begins a night.
///
/// # Errors
/// When the coordinator refuses, as while another night of the schedule is under way.
pub(super) async fn run(options: RunNow) -> Result<Exit> {
    let mut connection = Connection::open(&options.coordinator).await?;
    if connection.is_embedded() {
        return Err(usage(
            "no agent measures for a coordinator that runs only for this command; ask one that serves, with --coordinator",
        ));
    }
    let name = options.name.as_str();
    let request = wire::RunScheduleRequest {
        name: name.to_owned(),
        user: options.person.name(),
    };
    let answer = connection.nightly.run_schedule(request).await;
    let number = answer.map_err(refusal)?.into_inner().night;
    let flag = options.coordinator.repeated();
    if !options.wait {
        eprintln!(
            "Night {number} of {name} has begun; `batchstep nightly show {number} --schedule {name}{flag}` shows it."
        );
        text::print_line(&number.to_string())?;
        connection.close().await?;
        return Ok(Exit::Done);
    }
    eprintln!("Night {number} of {name} has begun.");
    let mut interrupts = Interrupts::catch()?;
    let document = tokio::select! {
        document = wait(&mut connection.nightly, name, number) => document?,
        _ = interrupts.next() => {
            eprintln!(
                "\nThe night goes on without this command.\n  see it: {} nightly show {number} --schedule {name}{flag}",
                text::program()
            );
            return Ok(Exit::Incomplete);
        }
    };
    let findings = Findings::of_night(document);
    text::print_line(&night::show(&findings, false, &flag))?;
    connection.close().await?;
    let exit = findings.exit(false);
    Findings::explain(exit);
    Ok(exit)
}

/// Waits until a night is over.
async fn wait(client: &mut Nights, schedule: &str, number: u32) -> Result<NightDocument> {
    let mut away_since: Option<Instant> = None;
    let mut state = String::new();
    loop {
        match ask::try_night(client, Some(schedule), Some(Which::Number(number))).await {
            Err(status) if is_away(&status) => {
                let since = *away_since.get_or_insert_with(|| {
                    eprintln!("The coordinator does not answer; waiting for it.");
                    Instant::now()
                });
                if since.elapsed() > PATIENCE {
                    return Err(refusal(status));
                }
            }
            answer => {
                away_since = None;
                let document: NightDocument = ask::read(answer)?;
                let night = &document.night;
                if night.finished_at.is_some() {
                    return Ok(document);
                }
                if night.state == "again" && state != night.state {
                    eprintln!("Some series are measured again, to be sure.");
                }
                state.clone_from(&night.state);
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
