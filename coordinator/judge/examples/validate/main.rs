//! Prints, as Markdown, how often the judge is right on simulated nights: the tables of `docs/results/nightly.md`.
//!
//! ```text
//! cargo run --release -p batchstep-judge --example validate -- [--scale SHARE] [--seed FIRST] [--threads N] [--check]
//! ```
//!
//! This is `make validate-nightly`. `--scale 0.1` draws a tenth of the nights, `--seed` other ones; `--check` exits with 1 where a bar is missed.

mod cases;
mod found;
mod page;
mod quiet;
#[path = "../../tests/nights/simulator.rs"]
mod simulator;

use std::process::ExitCode;

/// The first seed of a published campaign: nothing was tuned on seeds from here on.
const UNTUNED: u64 = 2_000_000;

/// The command line; every value has a default.
#[derive(Debug, Clone, Copy)]
struct Arguments {
    scale: f64,
    seed: u64,
    threads: usize,
    check: bool,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self {
            scale: 1.0,
            seed: UNTUNED,
            threads: 2,
            check: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            if flag == "--check" {
                read.check = true;
                continue;
            }
            let value = words.next().ok_or(format!("{flag} needs a value"))?;
            let bad = |error: &dyn std::fmt::Display| format!("{flag} {value}: {error}");
            match flag.as_str() {
                "--scale" => read.scale = value.parse().map_err(|e| bad(&e))?,
                "--seed" => read.seed = value.parse().map_err(|e| bad(&e))?,
                "--threads" => read.threads = value.parse().map_err(|e| bad(&e))?,
                _ => return Err(format!("{flag} is not an option")),
            }
        }
        if !(read.scale > 0.0 && read.scale <= 100.0) || read.threads == 0 {
            return Err("--scale is above 0 and at most 100, --threads at least 1".to_owned());
        }
        Ok(read)
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("validate: {error}");
            return ExitCode::from(2);
        }
    };
    let quiet = quiet::campaign(arguments.scale, arguments.seed, arguments.threads);
    let found = found::campaign(arguments.scale, arguments.seed, arguments.threads);
    let is_met = page::print(&quiet, &found);
    if arguments.check && !is_met {
        eprintln!("validate: a bar is missed");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Runs the jobs on so many threads; answers in their order.
fn in_parallel<J: Sync, R: Send>(
    threads: usize,
    jobs: &[J],
    run: impl Fn(&J) -> R + Sync,
) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(job) = jobs.get(index) else {
                break done;
            };
            done.push((index, run(job)));
        }
    };
    let mut all: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker panicked"));
        joined.flatten().collect()
    });
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, result)| result).collect()
}
