//! Drift correction, flags, and which blocks become observations.

use std::{collections::BTreeMap, time::Duration};

use batchstep_proto::domain::{DeviceKind, VisitOrder, VisitRole};

use super::{
    super::{
        ConclusionReason, Corrected, CorrectedBlock, Flag, correct,
        medians::median,
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
fn a_disturbance_between_two_references_is_taken_out() {
    let law = staircase(8);
    let mut spec = spec("1-32", 60);
    spec.precision = 1e-6;
    let plan = plan(spec, "SIM-a");
    let mut device = Simulator::new(&law);
    // 0.7 seconds of every two: shorter than the way from one reference to the next.
    device.drift = Box::new(|now| if now % 2.0 < 0.7 { 1.2 } else { 1.0 });
    let (history, _) = device.run(&plan);
    let corrected = correct(&plan, &history);
    let mut disturbed: Vec<(f64, f64)> = Vec::new();
    for block in &corrected.blocks {
        let expected = law(block.block.batch_size);
        if block.block.role == VisitRole::Measure && block.seconds > 1.1 * expected {
            disturbed.push((
                block.seconds / expected - 1.0,
                block.best_seconds() / expected - 1.0,
            ));
        }
    }
    let median_error = |error: &dyn Fn(&(f64, f64)) -> f64| {
        median(disturbed.iter().map(|both| error(both).abs()).collect())
    };
    let (raw, better) = (median_error(&|both| both.0), median_error(&|both| both.1));
    assert!(disturbed.len() > 20, "{}", disturbed.len());
    assert!(better < raw / 4.0, "{better} against {raw}");
}

#[test]
fn a_processor_shared_with_others_is_described_as_if_it_were_not() {
    let law = staircase(8);
    let mut plan = plan(spec("1-32", 60), "CPU-a");
    plan.device.kind = DeviceKind::Cpu;
    let level = |share: f64| {
        let mut device = Simulator::new(&law);
        device.drift = Box::new(move |now| if now % 10.0 < 10.0 * share { 1.3 } else { 1.0 });
        let (history, _) = device.run(&plan);
        let errors = |value: &dyn Fn(&CorrectedBlock<'_>) -> f64| {
            let corrected = correct(&plan, &history);
            let blocks = corrected.blocks.iter();
            let measuring = blocks.filter(|block| block.block.role == VisitRole::Measure);
            median(
                measuring
                    .map(|block| value(block) / law(block.block.batch_size))
                    .collect(),
            )
        };
        (
            errors(&|block| block.seconds),
            errors(&|block| block.best_seconds()),
        )
    };
    let (quiet, busy) = (level(0.1), level(0.7));
    assert!(busy.0 / quiet.0 > 1.2, "raw {busy:?}, {quiet:?}");
    assert!((busy.1 / quiet.1 - 1.0).abs() < 0.01, "{busy:?}, {quiet:?}");
}

#[test]
fn the_ascending_order_is_one_pass_without_reference_or_correction() {
    let mut spec = spec("1-24", 60);
    spec.visit_order = VisitOrder::Ascending;
    let plan = plan(spec, "SIM-a");
    let (history, _) = Simulator::new(staircase(8)).run(&plan);
    let visits = &history.rounds[1].round.visits;
    let sizes: Vec<u32> = visits.iter().map(|visit| visit.batch_size).collect();
    assert!(sizes.is_sorted() && sizes.ends_with(&[24, 24]));
    assert!(visits.iter().all(|visit| visit.role == VisitRole::Measure));
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
