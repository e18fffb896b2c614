//! Devices whose workers have different software: who shares a series with whom, and who leaves it.

use batchstep_proto::domain::{
    AttemptOutcome, AttemptReport, DeviceSelector, Software, WorkerFacts,
};

use super::{
    departures::{DEVICES, departed, three_hosts},
    fixtures::shared,
    shared::pools,
    world::World,
};
use crate::fleet::SeriesState;

fn version(libtorch: &str) -> Software {
    Software {
        libtorch: Some(libtorch.to_owned()),
        ..Software::default()
    }
}

fn tells(libtorch: &str) -> Option<WorkerFacts> {
    Some(WorkerFacts {
        software: version(libtorch),
        ..WorkerFacts::default()
    })
}

#[test]
fn only_devices_whose_agents_say_the_same_of_their_software_share() {
    let hosts: [&[&str]; 5] = [&["GPU-a"], &["GPU-b"], &["GPU-c"], &["GPU-d"], &["CPU-e"]];
    let mut world = World::new(1, &hosts);
    let said = [None, Some("2.11.0"), Some("2.10.0"), Some("2.11.0"), None];
    for (agent, said) in said.into_iter().enumerate() {
        world.agents[agent].software = said.map(version);
        world.connect(agent);
    }
    world.submit(shared());
    // What is not known may be like what comes first.
    assert_eq!(
        pools(&world),
        [
            vec!["CPU-e".to_owned()],
            vec!["GPU-a".to_owned(), "GPU-b".to_owned(), "GPU-d".to_owned()],
            vec!["GPU-c".to_owned()]
        ]
    );
}

#[test]
fn a_processor_is_alike_whatever_cuda_its_host_has() {
    let mut world = World::new(1, &[&["CPU-a"], &["CPU-b"], &["GPU-a"], &["GPU-b"]]);
    for agent in 0..4 {
        let cuda = if agent % 2 == 0 { "12.8" } else { "13.0" };
        world.agents[agent].software = Some(Software {
            cuda: Some(cuda.to_owned()),
            ..version("2.11.0")
        });
        world.connect(agent);
    }
    let mut both = shared();
    let all = ["CPU-a", "CPU-b", "GPU-a", "GPU-b"].map(ToOwned::to_owned);
    both.devices = DeviceSelector::Listed(all.to_vec());
    world.submit(both);
    assert_eq!(
        pools(&world),
        [vec!["CPU-a", "CPU-b"], vec!["GPU-a"], vec!["GPU-b"]]
    );
}

#[test]
fn a_device_whose_worker_has_other_software_leaves_at_once() {
    // Whichever measures first: most of them are right.
    for (odd, device) in DEVICES.into_iter().enumerate() {
        let mut world = three_hosts(20);
        for agent in 0..3 {
            world.agents[agent].facts = tells(if agent == odd { "2.11.0" } else { "2.10.0" });
        }
        // Every agent accepts, and measures a visit.
        for agent in [odd, (odd + 1) % 3, (odd + 2) % 3] {
            assert!(world.ledger.sweeps[0].series[0].plan.departed.is_empty());
            while world.agents[agent].held.values().all(|it| it.parts == 0) {
                world.step(agent);
            }
        }
        assert_eq!(
            departed(&world, device),
            Some("libtorch 2.11.0 where the others have 2.10.0")
        );
        world.run();
        let series = &world.ledger.sweeps[0].series[0];
        assert_eq!(series.state, SeriesState::Done, "{}", series.message);
        let by_odd = series.rounds.iter().filter(|round| {
            round.record.round.device_id == device && !round.record.blocks.is_empty()
        });
        assert_eq!(by_odd.count(), 1, "what it had measured is kept");
    }
}

#[test]
fn two_devices_of_different_software_part_once_both_have_told() {
    let mut world = three_hosts(6);
    world.agents[0].facts = tells("2.11.0");
    world.agents[1].facts = tells("2.10.0");
    world.disconnect(2);
    world.agents[2].held.clear();
    for agent in [1, 0] {
        world.step(agent);
        world.step(agent);
        world.step(agent);
    }
    // The round of the first has the lower number.
    assert_eq!(
        departed(&world, "GPU-b"),
        Some("libtorch 2.10.0 where the others have 2.11.0")
    );
    assert_eq!(departed(&world, "GPU-a"), None);
}

#[test]
fn after_a_restart_nobody_is_judged_before_what_the_others_told_is_read() {
    let mut world = three_hosts(40);
    let tell = |world: &mut World, agent: usize| {
        while world.agents[agent].held.values().all(|it| it.parts == 0) {
            world.step(agent);
        }
    };
    for agent in 0..3 {
        world.agents[agent].facts = tells(if agent == 0 { "2.11.0" } else { "2.10.0" });
    }
    // Two measure a round each, and begin another.
    for agent in [1, 2] {
        let given = world.agents[agent].given;
        while world.agents[agent].given < given + 2 {
            world.step(agent);
        }
    }
    world.restart_unread();
    for agent in [0, 1] {
        world.connect(agent);
        tell(&mut world, agent);
    }
    for device in DEVICES {
        assert_eq!(departed(&world, device), None);
    }
    world.read_all();
    let why = Some("libtorch 2.11.0 where the others have 2.10.0");
    assert_eq!(departed(&world, "GPU-a"), why);
    assert_eq!(departed(&world, "GPU-b"), None);
}

#[test]
fn what_a_device_told_and_did_not_measure_is_not_said_of_the_one_that_takes_its_round() {
    let mut world = three_hosts(40);
    for agent in 0..3 {
        world.agents[agent].facts = tells(if agent == 0 { "2.11.0" } else { "2.10.0" });
    }
    // The worker of the first is ready, and stopped before its first block.
    while world.step(0)
        && world.agents[0]
            .held
            .values()
            .all(|it| it.order > 0 || !it.recorded)
    {}
    let attempt = world.held(0);
    world.finish(0, attempt, AttemptOutcome::Stopped, 0);
    let id = world.agents[0].id;
    let facts = world.agents[0].facts.clone();
    let last = world.agents[0].held.remove(&attempt).unwrap().last.unwrap();
    world.send_report(id, AttemptReport { facts, ..last });
    world.disconnect(0);
    // The second has it, and has not begun it, when the third tells its own.
    let given = world.agents[1].given;
    while world.agents[1].given == given {
        world.step(1);
    }
    for _ in 0..6 {
        world.step(2);
    }
    for device in DEVICES {
        assert_eq!(departed(&world, device), None);
    }
}
