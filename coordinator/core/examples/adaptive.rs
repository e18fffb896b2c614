//! Compares strategies.

#[path = "../tests/compare/mod.rs"]
#[allow(dead_code)]
mod compare;

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use batchstep_laws::Class;
use batchstep_proto::domain::Strategy;
use compare::{Outcome, run};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(8);
    let precision: f64 = arguments
        .next()
        .and_then(|a| a.parse().ok())
        .unwrap_or(0.003);
    let only = arguments.next();
    let first: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(0);
    let noise: Option<f64> = arguments.next().and_then(|a| a.parse().ok());
    let levels = [0.002, 0.003, 0.005, 0.01];
    let jobs: Vec<(Class, u64)> = Class::all()
        .filter(|class| {
            only.as_deref()
                .is_none_or(|name| name == "all" || class.name() == name)
        })
        .flat_map(|class| (first..first + seeds).map(move |seed| (class, seed)))
        .collect();
    let at = AtomicUsize::new(0);
    let results: Mutex<Vec<(Class, u64, f64, Outcome, Outcome)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| loop {
                let Some(&(class, seed)) = jobs.get(at.fetch_add(1, Ordering::Relaxed)) else { break };
                let sigma = noise.unwrap_or(levels[seed as usize % 4]);
                let draw = class.draw(seed, sigma);
                let dense = run(&draw, Strategy::Dense, precision, seed);
                let adaptive = run(&draw, Strategy::Adaptive, precision, seed + 1_000_000);
                if only.is_some() && !dense.agrees_with(&adaptive) {
                    let counts = adaptive.visited();
                    println!("--- {class} seed {seed} sigma {sigma} n {} truth {:?} law {:?}\n dense {:?} {:?} conf {:?} {}\n adaptive {:?} {:?} conf {:?} {}\n   {}\n  rounds {} {:?}", draw.sizes.len(), draw.truth, draw.law, dense.verdict, dense.step, dense.confidence, dense.reason, adaptive.verdict, adaptive.step, adaptive.confidence, adaptive.reason, adaptive.message, adaptive.history.rounds.len(), counts);
                }
                results.lock().unwrap().push((class, seed, sigma, dense, adaptive));
            });
        }
    });
    let results = results.into_inner().unwrap();
    let quantile = |mut v: Vec<f64>, q: f64| {
        v.sort_by(f64::total_cmp);
        v[((v.len() - 1) as f64 * q).round() as usize]
    };
    let mut all = Vec::new();
    let (mut agree_all, mut n_all) = (0, 0);
    for class in Class::all() {
        let of: Vec<_> = results.iter().filter(|r| r.0 == class).collect();
        if of.is_empty() {
            continue;
        }
        let agree = of.iter().filter(|r| r.3.agrees_with(&r.4)).count();
        let dr = of
            .iter()
            .filter(|r| r.3.right(class.draw(r.1, r.2).truth))
            .count();
        let ar = of
            .iter()
            .filter(|r| r.4.right(class.draw(r.1, r.2).truth))
            .count();
        let share: Vec<f64> = of
            .iter()
            .map(|r| r.4.measuring.as_secs_f64() / r.3.measuring.as_secs_f64())
            .collect();
        let blocks: Vec<f64> = of
            .iter()
            .map(|r| {
                let v = r.3.visited();
                f64::from(v.values().sum::<u32>()) / v.len() as f64
            })
            .collect();
        println!(
            "{:26} agree {agree:3}/{:3} dense right {dr:3} adaptive {ar:3} share {:.2} p90 {:.2}  dense blocks {:.1}",
            class.name(),
            of.len(),
            quantile(share.clone(), 0.5),
            quantile(share.clone(), 0.9),
            quantile(blocks, 0.5)
        );
        all.extend(share);
        agree_all += agree;
        n_all += of.len();
    }
    println!(
        "all: agree {agree_all}/{n_all} share median {:.3} p90 {:.3}",
        quantile(all.clone(), 0.5),
        quantile(all, 0.9)
    );
}
