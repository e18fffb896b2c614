//! Devices that leave a series which they share, each for its own failures.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::{domain::AttemptOutcome, wire};
use proptest::prelude::*;

use super::{fixtures::shared, world::World};
use crate::fleet::{AttemptState, HeldState, SeriesState, SweepState};

pub const DEVICES: [&str; 3] = ["GPU-a", "GPU-b", "GPU-c"];

/// One sweep on three hosts with a GPU of one model each.
pub fn three_hosts(rounds: usize) -> World {
    let mut world = World::new(rounds, &[&DEVICES[..1], &DEVICES[1..2], &DEVICES[2..]]);
    for agent in 0..3 {
        world.connect(agent);
    }
    world.submit(shared());
    world
}

/// What is the matter with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Host {
    Well,
    /// Its agent declines all it is offered.
    Declines,
    /// Its workers end so, with nothing measured.
    Ends(AttemptOutcome),
    /// Its workers cannot start, but each third time.
    Limps,
}

/// The next thing that such a host does; false: it has nothing to do.
fn step(world: &mut World, agent: usize, host: Host) -> bool {
    let ends = match host {
        Host::Well => None,
        Host::Declines => {
            let given = world.agents[agent].held.len();
            world.decline(agent);
            if world.agents[agent].held.len() < given {
                return true;
            }
            None
        }
        Host::Ends(outcome) => Some(outcome),
        Host::Limps => Some(AttemptOutcome::Refused),
    };
    let running = world.agents[agent].held.iter();
    let running = running.map(|(id, held)| (*id, held.state, held.order));
    let running = running.filter(|(_, state, _)| *state == HeldState::Running);
    if let (Some(outcome), Some((attempt, _, order))) = (ends, running.min_by_key(|it| it.2))
        && !(host == Host::Limps && order % 3 == 2)
    {
        world.finish(agent, attempt, outcome, 0);
        return true;
    }
    world.step(agent)
}

/// Lets such hosts work until the sweep is over, with restarts of the coordinator after so many steps.
fn run(world: &mut World, hosts: [Host; 3], restarts: &BTreeSet<usize>) {
    let mut steps = 0;
    for _ in 0..2_000 {
        for (agent, host) in hosts.into_iter().enumerate() {
            if restarts.contains(&steps) {
                world.restart();
            }
            steps += usize::from(step(world, agent, host));
        }
        if world.state.idle() {
            return;
        }
        world.wait(Duration::from_secs(10));
    }
    panic!("the sweep never ends");
}

/// Why a device takes no further part in the first series.
pub fn departed<'a>(world: &'a World, device: &str) -> Option<&'a str> {
    let plan = &world.ledger.sweeps[0].series[0].plan;
    plan.departed.get(device).map(String::as_str)
}

/// The device that measured each round of the first series.
fn measured_by(world: &World) -> BTreeSet<&str> {
    let rounds = world.ledger.sweeps[0].series[0].rounds.iter();
    rounds
        .filter(|round| !round.record.blocks.is_empty())
        .map(|round| round.record.round.device_id.as_str())
        .collect()
}

/// Attempts on a device that came to an end; others waited too long for their agent.
fn attempts_at(world: &World, device: &str) -> usize {
    let ended = [AttemptState::Reported, AttemptState::Declined];
    let attempts = world.ledger.attempts();
    attempts
        .filter(|(_, attempt)| attempt.device == device && ended.contains(&attempt.state))
        .count()
}

/// The outcomes with which workers end that measure nothing, with the limit of each, and how a departure for it begins.
const ENDS: [(AttemptOutcome, usize, &str); 4] = [
    (AttemptOutcome::Refused, 3, "refused 3 times in a row: "),
    (
        AttemptOutcome::Stopped,
        20,
        "stopped 20 times in a row with nothing measured: ",
    ),
    (
        AttemptOutcome::Broken,
        3,
        "3 rounds in a row ended without a single block: ",
    ),
    (
        AttemptOutcome::TimedOut,
        3,
        "3 rounds in a row ended without a single block: ",
    ),
];

#[test]
fn a_broken_host_leaves_and_the_others_measure_all() {
    for (outcome, limit, reason) in ENDS {
        let mut world = three_hosts(if limit > 3 { 250 } else { 40 });
        run(
            &mut world,
            [Host::Well, Host::Ends(outcome), Host::Well],
            &BTreeSet::new(),
        );
        let said = departed(&world, "GPU-b").unwrap_or("it stayed");
        assert!(said.starts_with(reason), "{outcome:?}: {said}");
        let attempts = attempts_at(&world, "GPU-b");
        assert!((limit..=limit + 1).contains(&attempts), "{attempts}");
        assert_eq!(measured_by(&world), BTreeSet::from(["GPU-a", "GPU-c"]));
        let series = &world.ledger.sweeps[0].series[0];
        assert_eq!(series.state, SeriesState::Done, "{}", series.message);
    }
}

