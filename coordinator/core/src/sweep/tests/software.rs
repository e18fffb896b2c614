//! Devices that share a series with different software: who is the odd one, and what a plan counts on.

use batchstep_proto::domain::{Software, Strategy, SweepSpec, WorkerFacts};

use super::super::{
    History, Next, RoundRecord, SeriesPlan, comparable, next, odd_software,
    simulator::{Simulator, run_shared, shared_plan, spec, staircase},
};

const NAMES: [&str; 4] = ["SIM-a", "SIM-b", "SIM-c", "SIM-d"];

/// A dense series on all of them, to its end.
fn measured() -> (SeriesPlan, History) {
    let dense = SweepSpec {
        strategy: Strategy::Dense,
        ..spec("1-96", 300)
    };
    let plan = shared_plan(dense, &NAMES);
    let devices: Vec<Simulator<'_>> = NAMES.map(|_| Simulator::new(staircase(8))).into();
    let (history, end, _) = run_shared(&devices, &plan);
    assert!(matches!(end, Next::Done(_)), "{end:?}");
    (plan, history)
}

/// What the workers of a device told, in all its rounds.
fn tell(history: &mut History, device: &str, libtorch: &str, cudnn: Option<&str>) {
    let rounds = history.rounds.iter_mut();
    for record in rounds.filter(|record| record.round.device_id == device) {
        record.facts = Some(WorkerFacts {
            software: Software {
                libtorch: Some(libtorch.to_owned()),
                cudnn: cudnn.map(ToOwned::to_owned),
                ..Software::default()
            },
            ..WorkerFacts::default()
        });
    }
}

/// The odd ones, where those in `expected` may still tell theirs.
fn odd(plan: &SeriesPlan, rounds: &[RoundRecord], expected: &[&str]) -> Vec<(String, String)> {
    odd_software(plan, rounds.iter(), |device| expected.contains(&device))
}

#[test]
fn the_odd_one_is_named_with_every_difference() {
    let (plan, mut history) = measured();
    for device in NAMES {
        tell(&mut history, device, "2.10.0", Some("9.1"));
    }
    assert_eq!(odd(&plan, &history.rounds, &[]), []);
    tell(&mut history, NAMES[0], "2.11.0", None);
    let difference =
        "libtorch 2.11.0 where the others have 2.10.0, no cuDNN where the others have 9.1";
    let expected = [(NAMES[0].to_owned(), difference.to_owned())];
    assert_eq!(odd(&plan, &history.rounds, &[]), expected);
}

#[test]
fn nobody_is_odd_before_most_have_told() {
    let (plan, mut history) = measured();
    for (device, libtorch) in NAMES
        .into_iter()
        .zip(["2.11.0", "2.10.0", "2.10.0", "2.10.0"])
    {
        tell(&mut history, device, libtorch, None);
    }
    let told = |count: usize| -> Vec<RoundRecord> {
        let rounds = history.rounds.iter();
        let of_some = rounds.filter(|record| NAMES[..count].contains(&&*record.round.device_id));
        of_some.cloned().collect()
    };
    // One against one, and two against one where the fourth may side with it.
    assert_eq!(odd(&plan, &told(2), &NAMES), []);
    assert_eq!(odd(&plan, &told(3), &NAMES), []);
    // The others are away, or all have told.
    assert_eq!(odd(&plan, &told(3), &[])[0].0, NAMES[0]);
    assert_eq!(odd(&plan, &told(4), &NAMES)[0].0, NAMES[0]);
}

#[test]
fn what_was_measured_with_other_software_is_asked_for_again() {
    let (mut plan, mut history) = measured();
    for device in NAMES {
        tell(&mut history, device, "2.10.0", None);
    }
    assert_eq!(*comparable(&plan, &history), history);
    tell(&mut history, NAMES[1], "2.11.0", None);
    assert!(matches!(next(&plan, &history), Next::Done(_)));
    for departed in [false, true] {
        if departed {
            plan.departed.insert(NAMES[1].to_owned(), String::new());
        }
        let counted = comparable(&plan, &history);
        assert_eq!(counted.rounds.len(), history.rounds.len());
        for (counted, record) in counted.rounds.iter().zip(&history.rounds) {
            let is_odd = record.round.device_id == NAMES[1];
            assert_eq!(counted.blocks.is_empty(), is_odd);
            assert_eq!(counted.elapsed, record.elapsed, "its time is spent");
        }
        let Next::Round(round) = next(&plan, &counted) else {
            panic!("a quarter of the blocks is missing");
        };
        assert_eq!(round.index as usize, history.rounds.len());
    }
}
