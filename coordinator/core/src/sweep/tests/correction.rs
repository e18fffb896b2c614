//! Drift correction, flags, and which blocks become observations.

use std::{collections::BTreeMap, time::Duration};

use batchstep_proto::domain::{VisitOrder, VisitRole};

use super::{
    super::{
        ConclusionReason, Corrected, CorrectedBlock, Flag, correct,
        cost::median,
        simulator::{Simulator, plan, spec, staircase},
    },
    conclusion,
};

#[test]
fn drift_is_corrected_and_tagged() {
    let law = staircase(8);
    let mut spec = spec("1-32", 60);
    spec.precision = 1e-6;
    let plan = plan(spec, "SIM-a");
    let mut device = Simulator::new(&law);
    device.drift = Box::new(|now| 1.0 + 0.15 * (now / 7.0).sin());
    let (history, _) = device.run(&plan);
    let corrected = correct(&plan, &history);
    assert!(!corrected.drifting_rounds.is_empty());
    assert!(
        corrected
            .blocks
            .iter()
            .any(|block| block.flags.contains(&Flag::Drifting))
    );
    let spread = |value: &dyn Fn(&CorrectedBlock<'_>) -> f64| {
        let errors: Vec<f64> = corrected
            .blocks
            .iter()
            .filter(|block| block.block.role == VisitRole::Measure)
            .map(|block| (value(block) / law(block.block.batch_size)).ln())
            .collect();
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        (errors
            .iter()
            .map(|error| (error - mean).powi(2))
            .sum::<f64>()
            / errors.len() as f64)
            .sqrt()
    };
    let (raw, better) = (
        spread(&|block| block.seconds),
        spread(&|block| block.best_seconds()),
    );
    assert!(better < raw / 4.0, "{better} against {raw}");
    assert!(corrected.blocks.iter().all(|block| {
        (block.block.role == VisitRole::Probe) == block.corrected_seconds.is_none()
    }));
}

/// Median distance of a block's logarithm from its batch size's median.
fn scatter(corrected: &Corrected<'_>, value: impl Fn(&CorrectedBlock<'_>) -> f64) -> f64 {
    let mut by_size: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for block in &corrected.blocks {
        if block.block.role == VisitRole::Measure {
            let logarithms = by_size.entry(block.block.batch_size).or_default();
            logarithms.push(value(block).ln());
        }
    }
    let distances = by_size.into_values().flat_map(|logarithms| {
        let center = median(logarithms.clone());
        logarithms
            .into_iter()
            .map(move |logarithm| (logarithm - center).abs())
    });
    median(distances.collect())
}

#[test]
fn a_noisy_reference_does_not_make_the_others_noisier() {
    let mut spec = spec("1-32", 60);
    spec.precision = 1e-6;
    let plan = plan(spec, "SIM-a");
    let mut device = Simulator::new(staircase(8));
    device.noise = 0.05;
    let (history, _) = device.run(&plan);
    let corrected = correct(&plan, &history);
    let (raw, corrected) = (
        scatter(&corrected, |block| block.seconds),
        scatter(&corrected, |block| block.best_seconds()),
    );
    assert!(corrected <= raw, "{corrected} against {raw}");
}

#[test]
fn one_disturbed_reference_block_disturbs_no_other() {
    let plan = plan(spec("1-32", 60), "SIM-a");
    let (mut history, _) = Simulator::new(staircase(8)).run(&plan);
    let before: Vec<f64> = correct(&plan, &history)
        .observations()
        .iter()
        .map(|one| one.seconds)
        .collect();
    let references: Vec<usize> = (0..history.rounds[1].blocks.len())
        .filter(|&n| history.rounds[1].blocks[n].role == VisitRole::Reference)
        .collect();
    history.rounds[1].blocks[references[2]].elapsed *= 2;
    let corrected = correct(&plan, &history);
    assert!(corrected.drifting_rounds.is_empty());
    for (one, before) in corrected.observations().iter().zip(before) {
        assert!((one.seconds / before - 1.0).abs() < 0.01);
    }
}

