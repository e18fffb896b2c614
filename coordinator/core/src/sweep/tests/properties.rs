//! Properties that hold for every device and every sweep.

use std::time::Duration;

use batchstep_proto::domain::Strategy;
use proptest::prelude::*;

use super::{
    super::{
        ConclusionReason, History, Next, correct, next, remaining, settled,
        simulator::{Simulator, plan, spec},
        spent,
    },
    counts,
};

fn devices()
-> impl proptest::strategy::Strategy<Value = (u32, f64, f64, f64, u32, u32, u64, u64, bool, bool)> {
    (
        2..40_u32,
        1e-5..0.05_f64,
        0.0..0.05_f64,
        0.0..0.1_f64,
        prop_oneof![Just(u32::MAX), 2..100_u32],
        prop_oneof![Just(0), 5..200_u32],
        2..200_u64,
        any::<u64>(),
        any::<bool>(),
        any::<bool>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the device does, a series ends, near its budget, and planning again from any point of its history gives the same round.
    #[test]
    fn a_series_ends_within_its_budget_and_replays(
        (step, iteration, noise, drift, out_of_memory_at, killed_every, budget, seed, listed, adaptive) in devices()
    ) {
        let mut spec = spec(if listed { "1-20,24-96:4" } else { "auto" }, budget);
        spec.seed = seed;
        if adaptive {
            spec.strategy = Strategy::Adaptive;
        }
        let plan = plan(spec, "SIM-a");
        let mut device = Simulator::new(|size| iteration * (1.0 + f64::from(size.div_ceil(step))));
        device.noise = noise;
        device.drift = Box::new(move |now| 1.0 + drift * (now / 11.0).sin());
        device.out_of_memory_at = out_of_memory_at;
        device.killed_every = killed_every;
        let (history, end) = device.run(&plan);

        let tolerance = Duration::from_secs(2) + plan.spec.budget.mul_f64(0.15);
        prop_assert!(spent(&history) <= plan.spec.budget + tolerance, "{:?}", spent(&history));
        prop_assert!(remaining(&plan, &history) <= plan.spec.budget);
        if let Next::Done(conclusion) = &end
            && conclusion.reason == ConclusionReason::PrecisionReached
        {
            prop_assert!(counts(&history).values().filter(|&&count| count >= 5).count() >= 1);
        }
        // What is called certain can be answered from: half-measured batch sizes do not stand in its way, and enough were measured.
        if let Next::Done(conclusion) = &end
            && conclusion.reason == ConclusionReason::VerdictSettled
        {
            prop_assert!(adaptive);
            let counting = settled(&correct(&plan, &history).observations(), 5);
            prop_assert!(counting.is_ok_and(|blocks| blocks.len() >= 12 * 5));
        }
        for length in [0, history.rounds.len() / 2, history.rounds.len().saturating_sub(1)] {
            let past = History { rounds: history.rounds[..length].to_vec() };
            let again = next(&plan, &past);
            match history.rounds.get(length) {
                Some(record) => prop_assert_eq!(again, Next::Round(record.round.clone())),
                None => prop_assert_eq!(again, end.clone()),
            }
        }
    }
}
