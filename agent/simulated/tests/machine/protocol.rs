//! What every round keeps to, whatever the device.

use std::time::Duration;

use batchstep_laws::Scatter;
use batchstep_proto::domain::{AttemptOutcome, RoundKind, VisitFailureKind};
use batchstep_simulated::{Behaviour, Event, Iteration, Machine, Memory, Phase, Timings};

use super::{MS, blocks, ending, failures, machine, outcome, round, staircase};

#[test]
fn blocks_take_what_the_law_says_and_as_many_iterations_as_the_protocol() {
    let mut machine = machine(Behaviour::default());
    let round = round(RoundKind::Measure, &[16, 17, 33]);
    let steps = machine.run(&round);
    let told: Vec<(u32, u32)> = blocks(&steps)
        .iter()
        .map(|block| {
            let seconds = staircase().seconds(block.batch_size);
            assert!((block.seconds_per_iteration() / seconds - 1.0).abs() < 1e-6);
            (block.batch_size, block.iterations)
        })
        .collect();
    // 100 ms over 3, 4 and 5 ms.
    assert_eq!(told, [(16, 34), (17, 25), (33, 20)]);
    let end = ending(&steps);
    assert_eq!(end.outcome, AttemptOutcome::Finished);
    assert_eq!(end.elapsed, machine.now());
    assert_eq!(end.elapsed, end.measuring + end.warm_up);
    let passed: Duration = steps.iter().map(|step| step.took).sum();
    assert_eq!(passed, end.elapsed);
}

#[test]
fn first_visits_are_warmed_up_longer_than_later_ones() {
    let mut machine = machine(Behaviour::default());
    let round = round(RoundKind::Measure, &[16, 16]);
    let steps = machine.run(&round);
    let [first, later] = blocks(&steps)[..] else {
        panic!("two blocks: {steps:?}")
    };
    // A fifth and a twentieth of 100 ms, at 3 ms each.
    assert_eq!((first.warm_up_iterations, later.warm_up_iterations), (7, 2));
    assert_eq!(
        later.started_after,
        first.started_after + first.elapsed + later.warm_up
    );
    // The worker keeps what it knows for the next round, too.
    let again = machine.run(&round);
    assert_eq!(blocks(&again)[0].warm_up_iterations, 2);
}

#[test]
fn fixed_iterations_are_kept() {
    let mut round = round(RoundKind::Measure, &[16]);
    round.visits[0].iterations = Some(1000);
    let steps = machine(Behaviour::default()).run(&round);
    assert_eq!(blocks(&steps)[0].iterations, 1000);
}

#[test]
fn the_device_is_warmed_once_for_a_reference_until_its_blocks_agree() {
    let mut machine = machine(Behaviour::default());
    let mut round = round(RoundKind::Measure, &[32]);
    round.reference_batch_size = Some(32);
    let begins = |steps: &[batchstep_simulated::Step]| {
        matches!(
            steps[0].event,
            Event::Progress {
                phase: Phase::DeviceWarmUp,
                ..
            }
        )
    };
    let steps = machine.run(&round);
    assert!(begins(&steps));
    let warm_up = ending(&steps).warm_up;
    assert!(warm_up >= Duration::from_millis(300), "{warm_up:?}");
    assert!(warm_up <= Duration::from_millis(1200), "{warm_up:?}");
    assert!(!begins(&machine.run(&round)));
    round.reference_batch_size = Some(16);
    assert!(begins(&machine.run(&round)));
    // A device that never settles is given up on.
    let mut restless = Machine::new(
        staircase(),
        Behaviour {
            scatter: Scatter::quiet(0.2),
            ..Behaviour::default()
        },
        1,
    );
    let warm_up = ending(&restless.run(&round)).warm_up;
    assert!(warm_up >= Duration::from_secs(1), "{warm_up:?}");
}

