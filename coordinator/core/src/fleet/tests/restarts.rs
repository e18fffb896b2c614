//! A restart at every point of a run ends in the same measurements as a run without one, whenever what was measured before is read back.

use super::{fixtures::spec, world::World};
use crate::fleet::{AttemptState, SweepState};

/// Runs two sweeps on two hosts; after some steps the coordinator is killed, and after some more the first history is read back, then one at each step. What came
/// out, and the steps it took.
fn run(restart_and_read: Option<(usize, usize)>) -> (Vec<(String, Vec<u32>)>, usize) {
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
            if restart_and_read.is_some_and(|(restart_after, _)| steps == restart_after) {
                world.restart_unread();
            }
            let is_due = restart_and_read.is_some_and(|(at, wait)| steps >= at + wait);
            let last = world.state.unread().pop();
            if is_due && let Some(unread) = last {
                world.read(unread.series, agent == 0);
            }
            // A report that waits for a history is no step; one is read then in any case.
            if world.step(agent) {
                acted = true;
                steps += 1;
            } else if let Some(unread) = last {
                world.read(unread.series, agent == 0);
                acted = true;
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
        for wait in [0, 1, 4, steps] {
            let case = format!("restart after step {at}, read back after {wait} more");
            assert_eq!(run(Some((at, wait))).0, expected, "{case}");
        }
    }
}
