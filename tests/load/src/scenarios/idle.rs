//! How long a device waits between two rounds of a series, seen from its agent: from the end of the one to the start of the next.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::Bench;
use crate::bench::{
    fleet::{Fleet, Manner},
    operator,
    quantiles::{Times, ms},
};

/// A round's time here: short, so that there are many pairs of rounds; real ones take seconds.
const ROUND: Duration = Duration::from_millis(500);

/// Prints the table.
///
/// # Errors
/// When the coordinator or the fleet fails.
pub async fn measure(bench: &mut Bench) -> Result<()> {
    bench.page.table(
        "A device's wait between two rounds",
        &["agents", "pairs of rounds", "p50", "p99", "longest"],
    );
    for agents in [1, 100] {
        let lab = bench.lab().await?;
        let manner = Manner {
            round: ROUND,
            parts: false,
        };
        let mut fleet = Fleet::start(&lab.coordinator.url(), agents, manner).await?;
        let channel = lab.coordinator.channel().await?;
        operator::submit(&channel, 8).await?;
        tokio::time::sleep(4 * ROUND).await;
        fleet.figures().await?;
        tokio::time::sleep(bench.window(24)).await;
        let waits = Times::of(fleet.figures().await?.idle_us);
        bench.page.row(
            &[
                agents.to_string(),
                waits.count().to_string(),
                ms(waits.quantile(0.5)),
                ms(waits.quantile(0.99)),
                ms(waits.quantile(1.0)),
            ],
            json!({ "scenario": "idle", "agents": agents, "pairs": waits.count(), "p50_ms": waits.quantile(0.5).as_secs_f64() * 1e3,
                "p99_ms": waits.quantile(0.99).as_secs_f64() * 1e3 }),
        );
    }
    Ok(())
}
