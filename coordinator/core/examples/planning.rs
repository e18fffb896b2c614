//! Prints, as Markdown, what the planner costs after each round, by how much of a series is measured: without store, network or fleet.
//!
//! ```text
//! cargo run --release -p batchstep-core --example planning
//! ```
//!
//! A device that has one round at work and the next one waiting makes the fleet ask twice when a round is over: whether more is wanted, and what follows
//! the round that is still out.
#![allow(
    clippy::unwrap_used,
    reason = "a plan that cannot be made is a broken example"
)]

#[path = "../tests/device/mod.rs"]
mod device;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use batchstep_core::sweep::{History, Next, RoundRecord, SeriesPlan, ahead, next};
use batchstep_laws::Scatter;
use batchstep_proto::domain::Strategy;
use batchstep_simulated::{Behaviour, Machine};
use device::{executed, plan};

/// With the reference visits among them these are rounds of 32 blocks, as in `bench-fleet`.
const DENSE: &str = "1-27";
/// What an adaptive sweep is for: too many to measure them all.
const ADAPTIVE: &str = "1-256";
/// Relative standard deviation of a block: with the precision below no batch size is precise before it has fifty blocks.
const NOISE: f64 = 0.05;
const PRECISION: f64 = 0.001;
/// More than any of it takes.
const BUDGET: Duration = Duration::from_secs(100_000);
/// Blocks after which the cost is looked at.
const BLOCKS: [usize; 5] = [100, 160, 320, 800, 1600];
/// Repetitions of each call, of which the quickest counts: other work on the machine can only lengthen them.
const CALLS: usize = 200;
/// Seconds of an iteration at one wave, and samples of a wave.
const WAVE: (f64, u32) = (0.002, 4);

fn main() {
    println!("| strategy | blocks | rounds | next, ms | ahead, ms | together |");
    println!("|---|---|---|---|---|---|");
    for (strategy, sizes) in [(Strategy::Dense, DENSE), (Strategy::Adaptive, ADAPTIVE)] {
        let sizes = sizes.parse().unwrap();
        let plan = plan(sizes, strategy, PRECISION, BUDGET, 7);
        let rounds = measured(&plan);
        for wanted in BLOCKS {
            if let Some(length) = reached(&rounds, wanted) {
                print(strategy, &plan, &rounds[..length]);
            }
        }
    }
}

/// How many of `rounds` hold so many blocks, where a further one follows.
fn reached(rounds: &[RoundRecord], blocks: usize) -> Option<usize> {
    let length = rounds
        .iter()
        .scan(0, |sum, record| {
            *sum += record.blocks.len();
            Some(*sum)
        })
        .position(|sum| sum >= blocks)?
        + 1;
    (length < rounds.len()).then_some(length)
}

fn print(strategy: Strategy, plan: &SeriesPlan, rounds: &[RoundRecord]) {
    let history = History {
        rounds: rounds.to_vec(),
    };
    let Next::Round(round) = next(plan, &history) else {
        return;
    };
    let open = RoundRecord::new(round);
    let of_next = least(|| {
        black_box(next(plan, black_box(&history)));
    });
    let of_ahead = least(|| {
        black_box(ahead(plan, black_box(&history), &[&open]));
    });
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let blocks: usize = rounds.iter().map(|record| record.blocks.len()).sum();
    println!(
        "| {strategy:?} | {blocks} | {} | {:.3} | {:.3} | {:.3} |",
        rounds.len(),
        ms(of_next),
        ms(of_ahead),
        ms(of_next + of_ahead),
    );
}

/// The time of one call.
#[expect(
    clippy::disallowed_methods,
    reason = "the planner never reads a clock; whoever times it does"
)]
fn least(call: impl Fn()) -> Duration {
    let calls = (0..CALLS).map(|_| {
        let start = Instant::now();
        call();
        start.elapsed()
    });
    calls.min().unwrap_or_default()
}

/// The whole series on a simulated device.
fn measured(plan: &SeriesPlan) -> Vec<RoundRecord> {
    let behaviour = Behaviour {
        scatter: Scatter::quiet(NOISE),
        ..Behaviour::default()
    };
    let law = |size: u32, _| WAVE.0 * f64::from(size.div_ceil(WAVE.1));
    let mut device = Machine::new(law, behaviour, 1);
    let mut history = History::default();
    while let Next::Round(round) = next(plan, &history) {
        history.rounds.push(executed(&mut device, round));
    }
    history.rounds
}