#[test]
fn the_ascending_order_has_no_reference_and_no_correction() {
    let mut spec = spec("1-24", 60);
    spec.visit_order = VisitOrder::Ascending;
    let plan = plan(spec, "SIM-a");
    let (history, _) = Simulator::new(staircase(8)).run(&plan);
    let sizes: Vec<u32> = history.rounds[1]
        .round
        .visits
        .iter()
        .take(24)
        .map(|visit| visit.batch_size)
        .collect();
    assert!(sizes.is_sorted());
    let corrected = correct(&plan, &history);
    assert!(
        corrected
            .blocks
            .iter()
            .all(|block| block.corrected_seconds.is_none())
    );
    assert!(!corrected.observations().is_empty());
}

#[test]
fn foreign_load_counts_only_where_it_takes_the_trials_cores() {
    // 4 cores, 1 thread: three idle cores can take what others need.
    for (cores, contended) in [(2.5, false), (3.5, true)] {
        let plan = plan(spec("1-16", 60), "SIM-a");
        let mut device = Simulator::new(staircase(8));
        device.foreign_cores = Some(cores);
        let (history, _) = device.run(&plan);
        assert_eq!(correct(&plan, &history).quality().contended(), contended);
    }
}

#[test]
fn throttled_blocks_are_no_observations() {
    let plan = plan(spec("1-16", 30), "SIM-a");
    let mut device = Simulator::new(staircase(8));
    device.throttle_reasons = Some(0x40);
    let (history, end) = device.run(&plan);
    let conclusion = conclusion(end);
    assert_eq!(conclusion.reason, ConclusionReason::BudgetSpent);
    assert!(
        conclusion
            .message
            .contains("after 0 of the 5 measuring rounds"),
        "{}",
        conclusion.message
    );
    let corrected = correct(&plan, &history);
    assert!(corrected.observations().is_empty() && corrected.quality().throttled());
    // The power cap alone is only tagged.
    let mut device = Simulator::new(staircase(8));
    device.throttle_reasons = Some(0x4);
    let (history, _) = device.run(&plan);
    let corrected = correct(&plan, &history);
    assert!(!corrected.observations().is_empty());
    assert!(
        corrected
            .blocks
            .iter()
            .any(|block| block.flags == [Flag::PowerCapped])
    );
}

#[test]
fn slow_clocks_foreign_processes_and_waiting_for_the_host_are_flagged() {
    let plan = plan(spec("1-16", 30), "SIM-a");
    let (mut history, _) = Simulator::new(staircase(8)).run(&plan);
    for record in &mut history.rounds {
        for block in &mut record.blocks {
            block.sm_clock_mhz = Some(1500.0);
            block.device_elapsed = Some(block.elapsed);
        }
    }
    let clean = correct(&plan, &history);
    assert!(clean.blocks.iter().all(|block| block.flags.is_empty()));
    let before = clean.observations().len();
    let measured: Vec<usize> = (0..history.rounds[1].blocks.len())
        .filter(|&n| history.rounds[1].blocks[n].role == VisitRole::Measure)
        .collect();
    let blocks = &mut history.rounds[1].blocks;
    blocks[measured[0]].sm_clock_mhz = Some(1200.0);
    blocks[measured[1]].foreign_processes = Some(1);
    blocks[measured[2]].device_elapsed = Some(blocks[measured[2]].elapsed / 2);
    blocks[measured[3]].elapsed += Duration::from_secs(5);
    let corrected = correct(&plan, &history);
    let flags: Vec<Flag> = corrected
        .blocks
        .iter()
        .flat_map(|block| block.flags.iter().copied())
        .collect();
    for flag in [
        Flag::Throttled,
        Flag::Contended,
        Flag::HostBound,
        Flag::Slow,
    ] {
        assert!(flags.contains(&flag), "{flag:?} in {flags:?}");
    }
    assert_eq!(corrected.observations().len(), before - 1);
}