#[test]
fn a_departure_is_told_and_nothing_is_given_to_the_device_again() {
    let mut world = three_hosts(40);
    let sweep = world.ledger.sweeps[0].id;
    let host = format!("host-{}", world.agents[0].id);
    while departed(&world, "GPU-a").is_none() {
        if !step(&mut world, 0, Host::Declines) {
            world.wait(Duration::from_secs(10));
        }
    }
    assert_eq!(attempts_at(&world, "GPU-a"), 10);
    let events = world.ledger.events.iter().filter_map(|it| match &it.kind {
        wire::event::Kind::DeviceDeparted(departed) => Some(departed.clone()),
        _ => None,
    });
    let events: Vec<_> = events.collect();
    let [told] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(
        (&*told.device_id, &*told.hostname, &*told.reason),
        ("GPU-a", &*host, "declined 10 times in a row: busy")
    );
    for restarted in [false, true] {
        if restarted {
            world.restart();
        }
        let view = world.state.sweep(sweep).unwrap();
        assert_eq!(
            view.series[0].devices[0].explanation,
            "takes no further part: declined 10 times in a row: busy"
        );
        world.connect(0);
        world.step(0);
        assert!(world.agents[0].held.is_empty());
        assert!(world.state.lanes["GPU-a"].queue.is_empty());
    }
    world.run();
    assert_eq!(world.ledger.blocks(), [80]);
}

#[test]
fn what_a_device_still_has_when_it_leaves_is_given_to_others() {
    let mut world = three_hosts(12);
    // It accepts its first round, and another behind it.
    world.step(0);
    world.step(0);
    assert_eq!(world.agents[0].held.len(), 2);
    for _ in 0..3 {
        let attempt = world.held(0);
        world.finish(0, attempt, AttemptOutcome::Broken, 0);
        while world.agents[0].held.contains_key(&attempt) {
            world.step(0);
        }
        world.wait(Duration::from_secs(10));
    }
    assert!(departed(&world, "GPU-a").is_some());
    world.run();
    assert!(world.agents[0].held.is_empty());
    assert_eq!(world.ledger.blocks(), [2 * (12 - 3)]);
}

#[test]
fn what_a_device_still_runs_when_it_leaves_is_stopped_after_a_restart() {
    let mut world = three_hosts(12);
    let id = world.agents[0].id;
    for failures in 1..=3 {
        while world.agents[0].held.values().any(|held| !held.recorded) {
            world.step(0);
        }
        // The report gets through where the stream does not.
        if failures == 3 {
            world.disconnect(0);
        }
        let attempt = world.held(0);
        world.finish(0, attempt, AttemptOutcome::Broken, 0);
        let last = world.agents[0].held.remove(&attempt).unwrap().last;
        world.send_report(id, last.unwrap());
        if failures < 3 {
            world.wait(Duration::from_secs(10));
        }
    }
    assert!(departed(&world, "GPU-a").is_some());
    let running = world.held(0);
    assert!(!world.agents[0].held[&running].is_over());
    world.restart();
    world.connect(0);
    assert!(
        world.agents[0].held[&running].is_over(),
        "it was told to stop"
    );
    world.run();
    assert_eq!(world.ledger.blocks(), [2 * (12 - 3)]);
}

#[test]
fn failures_of_several_devices_do_not_add_up() {
    let mut world = three_hosts(4);
    let refused = Host::Ends(AttemptOutcome::Refused);
    // Two each: six of the same round, perhaps.
    for agent in 0..3 {
        for _ in 0..2 {
            let given = world.agents[agent].given;
            while world.agents[agent].given == given {
                if !step(&mut world, agent, refused) {
                    world.wait(Duration::from_secs(10));
                }
            }
        }
    }
    assert!(world.ledger.sweeps[0].series[0].plan.departed.is_empty());
    world.run();
    assert_eq!(world.ledger.blocks(), [8]);
}

