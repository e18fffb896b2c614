//! Devices that share a series: which do, who measures what, and what becomes of the rounds of a device that is gone.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::{
    domain::{AttemptOutcome, AttemptReport, VisitFailure, VisitFailureKind},
    wire,
};

use super::{
    fixtures::{report, shared, spec},
    world::{ACCEPTED, SUPERSEDED, World},
};
use crate::fleet::{Answer, AttemptState, HeldState, SeriesState};

/// The devices of each series, in their order.
pub fn pools(world: &World) -> Vec<Vec<String>> {
    let series = world.ledger.sweeps.iter().flat_map(|sweep| &sweep.series);
    series
        .map(|series| series.plan.devices().map(ToOwned::to_owned).collect())
        .collect()
}

/// The device that measured each round of the first series.
fn measured_by(world: &World) -> Vec<&str> {
    let rounds = world.ledger.sweeps[0].series[0].rounds.iter();
    rounds
        .filter(|round| !round.record.blocks.is_empty())
        .map(|round| round.record.round.device_id.as_str())
        .collect()
}

/// One sweep on three hosts with a GPU of one model each.
fn three_hosts(rounds: usize) -> World {
    let mut world = World::new(rounds, &[&["GPU-a"], &["GPU-b"], &["GPU-c"]]);
    for agent in 0..3 {
        world.connect(agent);
    }
    world.submit(shared());
    world
}

#[test]
fn only_devices_that_are_alike_share() {
    let mut world = World::new(1, &[&["GPU-d", "GPU-a"], &["GPU-b", "GPU-c"]]);
    world.agents[1].devices[1].model = "another model".to_owned();
    world.connect(0);
    world.connect(1);
    let mut two = shared();
    two.workloads.push("matmul".parse().unwrap());
    world.submit(two);
    let (pool, alone) = (
        vec!["GPU-a".to_owned(), "GPU-b".to_owned(), "GPU-d".to_owned()],
        vec!["GPU-c".to_owned()],
    );
    assert_eq!(pools(&world), [pool.clone(), pool, alone.clone(), alone]);
    let places = world.ledger.sweeps[0].series[0].plan.places();
    let hosts: Vec<String> = places.map(|(_, host)| host.to_owned()).collect();
    let host = |agent: usize| format!("host-{}", world.agents[agent].id);
    assert_eq!(hosts, [host(0), host(1), host(0)]);
}

#[test]
fn without_the_wish_every_device_has_its_own_series() {
    let mut world = World::new(1, &[&["GPU-a", "GPU-b"]]);
    world.connect(0);
    world.submit(spec());
    assert_eq!(pools(&world), [["GPU-a"], ["GPU-b"]]);
}

#[test]
fn all_devices_measure_at_the_same_time_and_each_block_has_its_device() {
    let mut world = three_hosts(6);
    for agent in 0..3 {
        assert_eq!(world.agents[agent].held.len(), 1, "each has a round");
    }
    let sweep = world.state.sweep(world.ledger.sweeps[0].id).unwrap();
    let [series] = sweep.series.as_slice() else {
        panic!("one series for all: {:?}", sweep.series);
    };
    assert_eq!(series.shared_by, 3);
    assert_eq!(series.state, wire::SeriesState::Running as i32);
    let running: Vec<_> = series
        .devices
        .iter()
        .map(|it| (it.device_id.as_str(), it.round))
        .collect();
    assert_eq!(
        running,
        [("GPU-a", Some(0)), ("GPU-b", Some(1)), ("GPU-c", Some(2))]
    );
    world.run();
    assert_eq!(world.ledger.blocks(), [12]);
    let by: BTreeSet<&str> = measured_by(&world).into_iter().collect();
    assert_eq!(by, BTreeSet::from(["GPU-a", "GPU-b", "GPU-c"]));
    for (record, attempt) in world.ledger.attempts() {
        assert_eq!(record.round.device_id, attempt.device);
        let agent = world.agents.iter().find(|agent| agent.id == attempt.agent);
        assert_eq!(agent.unwrap().devices[0].id, attempt.device);
    }
    assert!(world.state.idle());
    assert!(world.state.lanes.values().all(|lane| lane.queue.is_empty()));
}

#[test]
fn a_restart_at_any_point_keeps_who_measured_what() {
    for restart_after in 0..40 {
        let mut world = three_hosts(5);
        'run: for _ in 0.. {
            let mut acted = false;
            for agent in 0..3 {
                if world.keys > restart_after {
                    world.restart();
                    break 'run;
                }
                acted |= world.step(agent);
            }
            if !acted {
                break;
            }
        }
        world.run();
        assert_eq!(world.ledger.blocks(), [10], "restart after {restart_after}");
        let states = world.ledger.states();
        assert!(states.iter().all(|state| *state == AttemptState::Reported));
    }
}

