//! A device among its siblings: those of the same model, driver and workload.

use crate::{
    Policy, Step,
    stats::{median, robust_sigma},
    step::same,
    verdict::Numbers,
};

/// How a device is unlike the others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unlike {
    /// Slower.
    Slower(Numbers),
    /// Another step.
    Step(Numbers),
}

/// What makes `level` and `step` unlike those of all devices, its own among them; `None`: nothing, or too few devices.
pub(crate) fn unlike(
    policy: &Policy,
    levels: &[f64],
    steps: &[Step],
    level: f64,
    step: Step,
) -> Option<Unlike> {
    if levels.len() < policy.outlier_devices {
        return None;
    }
    let middle = median(levels.iter().copied())?;
    let sigma = robust_sigma(levels.iter().copied(), middle)?.max(policy.least_sigma);
    let shift = level - middle;
    let numbers = Numbers {
        level: Some(level),
        baseline: Some(middle),
        sigma: Some(sigma),
        shift: Some(shift),
        sigmas: Some(shift / sigma),
        devices: Some(levels.len()),
        ..Numbers::default()
    };
    let is_far = shift >= policy.outlier_far.ln_1p();
    let is_apart = shift > policy.outlier_sigmas * sigma && shift >= policy.outlier_shift.ln_1p();
    if is_far || is_apart {
        return Some(Unlike::Slower(numbers));
    }
    let others = common_step(policy, steps)?;
    (step != Step::Unknown && !same(policy, step, others)).then(|| {
        Unlike::Step(Numbers {
            steps: Some([others, step]),
            ..numbers
        })
    })
}

/// The step that all but one of the devices have at least.
fn common_step(policy: &Policy, steps: &[Step]) -> Option<Step> {
    let known = steps.iter().copied().filter(|step| *step != Step::Unknown);
    let votes = |step: Step| {
        steps
            .iter()
            .filter(|other| same(policy, **other, step))
            .count()
    };
    let usual = known.max_by_key(|step| votes(*step))?;
    (votes(usual) + 1 >= steps.len()).then_some(usual)
}
