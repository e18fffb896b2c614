//! Judges a stored history again, and as if something in it had become slower: when would it have been told?
//!
//! ```text
//! cargo run --release -p batchstep-judge --example replay -- [--series NAME | --device ID | --host ID] [--shift 0.08] [--from NIGHT] < history.jsonl
//! ```
//!
//! A line is one series' night as JSON: `night`, `day`, `series`, `group`, `device`, `host`, `observation` (`batchstep_judge::replay::Line`). Without a series, device or host the
//! history is judged as it was.

use std::{io::BufRead as _, process::ExitCode};

use batchstep_judge::{
    Policy,
    replay::{Injection, Line, Part, Told, nights, replay},
};

/// The command line.
struct Arguments {
    into: Option<Part>,
    shift: f64,
    from: u32,
}

impl Arguments {
    fn read() -> Result<Self, String> {
        let mut read = Self {
            into: None,
            shift: 0.08,
            from: 0,
        };
        let mut words = std::env::args().skip(1);
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(format!("{flag} needs a value"))?;
            let bad = |error: &dyn std::fmt::Display| format!("{flag} {value}: {error}");
            match flag.as_str() {
                "--series" => read.into = Some(Part::Series(value)),
                "--device" => read.into = Some(Part::Device(value)),
                "--host" => read.into = Some(Part::Host(value)),
                "--shift" => read.shift = value.parse().map_err(|e| bad(&e))?,
                "--from" => read.from = value.parse().map_err(|e| bad(&e))?,
                _ => return Err(format!("{flag} is not an option")),
            }
        }
        if !(read.shift > -1.0 && read.shift.is_finite()) {
            return Err("--shift is a share above -1, such as 0.08 for 8 % slower".to_owned());
        }
        Ok(read)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let arguments = Arguments::read()?;
    let mut lines = Vec::new();
    for (index, text) in std::io::stdin().lock().lines().enumerate() {
        let at = |error: &dyn std::fmt::Display| format!("line {}: {error}", index + 1);
        let text = text.map_err(|error| at(&error))?;
        if !text.trim().is_empty() {
            lines.push(serde_json::from_str::<Line>(&text).map_err(|error| at(&error))?);
        }
    }
    let nights = nights(lines);
    let policy = Policy::default();
    let injected = arguments.into.map(|into| Injection {
        into,
        from: arguments.from,
        shift: arguments.shift,
    });
    let as_it_was = replay(&policy, &nights, &[]);
    let as_if = replay(&policy, &nights, injected.as_slice());
    println!(
        "{} nights, {} alarms as it was",
        nights.len(),
        as_it_was.len()
    );
    print(&as_it_was);
    if injected.is_some() {
        let new: Vec<Told> = as_if
            .into_iter()
            .filter(|told| !as_it_was.contains(told))
            .collect();
        println!(
            "{} more or other alarms with the shift from night {}",
            new.len(),
            arguments.from
        );
        print(&new);
    }
    Ok(())
}

fn print(all: &[Told]) {
    for Told { night, of, verdict } in all {
        let shift = verdict.numbers.shift.map_or_else(String::new, |shift| {
            format!(" {:+.1} %", 100.0 * shift.exp_m1())
        });
        println!("night {night}: {:?}{shift} {of:?}", verdict.kind);
    }
}
