//! A restart at every point of a run ends in the same measurements as a run without one.

use super::{fixtures::spec, world::World};
use crate::fleet::{AttemptState, SweepState};

/// Runs two sweeps on two hosts; after `restart_after` steps the coordinator is killed. What came out, and the steps it took.
fn run(restart_after: Option<usize>) -> (Vec<(String, Vec<u32>)>, usize) {
    let mut world = World::new(3, &[&["CPU-a"], &["GPU-b"]]);
    world.connect(0);
    let mut two = spec();
    two.workloads.push("matmul".parse().unwrap());
    world.submit(two);
    world.connect(1);
    world.submit(spec());
    let mut steps = 0;
    loop {
        let mut acted = false;
        for agent in 0..2 {
            if restart_after == Some(steps) {
                world.restart();
            }
            if world.step(agent) {
                acted = true;
                steps += 1;
            }
        }
        if !acted {
            break;
        }
    }
    assert!(world.state.idle());
    let ended: Vec<_> = world
        .ledger
        .ended
        .iter()
        .map(|(_, state, _)| *state)
        .collect();
    assert_eq!(ended, [SweepState::Done, SweepState::Done]);
    assert!(
        world
            .ledger
            .attempts()
            .all(|(_, attempt)| attempt.state == AttemptState::Reported),
        "a restart ended an attempt"
    );
    let measured = world
        .ledger
        .sweeps
        .iter()
        .flat_map(|sweep| &sweep.series)
        .map(|series| {
            let sizes = series
                .rounds
                .iter()
                .flat_map(|round| &round.record.blocks)
                .map(|block| block.batch_size)
                .collect();
            (
                format!("{} {}", series.plan.device.id, series.plan.workload),
                sizes,
            )
        })
        .collect();
    (measured, steps)
}

#[test]
fn a_restart_at_any_point_changes_no_result() {
    let (expected, steps) = run(None);
    assert_eq!(expected.len(), 4);
    assert_eq!(steps, 4 * 3 * 4, "four steps for each round of each series");
    for at in 0..steps {
        assert_eq!(run(Some(at)).0, expected, "restart after step {at}");
    }
}
