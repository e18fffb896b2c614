//! A coordinator that is killed under its fleet: how soon it serves again on what it stored, how soon it has read that back, and how soon the whole
//! fleet is back.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::bench::{
    fleet::{Fleet, Manner},
    operator,
    quantiles::ms,
};

/// How long nobody answers.
const OUTAGE: Duration = Duration::from_secs(5);
/// Between two looks how much is stored.
const LOOK: Duration = Duration::from_millis(250);
/// Longest wait until enough is stored.
const PATIENCE: Duration = Duration::from_secs(300);

/// Prints the table: killed in the middle of a sweep, and once more when that sweep is over.
///
/// # Errors
/// When the coordinator or the fleet fails, or the fleet does not come back.
pub async fn measure(bench: &mut Bench) -> Result<()> {
    bench.page.table(
        "Killed, down for 5 s, started again",
        &[
            "agents",
            "stored blocks",
            "of sweeps that are",
            "serves after",
            "read back within",
            "whole fleet back after",
            "memory",
        ],
    );
    let agents = bench.scale(1000, 200);
    let wanted: u64 = bench.scale(1_000_000, 100_000);
    let lab = bench.lab().await?;
    let manner = Manner {
        round: Duration::ZERO,
        parts: false,
    };
    let mut fleet = Fleet::start(&lab.coordinator.url(), agents, manner).await?;
    let sweep = operator::submit(&lab.coordinator.channel().await?, 1).await?;
    let (mut blocks, start) = (0, Instant::now());
    while blocks < wanted && start.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        blocks += fleet.figures().await?.blocks;
    }
    let (data, port) = (lab.data, lab.port);
    let mut coordinator = lab.coordinator;
    for (what, is_open) in [("open", true), ("over", false)] {
        if !is_open {
            operator::cancel(&coordinator.channel().await?, sweep.clone()).await?;
            // Until the last of what was called back has reported.
            let mut quiet = 0;
            while quiet < 8 {
                tokio::time::sleep(LOOK).await;
                let figures = fleet.figures().await?;
                blocks += figures.blocks;
                quiet = if figures.reports == 0 { quiet + 1 } else { 0 };
            }
        }
        coordinator.kill()?;
        tokio::time::sleep(OUTAGE).await;
        let started = Instant::now();
        coordinator = bench.start_again(data.path(), port).await?;
        fleet.all_welcomed().await?;
        let back = started.elapsed();
        // Of sweeps that are over nothing is read.
        let read = if is_open {
            Some(coordinator.read_back().await?)
        } else {
            None
        };
        let memory = coordinator.usage()?.resident;
        bench.page.row(
            &[
                agents.to_string(),
                blocks.to_string(),
                what.to_owned(),
                ms(coordinator.ready_after),
                read.map_or_else(|| "-".to_owned(), ms),
                ms(back),
                format!("{:.0} MiB", memory as f64 / f64::from(1 << 20)),
            ],
            json!({ "scenario": "restart", "agents": agents, "blocks": blocks, "open": is_open,
                "ready_s": coordinator.ready_after.as_secs_f64(), "read_back_s": read.map(|read| read.as_secs_f64()), "fleet_back_s": back.as_secs_f64(), "resident_bytes": memory }),
        );
        blocks += fleet.figures().await?.blocks;
    }
    Ok(())
}
