//! Prints how long an inference with its bootstrap takes: 256 batch sizes, 15 rounds, 200 resamples, one core.
//!
//! `cargo run -p batchstep-inference --example timing`

use std::time::Duration;

use batchstep_inference::{Options, infer};
use batchstep_laws::{Random, Scatter};

#[path = "../tests/support/mod.rs"]
mod support;

use support::{comb, measure};

#[expect(
    clippy::disallowed_methods,
    reason = "an example that measures time, not the inference"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

type Law = fn(u32) -> f64;

fn main() {
    let sizes: Vec<u32> = (1..=256).collect();
    let laws: [(&str, Law); 4] = [
        ("staircase of 26.4", |b| {
            0.2 + 0.002 * f64::from(b) + 0.1 * comb(b, 26.4, 0.0)
        }),
        ("8 inside 32", |b| {
            0.2 + 0.02 * comb(b, 8.0, 0.0) + 0.1 * comb(b, 32.0, 0.0)
        }),
        ("remainder profile of 12", |b| {
            0.2 + 0.01 * f64::from(b)
                + [0.0, 0.3, 0.2, 0.25][(b % 12 % 4) as usize] * f64::from(b % 12)
        }),
        ("linear", |b| 0.2 + 0.01 * f64::from(b)),
    ];
    for (name, law) in laws {
        let trace = measure(&mut Random::new(1), &sizes, 15, Scatter::quiet(0.005), law);
        let mut times: Vec<Duration> = (0..9)
            .map(|_| {
                let start = now();
                std::hint::black_box(infer(&trace, &Options::default()));
                start.elapsed()
            })
            .collect();
        times.sort();
        let answer = infer(&trace, &Options::default());
        println!(
            "{name:26} {:6.1} ms   {:?} {:?}",
            1e3 * times[times.len() / 2].as_secs_f64(),
            answer.verdict,
            answer.step
        );
    }
}
