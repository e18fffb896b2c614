//! Prints, as Markdown, how often an adaptive sweep answers as a dense one does, and at what share of its time: on simulated devices of every class of
//! laws.
//!
//! ```text
//! cargo run --release -p batchstep-core --example adaptive -- [--seeds N] [--first SEED]
//! cargo run --release -p batchstep-core --example adaptive -- --class NAME [--seeds N] [--first SEED] [--precision SHARE]
//! ```
//!
//! The first form is the page in `docs/results`; the second lists the laws of one class that were answered differently.

#[path = "adaptive/campaign.rs"]
mod campaign;
#[path = "../tests/compare/mod.rs"]
mod compare;
#[path = "adaptive/page.rs"]
mod page;

use std::process::ExitCode;

use batchstep_laws::Class;
use campaign::Comparison;
use compare::{FIVE_BLOCKS, USUAL_PRECISION};

/// The command line; every value has a default.
struct Arguments {
    seeds: u64,
    first: u64,
    class: Option<Class>,
    precision: f64,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self {
            seeds: 40,
            first: 0,
            class: None,
            precision: USUAL_PRECISION,
        };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(format!("{flag} needs a value"))?;
            let bad = |error: &dyn std::fmt::Display| format!("{flag} {value}: {error}");
            match flag.as_str() {
                "--seeds" => read.seeds = value.parse().map_err(|e| bad(&e))?,
                "--first" => read.first = value.parse().map_err(|e| bad(&e))?,
                "--class" => read.class = Some(value.parse().map_err(|e| bad(&e))?),
                "--precision" => read.precision = value.parse().map_err(|e| bad(&e))?,
                _ => return Err(format!("{flag} is not an option")),
            }
        }
        Ok(read)
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("adaptive: {message}");
            return ExitCode::from(2);
        }
    };
    let seeds = arguments.first..arguments.first + arguments.seeds;
    if let Some(class) = arguments.class {
        for one in Comparison::all([class], seeds, arguments.precision) {
            page::list(&one);
        }
        return ExitCode::SUCCESS;
    }
    let usual = Comparison::all(Class::all(), seeds.clone(), USUAL_PRECISION);
    let least = Comparison::all(Class::all(), seeds, FIVE_BLOCKS);
    page::print(&usual, &least);
    ExitCode::SUCCESS
}
