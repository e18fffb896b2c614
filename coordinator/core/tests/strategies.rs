//! An adaptive sweep answers as a dense one does, for a part of its time: a few laws of every class. The example `adaptive` does the same with many.

mod compare;

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use batchstep_laws::Class;
use batchstep_proto::domain::Strategy;
use compare::{USUAL_PRECISION, run};

const SEEDS: std::ops::Range<u64> = 7000..7002;
const NOISE: [f64; 2] = [0.003, 0.008];
/// The goals, and room for the few laws.
const LEAST_SAME: f64 = 0.96;
const MOST_OF_THE_TIME: f64 = 0.25;

#[test]
fn adaptive_sweeps_answer_as_dense_ones_do_for_a_quarter_of_their_time() {
    let jobs: Vec<(Class, u64)> = Class::all()
        .flat_map(|class| SEEDS.map(move |seed| (class, seed)))
        .collect();
    let at = AtomicUsize::new(0);
    let found: Mutex<Vec<(bool, f64, String)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(&(class, seed)) = jobs.get(at.fetch_add(1, Ordering::Relaxed)) {
                    let draw = class.draw(seed, NOISE[seed as usize % NOISE.len()]);
                    let dense = run(&draw, Strategy::Dense, USUAL_PRECISION, seed);
                    // Another seed: the same law, other blocks.
                    let adaptive = run(&draw, Strategy::Adaptive, USUAL_PRECISION, !seed);
                    let share = adaptive.measuring.as_secs_f64() / dense.measuring.as_secs_f64();
                    let told = format!(
                        "{class} {seed}: {:?} {:?} against {:?} {:?}",
                        adaptive.verdict, adaptive.step, dense.verdict, dense.step
                    );
                    let same = adaptive.agrees_with(&dense);
                    found.lock().unwrap().push((same, share, told));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let differing: Vec<&str> = found
        .iter()
        .filter(|(same, ..)| !same)
        .map(|(.., told)| told.as_str())
        .collect();
    let same = 1.0 - differing.len() as f64 / found.len() as f64;
    let mut shares: Vec<f64> = found.iter().map(|(_, share, _)| *share).collect();
    shares.sort_by(f64::total_cmp);
    let share = shares[shares.len() / 2];
    assert!(same >= LEAST_SAME, "{same}: {differing:#?}");
    assert!(share <= MOST_OF_THE_TIME, "{share}");
}
