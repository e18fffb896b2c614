//! Any faults at any moments: a schedule drawn from a seed. `make faults` runs many.

use std::{env, time::Duration};

use batchstep_laws::Random;

use crate::{fault::Fault, fleet::Fleet};

/// Of the schedule that every run of the tests has, so that what was green stays green until the code changes.
const USUAL_SEED: u64 = 1;
/// Faults of a schedule.
const FAULTS: usize = 7;

/// What everything random is drawn from.
pub fn seed() -> u64 {
    match env::var("BATCHSTEP_FAULT_SEED") {
        Ok(seed) => seed.parse().expect("BATCHSTEP_FAULT_SEED is a number"),
        Err(_) => USUAL_SEED,
    }
}

#[test]
fn a_random_schedule_of_faults_leaves_the_table_as_it_was() {
    let seed = seed();
    println!("BATCHSTEP_FAULT_SEED={seed}");
    let mut random = Random::named("faults", seed);
    let mut fleet = Fleet::new();
    fleet.submit();
    for _ in 0..FAULTS {
        let rounds = random.whole(0, 3) as usize;
        let then = Duration::from_millis(random.whole(0, 400).into());
        let fault = Fault::draw(&mut random);
        let lasting = Duration::from_millis(random.whole(0, 3000).into());
        fleet.work_on(rounds, then);
        println!(
            "{fault:?} for {lasting:?}, at round {}",
            fleet.rounds_begun()
        );
        fault.strike(&mut fleet, lasting);
    }
    fleet.ends_undisturbed();
}