#[test]
fn a_series_that_all_have_left_says_why_each_has() {
    let mut world = three_hosts(4);
    let refused = Host::Ends(AttemptOutcome::Refused);
    run(
        &mut world,
        [
            refused,
            Host::Declines,
            Host::Ends(AttemptOutcome::TimedOut),
        ],
        &BTreeSet::new(),
    );
    let series = &world.ledger.sweeps[0].series[0];
    assert_eq!(series.state, SeriesState::Failed);
    let said = &series.message;
    assert!(
        said.starts_with("no device is left to measure it: GPU-a on host-"),
        "{said}"
    );
    for reason in [
        "refused 3 times in a row: Refused; GPU-b on host-",
        "declined 10 times in a row: busy; GPU-c on host-",
        "3 rounds in a row ended without a single block: TimedOut",
    ] {
        assert!(said.contains(reason), "{said}");
    }
}

#[test]
fn who_is_left_may_still_be_cordoned() {
    let mut world = three_hosts(40);
    while departed(&world, "GPU-a").is_none() || departed(&world, "GPU-c").is_none() {
        for agent in [0, 2] {
            step(&mut world, agent, Host::Ends(AttemptOutcome::Refused));
        }
        world.wait(Duration::from_secs(10));
    }
    let id = world.agents[1].id;
    world.state.cordon(id, "everything is broken");
    let over: Vec<_> = world.state.series.values().map(|it| &it.over).collect();
    let [Some((SeriesState::Failed, said))] = over.as_slice() else {
        panic!("{over:?}");
    };
    assert!(
        said.contains("everything is broken") && said.contains("refused 3 times"),
        "{said}"
    );
}

#[test]
fn a_host_that_limps_stays() {
    let mut world = three_hosts(60);
    let limps = Host::Limps;
    run(&mut world, [limps, Host::Well, limps], &BTreeSet::new());
    assert!(world.ledger.sweeps[0].series[0].plan.departed.is_empty());
    assert_eq!(world.ledger.blocks(), [120]);
    assert_eq!(measured_by(&world), BTreeSet::from(DEVICES));
}

#[test]
fn a_device_that_somebody_uses_does_not_leave_a_sweep_for_idle_devices() {
    let mut world = World::new(4, &[&DEVICES[..1], &DEVICES[1..2]]);
    world.connect(0);
    let mut idle = shared();
    idle.devices = batchstep_proto::domain::DeviceSelector::All;
    idle.scheduling.idle_only = true;
    world.connect(1);
    world.submit(idle);
    world.disconnect(1);
    let stopped = Host::Ends(AttemptOutcome::Stopped);
    while attempts_at(&world, "GPU-a") < 30 {
        if !step(&mut world, 0, stopped) {
            world.wait(Duration::from_secs(60));
        }
    }
    assert_eq!(departed(&world, "GPU-a"), None);
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        3 => Just(Host::Well),
        1 => Just(Host::Declines),
        1 => (0..ENDS.len()).prop_map(|which| Host::Ends(ENDS[which].0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_is_well_measures_all_and_whoever_is_not_leaves(
        hosts in [host(), host(), host()],
        // More than all of them can break.
        rounds in 10..40_usize,
        restarts in prop::collection::btree_set(0..300_usize, 0..5),
    ) {
        let mut world = three_hosts(rounds);
        run(&mut world, hosts, &restarts);
        let series = &world.ledger.sweeps[0].series[0];
        let well = hosts.contains(&Host::Well);
        let expected = if well { SeriesState::Done } else { SeriesState::Failed };
        prop_assert_eq!(series.state, expected, "{}", &series.message);
        let [(_, state, _)] = world.ledger.ended.as_slice() else {
            panic!("a sweep ends once");
        };
        prop_assert_eq!(*state == SweepState::Done, well);
        let mut broken_rounds = 0;
        for (device, host) in DEVICES.into_iter().zip(hosts) {
            let attempts = attempts_at(&world, device);
            match host {
                Host::Well => prop_assert_eq!(departed(&world, device), None),
                Host::Ends(outcome) => {
                    let (_, limit, _) = ENDS.into_iter().find(|it| it.0 == outcome).unwrap();
                    prop_assert!(attempts <= limit + 1, "{} attempts of {:?}", attempts, host);
                    if matches!(outcome, AttemptOutcome::Broken | AttemptOutcome::TimedOut) {
                        broken_rounds += attempts.min(limit);
                    }
                }
                // Those from before a restart tell nothing.
                Host::Declines => prop_assert!(attempts <= 10 * (1 + restarts.len())),
                Host::Limps => {}
            }
            if !well {
                prop_assert!(series.message.contains(device), "{}", &series.message);
            }
        }
        if well {
            // One that declines may run what it was found with after a restart, and be called back.
            let least = (2 * (rounds - broken_rounds)).saturating_sub(restarts.len());
            prop_assert!(world.ledger.blocks()[0] >= least);
        }
    }
}