#[test]
fn a_device_that_is_lost_for_good_stops_nothing() {
    let mut world = three_hosts(6);
    // The first has measured a visit of its round, the second nothing of its own; then both hosts burn.
    for _ in 0..3 {
        world.step(0);
    }
    world.step(1);
    for agent in 0..2 {
        world.disconnect(agent);
        world.agents[agent].held.clear();
    }
    for _ in 0..100 {
        while world.step(2) {}
        if world.state.idle() {
            break;
        }
        world.wait(Duration::from_secs(10));
    }
    let [(_, state, _)] = world.ledger.ended.as_slice() else {
        panic!("the sweep never ended");
    };
    assert_eq!(*state, crate::fleet::SweepState::Done);
    let by = measured_by(&world);
    assert_eq!(by.iter().filter(|device| **device == "GPU-a").count(), 1);
    assert_eq!(by.iter().filter(|device| **device == "GPU-c").count(), 5);
    // What the lost device had measured counts, and nobody else measured the rest of its round.
    assert_eq!(world.ledger.blocks(), [11]);
}

#[test]
fn what_a_lost_device_brings_late_ends_its_round() {
    let mut world = three_hosts(3);
    world.step(0);
    let attempt = world.held(0);
    let late = {
        let held = world.agents[0].held.get_mut(&attempt).unwrap();
        report(attempt, held, None, 1, &mut 1_000_000)
    };
    for agent in 0..3 {
        world.disconnect(agent);
    }
    world.wait(Duration::from_mins(5));
    assert_eq!(world.ledger.states()[0], AttemptState::Expired);
    let id = world.agents[0].id;
    assert_eq!(world.send_report(id, late), ACCEPTED);
    assert!(world.ledger.sweeps[0].series[0].rounds[0].ended);
    // Its agent is told to stop what is over.
    world.connect(0);
    assert!(world.agents[0].held[&attempt].is_over());
    world.run();
    assert!(world.state.idle());
}

#[test]
fn a_device_that_fails_at_everything_does_not_fail_the_series() {
    let mut world = three_hosts(12);
    for _ in 0..400 {
        let broken = world.agents[0]
            .held
            .iter()
            .find(|(_, held)| held.state == HeldState::Running)
            .map(|(id, _)| *id);
        if let Some(attempt) = broken {
            world.finish(0, attempt, AttemptOutcome::Broken, 0);
        }
        for agent in 0..3 {
            world.step(agent);
        }
        if world.state.idle() {
            break;
        }
        world.wait(Duration::from_secs(5));
    }
    let series = &world.ledger.sweeps[0].series[0];
    assert_eq!(series.state, SeriesState::Done, "{}", series.message);
    assert!(measured_by(&world).iter().all(|device| *device != "GPU-a"));
}

#[test]
fn a_cordoned_host_ends_a_shared_series_only_where_it_is_the_last() {
    let mut world = three_hosts(40);
    let id = world.agents[0].id;
    world.cordon(id);
    assert!(world.state.series.values().all(|it| it.over.is_none()));
    for agent in 1..3 {
        let id = world.agents[agent].id;
        world.cordon(id);
    }
    assert!(world.state.series.values().all(|it| it.over.is_some()));
}

#[test]
fn a_cancelled_sweep_leaves_every_lane() {
    let mut world = three_hosts(6);
    let sweep = world.ledger.sweeps[0].id;
    assert_eq!(world.cancel(sweep), Answer::Cancelled(true));
    world.run();
    assert!(world.state.idle());
    assert!(world.state.lanes.values().all(|lane| lane.queue.is_empty()));
}

#[test]
fn a_device_that_somebody_uses_pauses_a_shared_series_on_itself_alone() {
    let mut world = World::new(8, &[&["GPU-a"], &["GPU-b"]]);
    world.connect(0);
    world.connect(1);
    let mut idle = shared();
    idle.scheduling.idle_only = true;
    world.submit(idle);
    world.step(0);
    // Somebody came: what runs is stopped, and what waits behind it.
    while !world.agents[0].held.is_empty() {
        let held: Vec<_> = world.agents[0].held.keys().copied().collect();
        for attempt in held {
            world.finish(0, attempt, AttemptOutcome::Stopped, 0);
        }
        world.step(0);
    }
    while world.step(1) {}
    assert!(world.state.idle(), "the other device has measured all");
    assert!(measured_by(&world).iter().all(|device| *device == "GPU-b"));
}