#[test]
fn slow_batch_sizes_bound_the_rest_of_a_round() {
    let mut round = round(RoundKind::Measure, &[64, 16, 32, 128, 17]);
    // 16 takes 3 ms, 17 and 32 take 4 ms, 64 takes 6 ms.
    round.timing.iteration_limit = Some(Duration::from_micros(4500));
    let steps = machine(Behaviour::default()).run(&round);
    let done: Vec<u32> = blocks(&steps)
        .iter()
        .map(|block| block.batch_size)
        .collect();
    assert_eq!(done, [16, 32, 17]);
    let failed: Vec<u32> = failures(&steps).iter().map(|it| it.batch_size).collect();
    assert_eq!(failed, [64, 128]);
    assert_eq!(failures(&steps)[0].kind, VisitFailureKind::TimeLimit);
    assert!(failures(&steps)[0].message.contains("0.006 s"));
}

#[test]
fn a_probe_ends_at_its_bound() {
    let mut round = round(RoundKind::Probe, &[1, 2, 4, 8, 16, 32, 64]);
    round.timing.iteration_limit = Some(Duration::from_micros(3500));
    let steps = machine(Behaviour::default()).run(&round);
    assert_eq!(blocks(&steps).len(), 5);
    assert_eq!(failures(&steps).len(), 1);
    assert_eq!(outcome(&steps), AttemptOutcome::Finished);
}

#[test]
fn memory_is_told_and_batches_above_the_share_are_not_tried() {
    const MIB: u64 = 1 << 20;
    let memory = Memory {
        total_bytes: 1000 * MIB,
        idle_bytes: 100 * MIB,
        bytes_per_sample: 4 * MIB,
    };
    let behaviour = Behaviour {
        memory: Some(memory),
        ..Behaviour::default()
    };
    // Half of the memory may be taken: 100 samples, or a few less by extrapolation.
    let round = round(RoundKind::Measure, &[64, 200, 80, 128]);
    let steps = machine(behaviour.clone()).run(&round);
    let told: Vec<Option<u64>> = blocks(&steps)
        .iter()
        .map(|block| block.peak_memory_bytes)
        .collect();
    assert_eq!(told, [Some(356 * MIB), Some(420 * MIB)]);
    let kinds: Vec<VisitFailureKind> = failures(&steps).iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [VisitFailureKind::MemoryLimit; 2]);

    // A network that does not fit by itself is refused whole.
    let small = Behaviour {
        memory: Some(Memory {
            total_bytes: 150 * MIB,
            ..memory
        }),
        ..behaviour
    };
    let steps = machine(small).run(&round);
    assert_eq!((blocks(&steps).len(), failures(&steps).len()), (0, 4));
    assert!(failures(&steps)[0].message.contains("the network alone"));
}

#[test]
fn the_share_of_the_devices_own_clock_is_told() {
    struct Launching;
    impl Timings for Launching {
        fn iteration(
            &self,
            _: &batchstep_proto::domain::Round,
            _: u32,
            _: Duration,
        ) -> Result<Iteration, String> {
            Ok(Iteration {
                seconds: 2.0 * MS,
                device_seconds: Some(MS),
            })
        }
    }
    let steps =
        Machine::new(Launching, Behaviour::default(), 1).run(&round(RoundKind::Measure, &[16]));
    assert!(blocks(&steps)[0].host_bound());
}

#[test]
fn a_law_without_time_ends_all_the_same() {
    let mut round = round(RoundKind::Measure, &[16]);
    round.reference_batch_size = Some(16);
    let steps = Machine::new(|_, _| 1e-300, Behaviour::default(), 1).run(&round);
    assert_eq!(outcome(&steps), AttemptOutcome::Finished);
    assert!(ending(&steps).elapsed < Duration::from_secs(2));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let behaviour = Behaviour {
        scatter: Scatter {
            bursts: 0.1,
            drift: 0.05,
            drift_seconds: 3.0,
            ..Scatter::quiet(0.02)
        },
        ..Behaviour::default()
    };
    let story = |seed| {
        let mut machine = Machine::new(staircase(), behaviour.clone(), seed);
        let round = round(RoundKind::Measure, &[8, 16, 17, 24, 33]);
        (machine.run(&round), machine.run(&round))
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
    let (first, second) = story(1);
    assert_ne!(first, second);
}
