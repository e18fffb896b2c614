//! Which sweep has a device, and when: priorities, fair shares, daily windows.

use std::time::Duration;

use batchstep_proto::{
    domain::{AttemptOutcome, SweepSpec, VisitOrder},
    ids::SweepId,
    wire::event::Kind,
};
use jiff::Timestamp;

use super::{
    fixtures::{night, spec},
    world::World,
};
use crate::fleet::{Answer, AttemptState, HeldState, Input, Refusal};

/// Sweeps in the order in which their rounds were given out.
fn order(world: &World) -> Vec<SweepId> {
    let events = world.ledger.events.iter();
    events
        .filter(|event| matches!(event.kind, Kind::RoundAssigned(_)))
        .filter_map(|event| event.sweep)
        .collect()
}

fn with_priority(priority: i32) -> SweepSpec {
    let mut spec = spec();
    spec.scheduling.priority = priority;
    spec
}

fn tell_time(world: &mut World, time: &str) {
    let told: Timestamp = format!("2026-01-10T{time}:00Z").parse().unwrap();
    world.feed(Input::TimeOfDay(told));
}

#[test]
fn sweeps_of_one_priority_take_turns_on_a_device() {
    let mut world = World::new(4, &[&["GPU-x"]]);
    world.connect(0);
    let (first, _) = world.submit(spec());
    let (second, _) = world.submit(spec());
    world.run();
    assert_eq!(
        order(&world),
        [first, second, first, second, first, second, first, second]
    );
    assert_eq!(world.ledger.blocks(), [8, 8]);
}

#[test]
fn a_sweep_whose_rounds_are_long_has_fewer_of_them() {
    let mut world = World::new(6, &[&["GPU-x"]]);
    world.connect(0);
    let (long, _) = world.submit(spec());
    let (_short, _) = world.submit(spec());
    for _ in 0..60 {
        // Rounds of the first sweep take ten times as long.
        let running = world.agents[0]
            .held
            .iter()
            .find(|(_, held)| held.state == HeldState::Running)
            .map(|(id, held)| (*id, held.round.sweep == long));
        match running {
            Some((id, is_long)) => {
                world.finish(0, id, AttemptOutcome::Finished, 2);
                let held = world.agents[0].held.get_mut(&id).unwrap();
                let report = held.last.as_mut().unwrap();
                report.elapsed = Duration::from_secs(if is_long { 50 } else { 5 });
            }
            None => {
                world.step(0);
            }
        }
        if order(&world).len() == 9 {
            break;
        }
    }
    let shares = order(&world);
    let of_long = shares.iter().filter(|sweep| **sweep == long).count();
    assert!((1..=3).contains(&of_long), "{of_long} of {}", shares.len());
}

