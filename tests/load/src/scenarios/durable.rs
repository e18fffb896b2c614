//! How many reports a coordinator takes that are on its disk when it answers, and what a whole round costs it.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::bench::{
    fleet::{Fleet, Manner},
    operator,
    quantiles::{Times, ms},
};

/// Work until a window begins: connections are open, caches warm.
const SETTLING: Duration = Duration::from_secs(2);

/// Prints both tables.
///
/// # Errors
/// When the coordinator or the fleet fails.
pub async fn measure(bench: &mut Bench) -> Result<()> {
    let syncs = bench.syncs_per_second()?;
    bench.page.say(&format!(
        "\nThe disk by itself: {syncs:.0} synced pages per second, one after the other."
    ));
    empty_calls(bench).await?;
    bench.page.table(
        "Durable reports of 32 blocks",
        &[
            "reporters",
            "reports/s",
            "of the disk's syncs/s",
            "receipt p50",
            "p99",
            "coordinator's CPU per report",
        ],
    );
    for reporters in [1, 64] {
        let manner = Manner {
            round: Duration::ZERO,
            parts: true,
        };
        let (figures, processor, seconds) = flow(bench, reporters, manner).await?;
        let rate = figures.reports as f64 / seconds;
        let per_report = processor / u32::try_from(figures.reports.max(1))?;
        let receipts = Times::of(figures.receipt_us);
        bench.page.row(
            &[
                reporters.to_string(),
                format!("{rate:.0}"),
                format!("{:.1}", rate / syncs),
                ms(receipts.quantile(0.5)),
                ms(receipts.quantile(0.99)),
                ms(per_report),
            ],
            json!({ "scenario": "reports", "reporters": reporters, "reports_per_second": rate, "syncs_per_second": syncs,
                "cpu_ms_per_report": per_report.as_secs_f64() * 1e3 }),
        );
    }
    bench.page.table(
        "Rounds of 32 blocks: assigned, accepted, reported, all of it on the disk",
        &[
            "devices",
            "rounds/s",
            "coordinator's CPU per round",
            "of a core",
            "failures",
        ],
    );
    for devices in [1, 64, 256] {
        let manner = Manner {
            round: Duration::ZERO,
            parts: false,
        };
        let (figures, processor, seconds) = flow(bench, devices, manner).await?;
        let per_round = processor / u32::try_from(figures.rounds.max(1))?;
        bench.page.row(
            &[
                devices.to_string(),
                format!("{:.0}", figures.rounds as f64 / seconds),
                ms(per_round),
                format!("{:.0} %", processor.as_secs_f64() / seconds * 100.0),
                figures.failures.to_string(),
            ],
            json!({ "scenario": "rounds", "devices": devices, "rounds_per_second": figures.rounds as f64 / seconds,
                "cpu_ms_per_round": per_round.as_secs_f64() * 1e3, "blocks": figures.blocks, "rounds": figures.rounds }),
        );
    }
    Ok(())
}

/// What a call costs that does nothing.
async fn empty_calls(bench: &mut Bench) -> Result<()> {
    bench.page.table(
        "Empty calls (health), for comparison",
        &["callers", "calls/s", "coordinator's CPU per call"],
    );
    let lab = bench.lab().await?;
    for callers in [1, 64] {
        let mut channels = Vec::new();
        for _ in 0..callers {
            channels.push(lab.coordinator.channel().await?);
        }
        let window = bench.window(8);
        let before = lab.coordinator.usage()?.processor;
        let calls = operator::empty_calls(channels, window).await?;
        let processor = lab.coordinator.usage()?.processor - before;
        let per_call = processor / u32::try_from(calls)?;
        bench.page.row(
            &[callers.to_string(), format!("{:.0}", calls as f64 / window.as_secs_f64()), ms(per_call)],
            json!({ "scenario": "empty_calls", "callers": callers, "calls_per_second": calls as f64 / window.as_secs_f64(),
                "cpu_ms_per_call": per_call.as_secs_f64() * 1e3 }),
        );
    }
    Ok(())
}

/// Lets devices work as fast as the coordinator lets them; answers with what they saw, the coordinator's processor time, and the seconds it took.
async fn flow(
    bench: &Bench,
    devices: u32,
    manner: Manner,
) -> Result<(crate::agents::Figures, Duration, f64)> {
    let lab = bench.lab().await?;
    let mut fleet = Fleet::start(&lab.coordinator.url(), devices, manner).await?;
    let channel = lab.coordinator.channel().await?;
    // More than any device does in the window.
    operator::submit(&channel, 64).await?;
    tokio::time::sleep(SETTLING).await;
    fleet.figures().await?;
    let (start, before) = (Instant::now(), lab.coordinator.usage()?);
    tokio::time::sleep(bench.window(10)).await;
    let after = lab.coordinator.usage()?;
    let seconds = start.elapsed().as_secs_f64();
    let figures = fleet.figures().await?;
    Ok((figures, after.processor - before.processor, seconds))
}
