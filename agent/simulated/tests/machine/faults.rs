//! Crashes, hangs, refusals, throttling and company, to order.

use std::time::Duration;

use batchstep_proto::domain::{AttemptOutcome, RoundKind, VisitFailureKind};
use batchstep_simulated::{Behaviour, Contention, Event, Faults, Throttling, Window};

use super::{blocks, ending, failures, machine, outcome, round, staircase};

fn faulty(faults: Faults) -> Behaviour {
    Behaviour {
        faults,
        ..Behaviour::default()
    }
}

#[test]
fn a_crash_ends_the_round_and_takes_the_warm_state_with_it() {
    let mut machine = machine(faulty(Faults {
        crashes_at: [24].into(),
        ..Faults::default()
    }));
    let steps = machine.run(&round(RoundKind::Measure, &[16, 24, 32]));
    assert_eq!(outcome(&steps), AttemptOutcome::Broken);
    assert_eq!(blocks(&steps).len(), 1);
    let said = &ending(&steps).message;
    assert!(
        said.contains("warming up batch size 24, 1 of 3 visits are kept"),
        "{said}"
    );
    // The next worker knows nothing of 16.
    let again = machine.run(&round(RoundKind::Measure, &[16]));
    assert_eq!(blocks(&again)[0].warm_up_iterations, 7);
}

#[test]
fn a_worker_is_killed_at_every_so_many_visits() {
    let mut machine = machine(faulty(Faults {
        killed_every: 3,
        ..Faults::default()
    }));
    let round = round(RoundKind::Measure, &[8, 9, 10, 11]);
    let kept: Vec<usize> = (0..3).map(|_| blocks(&machine.run(&round)).len()).collect();
    assert_eq!(kept, [2, 2, 2]);
}

#[test]
fn a_hang_lasts_until_the_time_limit() {
    let mut machine = machine(faulty(Faults {
        hangs_at: [24].into(),
        ..Faults::default()
    }));
    let steps = machine.run(&round(RoundKind::Measure, &[16, 24, 32]));
    let end = ending(&steps);
    assert_eq!(end.outcome, AttemptOutcome::TimedOut);
    assert_eq!(end.elapsed, Duration::from_secs(600));
    assert!(
        end.message
            .contains("1 of 3 visits done while warming up batch size 24")
    );
    assert_eq!(steps.last().unwrap().iteration, None);
}

#[test]
fn a_time_limit_cuts_a_block_short() {
    let mut round = round(RoundKind::Measure, &[16, 17]);
    round.time_limit = Duration::from_millis(200);
    let steps = machine(Behaviour::default()).run(&round);
    let end = ending(&steps);
    assert_eq!(end.outcome, AttemptOutcome::TimedOut);
    assert_eq!(end.elapsed, round.time_limit);
    assert_eq!(blocks(&steps).len(), 1);
    assert_eq!(end.measuring, blocks(&steps)[0].elapsed);
}

#[test]
fn refusals_bound_a_round_and_errors_do_not() {
    let mut machine = machine(faulty(Faults {
        out_of_memory_at: Some(30),
        errors_at: [16].into(),
        ..Faults::default()
    }));
    let steps = machine.run(&round(RoundKind::Measure, &[16, 40, 20, 50, 35]));
    let kinds: Vec<(u32, VisitFailureKind)> = failures(&steps)
        .iter()
        .map(|failure| (failure.batch_size, failure.kind))
        .collect();
    use VisitFailureKind::{Error, OutOfMemory};
    // 35 is below the bound of 40, so it is tried.
    assert_eq!(
        kinds,
        [
            (16, Error),
            (40, OutOfMemory),
            (50, OutOfMemory),
            (35, OutOfMemory)
        ]
    );
    assert_eq!(failures(&steps)[2].message, failures(&steps)[1].message);
    assert_eq!(blocks(&steps).len(), 1);
}

#[test]
fn windows_open_and_close_on_the_devices_clock() {
    let seconds = Duration::from_secs;
    let once = Window {
        from: seconds(10),
        lasts: Some(seconds(5)),
        every: None,
    };
    let covered =
        |window: Window| -> Vec<u64> { (0..40).filter(|&at| window.covers(seconds(at))).collect() };
    assert_eq!(covered(once), [10, 11, 12, 13, 14]);
    let repeated = Window {
        every: Some(seconds(20)),
        ..once
    };
    assert_eq!(covered(repeated), [10, 11, 12, 13, 14, 30, 31, 32, 33, 34]);
    assert_eq!(covered(Window::ALWAYS).len(), 40);
}

#[test]
fn throttling_and_company_are_told_and_felt() {
    let mut machine = machine(Behaviour {
        throttling: vec![Throttling {
            window: Window {
                from: Duration::from_secs(1),
                ..Window::ALWAYS
            },
            slowdown: 1.5,
            reasons: 0x40,
            sm_clock_mhz: Some(1200.0),
        }],
        contention: vec![Contention {
            window: Window {
                from: Duration::from_secs(2),
                ..Window::ALWAYS
            },
            slowdown: 2.0,
            foreign_processes: 1,
            foreign_cores: 0.5,
        }],
        sm_clock_mhz: Some(1980.0),
        ..Behaviour::default()
    });
    let round = round(RoundKind::Measure, &[16]);
    let mut told = Vec::new();
    for at in [0, 1, 2] {
        machine.idle(Duration::from_secs(at).saturating_sub(machine.now()));
        let steps = machine.run(&round);
        let block = blocks(&steps)[0].clone();
        let slower = block.seconds_per_iteration() / staircase().seconds(16);
        told.push((
            (slower * 10.0).round() / 10.0,
            block.throttle_reasons,
            block.sm_clock_mhz,
            block.foreign_processes,
            block.foreign_cores,
        ));
    }
    assert_eq!(
        told,
        [
            (1.0, Some(0), Some(1980.0), Some(0), Some(0.0)),
            (1.5, Some(0x40), Some(1200.0), Some(0), Some(0.0)),
            (3.0, Some(0x40), Some(1200.0), Some(1), Some(0.5)),
        ]
    );
}

#[test]
fn a_stopped_round_ends_within_its_step_and_a_kill_costs_the_warm_state() {
    let round = round(RoundKind::Measure, &[16, 17]);
    for (killed, warm_up) in [(false, 2), (true, 7)] {
        let mut machine = machine(Behaviour::default());
        let mut progress = machine.begin(&round);
        let block = loop {
            if let Event::Block(block) = progress.step().event {
                break block;
            }
        };
        progress.step();
        let next = progress.step();
        assert_eq!(next.iteration, Some(Duration::from_millis(4)));
        let end = progress.stop(Duration::from_millis(3), killed, "enough");
        assert_eq!(end.outcome, AttemptOutcome::Stopped);
        assert_eq!((end.measuring, end.warm_up), (block.elapsed, block.warm_up));
        assert_eq!(
            end.elapsed,
            end.measuring + end.warm_up + Duration::from_millis(3)
        );
        let again = machine.run(&round);
        assert_eq!(blocks(&again)[0].warm_up_iterations, warm_up);
    }
}