#[test]
fn series_of_a_sweep_run_one_after_the_other() {
    let mut world = World::new(2, &[&["GPU-x"]]);
    world.connect(0);
    let mut two = spec();
    two.workloads.push("matmul".parse().unwrap());
    world.submit(two);
    world.run();
    let started: Vec<String> = world
        .ledger
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::RoundAssigned(assigned) => Some(assigned.series_id.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(started.len(), 4);
    assert_eq!(started[0], started[1]);
    assert_eq!(started[2], started[3]);
}

#[test]
fn a_higher_priority_goes_first_and_a_late_one_overtakes() {
    let mut world = World::new(3, &[&["GPU-x"]]);
    let (low, _) = world.submit(with_priority(-1));
    let (usual, _) = world.submit(spec());
    world.connect(0);
    world.step(0);
    assert_eq!(order(&world), [usual, usual]);
    let (high, _) = world.submit(with_priority(5));
    assert!(
        world
            .explanation(low, 0)
            .starts_with("device GPU-x is busy"),
        "{}",
        world.explanation(low, 0)
    );
    world.run();
    assert_eq!(
        order(&world),
        [usual, usual, high, high, high, usual, low, low, low]
    );
}

#[test]
fn a_sweep_that_comes_later_has_no_claim_to_what_others_had_before() {
    let mut world = World::new(8, &[&["GPU-x"]]);
    world.connect(0);
    let (first, _) = world.submit(spec());
    while order(&world).len() < 5 {
        world.step(0);
    }
    let (second, _) = world.submit(spec());
    world.run();
    let after = order(&world).split_off(5);
    let of_second = after[..6].iter().filter(|sweep| **sweep == second).count();
    assert_eq!(of_second, 3, "{after:?}, first: {first}");
}

#[test]
fn a_window_opens_and_closes_with_the_time_of_day() {
    let mut world = World::new(40, &[&["GPU-x"]]);
    world.connect(0);
    let mut nightly = spec();
    nightly.scheduling.only_between = Some(night());
    let (sweep, _) = world.submit(nightly);
    assert!(world.agents[0].held.is_empty());
    assert!(world.state.needs_time_of_day());
    assert_eq!(
        world.explanation(sweep, 0),
        "it runs between 20:00-06:00 UTC only, and the time of day is not known yet"
    );
    tell_time(&mut world, "19:00");
    assert_eq!(
        world.explanation(sweep, 0),
        "it runs between 20:00-06:00 UTC only; that opens in 1 h 00 min"
    );
    world.wait(Duration::from_mins(59));
    assert!(world.agents[0].held.is_empty());
    // No further word about the time of day is needed.
    world.wait(Duration::from_mins(1));
    assert_eq!(world.agents[0].held.len(), 1);
    world.step(0);
    world.step(0);
    world.step(0);
    tell_time(&mut world, "05:59");
    assert!(world.agents[0].held.values().all(|held| !held.is_over()));
    world.wait(Duration::from_mins(1));
    assert!(
        world.agents[0].held.values().all(|held| held.is_over()),
        "what runs stops, and what waits"
    );
    world.run();
    assert_eq!(world.ledger.blocks(), [1], "and keeps its blocks");
    assert!(
        world
            .ledger
            .states()
            .iter()
            .all(|state| *state == AttemptState::Reported)
    );
    assert!(world.ledger.ended.is_empty());
    // The round of which nothing was measured is given out again.
    tell_time(&mut world, "20:00");
    world.run();
    assert_eq!(world.ledger.ended.len(), 1);
    let rounds = &world.ledger.sweeps[0].series[0].rounds;
    assert_eq!(rounds[1].attempts.len(), 2);
}

#[test]
fn a_clock_that_is_set_moves_windows_and_nothing_else() {
    let mut world = World::new(3, &[&["GPU-x"]]);
    world.connect(0);
    let mut nightly = spec();
    nightly.scheduling.only_between = Some(night());
    world.submit(nightly);
    tell_time(&mut world, "12:00");
    assert!(world.agents[0].held.is_empty());
    tell_time(&mut world, "23:00");
    assert_eq!(world.agents[0].held.len(), 1);
    // Back to noon: what is out stops, nothing is lost.
    tell_time(&mut world, "12:00");
    world.run();
    assert_eq!(world.ledger.blocks(), [0]);
    tell_time(&mut world, "23:00");
    world.run();
    assert_eq!(world.ledger.blocks(), [6]);
}

#[test]
fn a_time_zone_that_is_none_is_refused() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    let mut lost = spec();
    lost.scheduling.only_between = Some(night());
    if let Some(window) = &mut lost.scheduling.only_between {
        window.time_zone = "Europe/Atlantis".to_owned();
    }
    let (_, answer) = world.submit(lost);
    let Answer::Refused(Refusal::Invalid(message)) = answer else {
        panic!("{answer:?}");
    };
    assert!(message.contains("\"Europe/Atlantis\""), "{message}");
    assert!(world.ledger.sweeps.is_empty());
}

#[test]
fn sweeps_that_cannot_run_lend_nobody_their_claim() {
    let mut world = World::new(8, &[&["GPU-x"]]);
    world.connect(0);
    let (_, _) = world.submit(with_priority(-1));
    let (first, _) = world.submit(spec());
    while order(&world).len() < 6 {
        world.step(0);
    }
    let (second, _) = world.submit(spec());
    world.run();
    let order = order(&world);
    let both: Vec<SweepId> = order
        .into_iter()
        .filter(|sweep| [first, second].contains(sweep))
        .collect();
    let of_second = both[5..11].iter().filter(|sweep| **sweep == second).count();
    assert!((2..=4).contains(&of_second), "{of_second} of 6");
}

#[test]
fn a_round_that_was_lost_is_not_taken_up_outside_its_window() {
    let mut world = World::new(2, &[&["GPU-x"]]);
    world.connect(0);
    let mut nightly = spec();
    nightly.scheduling.only_between = Some(night());
    world.submit(nightly);
    tell_time(&mut world, "05:50");
    world.step(0);
    world.disconnect(0);
    world.wait(Duration::from_mins(15));
    world.connect(0);
    assert!(
        world.agents[0].held.values().all(|held| held.is_over()),
        "what ran on without us is stopped"
    );
}

#[test]
fn devices_cannot_share_what_has_no_reference_visits() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    let mut shared = spec();
    shared.scheduling.share_across_model = true;
    shared.visit_order = VisitOrder::Ascending;
    let (_, answer) = world.submit(shared);
    assert!(matches!(answer, Answer::Refused(Refusal::Invalid(_))));
}

#[test]
fn what_is_out_of_a_series_that_has_enough_is_called_back_once() {
    let mut world = World::new(9, &[&["GPU-a"], &["GPU-b"], &["GPU-c"]]);
    for agent in 0..3 {
        world.connect(agent);
    }
    let mut shared = spec();
    shared.scheduling.share_across_model = true;
    world.submit(shared);
    world.script.settles = true;
    world.state.planner = Box::new(world.script);
    for agent in 0..3 {
        world.step(agent);
    }
    // One block is an answer; the others' rounds come back one after the other.
    let attempt = world.held(0);
    world.finish(0, attempt, AttemptOutcome::Finished, 1);
    world.run();
    assert!(world.state.idle());
    assert!(world.stops.len() > 2, "{:?}", world.stops);
    assert!(
        world.stops.values().all(|times| *times == 1),
        "{:?}",
        world.stops
    );
}
