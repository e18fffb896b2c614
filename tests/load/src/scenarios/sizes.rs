//! What a coordinator costs by the size of its fleet: connected and silent but for heartbeats, and with a round every twenty seconds on each device.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::{Bench, Lab};
use crate::bench::{
    fleet::{Fleet, Manner},
    operator,
    quantiles::{Times, ms},
};

/// What a round takes: between the seconds and the minute that real ones take.
const ROUND: Duration = Duration::from_secs(20);

/// What a window showed.
struct Seen {
    /// Cores the coordinator used.
    cores: f64,
    resident: u64,
    figures: crate::agents::Figures,
    seconds: f64,
}

/// Prints the table.
///
/// # Errors
/// When the coordinator or the fleet fails.
pub async fn measure(bench: &mut Bench) -> Result<()> {
    bench.page.table(
        "By the size of the fleet: heartbeats every 10 s, then a round every 20 s on each device as well",
        &[
            "agents", "all welcomed after", "CPU, heartbeats", "per 1,000", "CPU, rounds", "per 1,000", "rounds/s",
            "CPU per round", "wait p50", "p99", "memory", "per 1,000", "failures",
        ],
    );
    let sizes = match bench.sizes.as_slice() {
        [] => bench.scale(vec![100, 1000, 10_000], vec![100, 1000]),
        sizes => sizes.to_vec(),
    };
    for agents in sizes {
        fleet_of(bench, agents).await?;
    }
    Ok(())
}

async fn fleet_of(bench: &mut Bench, agents: u32) -> Result<()> {
    let lab = bench.lab().await?;
    let empty = lab.coordinator.usage()?.resident;
    let started = Instant::now();
    let manner = Manner {
        round: ROUND,
        parts: false,
    };
    let mut fleet = Fleet::start(&lab.coordinator.url(), agents, manner).await?;
    let welcomed_after = started.elapsed();
    let quiet = window(&lab, &mut fleet, bench.window(30)).await?;
    let channel = lab.coordinator.channel().await?;
    operator::submit(&channel, 1).await?;
    // Every device ends its first round before the window begins: they all started at once.
    tokio::time::sleep(2 * ROUND).await;
    fleet.figures().await?;
    let busy = window(&lab, &mut fleet, bench.window(40)).await?;

    let rounds = busy.figures.rounds as f64 / busy.seconds;
    let per_round = (busy.cores - quiet.cores).max(0.0) / rounds.max(f64::MIN_POSITIVE) * 1e3;
    let thousands = f64::from(agents) / 1e3;
    let waits = Times::of(busy.figures.idle_us);
    let mib = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
    let percent = |cores: f64| format!("{:.1} %", cores * 100.0);
    let grown = busy.resident.saturating_sub(empty) as f64;
    bench.page.row(
        &[
            agents.to_string(),
            ms(welcomed_after),
            percent(quiet.cores),
            percent(quiet.cores / thousands),
            percent(busy.cores),
            percent(busy.cores / thousands),
            format!("{rounds:.1}"),
            format!("{per_round:.3} ms"),
            ms(waits.quantile(0.5)),
            ms(waits.quantile(0.99)),
            mib(busy.resident as f64),
            mib(grown / thousands),
            (quiet.figures.failures + busy.figures.failures).to_string(),
        ],
        json!({ "scenario": "sizes", "agents": agents, "welcomed_after_s": welcomed_after.as_secs_f64(), "quiet_cores": quiet.cores,
            "busy_cores": busy.cores, "rounds_per_second": rounds, "cpu_ms_per_round": per_round, "resident_bytes": busy.resident,
            "quiet_resident_bytes": quiet.resident, "empty_resident_bytes": empty,
            "failures": quiet.figures.failures + busy.figures.failures, "failure": busy.figures.failure }),
    );
    Ok(())
}

async fn window(lab: &Lab, fleet: &mut Fleet, length: Duration) -> Result<Seen> {
    fleet.figures().await?;
    let (start, before) = (Instant::now(), lab.coordinator.usage()?);
    tokio::time::sleep(length).await;
    let after = lab.coordinator.usage()?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Seen {
        cores: (after.processor - before.processor).as_secs_f64() / seconds,
        resident: after.resident,
        figures: fleet.figures().await?,
        seconds,
    })
}
