//! A process full of light agents: each speaks the agents' protocol over a connection of its own, and its device only pretends to compute.
//!
//! The process is steered through its standard input, a line for each request: `report` is answered with a line of JSON, what happened since the last
//! one; the end of the input ends it.

mod agent;
mod device;
mod figures;

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use anyhow::Result;
use tokio::sync::oneshot;

pub use figures::Figures;

/// What to play.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The coordinator.
    #[arg(long)]
    pub url: String,
    /// How many agents.
    #[arg(long)]
    pub agents: u32,
    /// Number of the first one: decides its id, so that a fleet keeps its identities over restarts of its processes.
    #[arg(long)]
    pub first: u32,
    /// Loopback address that the connections come from: each has some 28,000 ports.
    #[arg(long)]
    pub source: Ipv4Addr,
    /// Milliseconds that a round takes on average, whatever its device time is.
    #[arg(long)]
    pub round_ms: u64,
    /// Never finish a round: report part after part of it, each as soon as the last one has its receipt.
    #[arg(long)]
    pub parts: bool,
}

/// Time between the first connections of two agents: a coordinator is not switched on under a whole fleet.
const SPREAD: Duration = Duration::from_micros(500);

/// Plays until the input ends.
pub async fn play(options: Options) -> Result<()> {
    let figures = Arc::new(Mutex::new(Figures::default()));
    for number in 0..options.agents {
        let agent = agent::Agent::new(&options, options.first + number, Arc::clone(&figures))?;
        tokio::spawn(async move {
            tokio::time::sleep(SPREAD * number).await;
            agent.live().await;
        });
    }
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        let outcome = answer(&figures);
        let _ = ended.send(outcome);
    });
    end.await?
}

/// Answers requests until there are no more.
fn answer(figures: &Mutex<Figures>) -> Result<()> {
    for line in io::stdin().lines() {
        line?;
        let taken = figures::lock(figures).take();
        println!("{}", serde_json::to_string(&taken)?);
    }
    Ok(())
}