/// Ends what an agent runs, every visit failed in itself.
fn fail_visits(world: &mut World, agent: usize) {
    let attempt = world.held(agent);
    world.finish(agent, attempt, AttemptOutcome::Finished, 0);
    let held = world.agents[agent].held.get_mut(&attempt).unwrap();
    let visits = (0..).zip(&held.round.visits);
    let failures = visits.map(|(visit, asked)| VisitFailure {
        visit,
        batch_size: asked.batch_size,
        kind: VisitFailureKind::Error,
        message: "a broken library".to_owned(),
    });
    held.last.as_mut().unwrap().failures = failures.collect();
    while world.agents[agent].held.contains_key(&attempt) {
        world.step(agent);
    }
}

#[test]
fn a_device_on_which_every_visit_fails_lets_the_others_try_first() {
    let mut world = three_hosts(12);
    world.step(0);
    while !world.agents[0].held.is_empty() {
        fail_visits(&mut world, 0);
    }
    let id = world.ledger.sweeps[0].series[0].plan.id;
    let pause = |world: &World| world.state.lanes["GPU-a"].pauses.get(&id).cloned();
    let first = pause(&world).unwrap();
    assert_eq!(first.reason, "a broken library");
    // Once it is over it is tried again, and waits for longer.
    world.wait(Duration::from_secs(5));
    world.step(0);
    fail_visits(&mut world, 0);
    assert!(pause(&world).unwrap().attempts > first.attempts);
}

#[test]
fn a_host_that_fails_at_everything_is_cordoned_while_the_first_rounds_of_others_last() {
    let mut world = three_hosts(40);
    // The second device is in its first round, of which a block has come.
    while world.ledger.blocks() == [0] {
        world.step(1);
    }
    assert!(!world.ledger.sweeps[0].series[0].rounds[1].ended);
    // It leaves the first series after three of them, and has the same of the second.
    world.submit(shared());
    for _ in 0..5 {
        world.step(0);
        let attempt = world.held(0);
        world.finish(0, attempt, AttemptOutcome::Refused, 0);
        while world.agents[0].held.contains_key(&attempt) {
            world.step(0);
        }
        world.wait(Duration::from_mins(1));
    }
    let id = world.agents[0].id;
    assert!(world.ledger.restrictions[&id].cordon.is_some());
    assert!(world.state.series.values().all(|it| it.over.is_none()));
}

#[test]
fn all_parts_that_a_lost_device_brings_late_count() {
    let mut world = three_hosts(3);
    world.step(0);
    let attempt = world.held(0);
    let held = world.agents[0].held.get_mut(&attempt).unwrap();
    let mut counter = 1_000_000;
    let mut part = |outcome, blocks| report(attempt, held, outcome, blocks, &mut counter);
    let parts = [part(None, 1), part(None, 1)];
    let last = part(Some(AttemptOutcome::Finished), 0);
    let more = part(None, 0);
    for agent in 0..3 {
        world.disconnect(agent);
    }
    world.wait(Duration::from_mins(5));
    assert_eq!(world.ledger.states()[0], AttemptState::Expired);
    let id = world.agents[0].id;
    for part in parts {
        assert_eq!(world.send_report(id, part), ACCEPTED);
    }
    assert_eq!(world.send_report(id, last.clone()), ACCEPTED);
    assert_eq!(world.ledger.states()[0], AttemptState::Reported);
    assert_eq!(world.ledger.blocks(), [2]);
    // It ends once.
    let again = AttemptReport {
        elapsed: Duration::from_secs(2),
        ..last
    };
    assert_eq!(world.send_report(id, again), SUPERSEDED);
    assert_eq!(world.send_report(id, more), ACCEPTED);
    world.agents[0].held.clear();
    world.run();
    assert!(world.state.idle());
}

#[test]
fn a_part_that_was_overtaken_does_not_count_once_another_device_has_the_round() {
    let mut world = three_hosts(3);
    world.step(0);
    let attempt = world.held(0);
    let held = world.agents[0].held.get_mut(&attempt).unwrap();
    let overtaken = report(attempt, held, None, 1, &mut 1_000_000);
    world.finish(0, attempt, AttemptOutcome::Stopped, 0);
    while world.agents[0].held.contains_key(&attempt) {
        world.step(0);
    }
    // The second takes it beside its own.
    world.step(1);
    let tries = &world.ledger.sweeps[0].series[0].rounds[0].attempts;
    let devices: Vec<&str> = tries.iter().map(|it| it.device.as_str()).collect();
    assert_eq!(devices, ["GPU-a", "GPU-b"]);
    let id = world.agents[0].id;
    assert_eq!(world.send_report(id, overtaken), SUPERSEDED);
    world.run();
    assert_eq!(world.ledger.blocks(), [6]);
}
