//! Prints detection, wrong-step and miss rates per class over seeded traces of known laws.
//!
//! `cargo run -p batchstep-inference --example validate -- [SEEDS] [NOISE] [CLASS]`; with a class, its failures are
//! listed.

use batchstep_inference::{Options, infer};

#[path = "../tests/generator/mod.rs"]
mod generator;

use generator::classes::generate;
use generator::{CLASSES, HARD_CLASSES, Outcome, judge};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(40);
    let noise: Option<f64> = arguments.next().and_then(|a| a.parse().ok());
    let only = arguments.next();
    let levels = [0.002, 0.003, 0.005, 0.01];
    println!(
        "{:24} {:>6} {:>8} {:>8} {:>8}",
        "class", "traces", "right", "wrong", "missed"
    );
    let (mut all, mut wrong_all) = (0, 0);
    for class in CLASSES.iter().chain(HARD_CLASSES) {
        if only.as_ref().is_some_and(|name| name != class) {
            continue;
        }
        let (mut right, mut wrong, mut missed) = (0, 0, 0);
        for seed in 0..seeds {
            let sigma = noise.unwrap_or(levels[seed as usize % levels.len()]);
            let case = generate(class, seed, sigma);
            let answer = infer(&case.trace, &Options::default());
            let outcome = judge(&case, &answer);
            match outcome {
                Outcome::Right => right += 1,
                Outcome::WrongStep => wrong += 1,
                Outcome::Missed => missed += 1,
            }
            if only.is_some() && outcome != Outcome::Right {
                println!(
                    "{seed} noise {sigma}: {:?} {} -> {:?} {:?} offset {:?} confidence {:?}: {} other {:?}",
                    case.truth,
                    case.description,
                    answer.verdict,
                    answer.step,
                    answer.offset,
                    answer.confidence,
                    answer.reason,
                    answer.other_steps
                );
            }
        }
        let share = |count: u64| 100.0 * count as f64 / seeds as f64;
        println!(
            "{class:24} {seeds:6} {:7.1}% {:7.1}% {:7.1}%",
            share(right),
            share(wrong),
            share(missed)
        );
        all += seeds;
        wrong_all += wrong;
    }
    println!("wrong steps overall: {wrong_all} of {all}");
}
