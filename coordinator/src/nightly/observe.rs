//! From what a sweep measured to what the judge is told of a series' night. Pure: the step is inferred and the drift corrected as for the step table.

use std::collections::BTreeMap;

use batchstep_core::{
    fleet::SeriesState,
    steptable::{DetailedRow, PointRow, SeriesResult, Verdict, rows},
    sweep::TIMING_PROTOCOL,
};
use batchstep_judge::{Environment, Invalidity, Measurement, Observation, Property, Step};
use batchstep_proto::domain::VisitRole;

use super::device_settings::DeviceSettings;
use crate::store::StoredHistory;

/// Blocks that a batch size has at least: the median of fewer says nothing of its error.
const LEAST_BLOCKS: u32 = 3;

/// What one sweep says of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The row that it would have in the step table by itself; `None`: nothing was measured.
    row: Option<DetailedRow>,
    /// The device was held up or taken away, or its software was replaced while it measured.
    invalid: Option<Invalidity>,
    /// Batch size by batch size, MHz.
    clocks: BTreeMap<u32, Vec<f64>>,
    environment: Environment,
}

impl Seen {
    /// Of what is stored.
    #[must_use]
    pub fn of(stored: &StoredHistory, settings: &DeviceSettings) -> Self {
        let series = SeriesResult {
            plan: &stored.plan,
            history: &stored.history,
            finished: true,
            cancelled: stored.state == SeriesState::Cancelled,
            message: (!stored.message.is_empty()).then_some(stored.message.as_str()),
        };
        let mut rows = rows(&[series], true);
        // Software that was replaced meanwhile makes a row each.
        let is_whole = rows.len() <= 1;
        let row = rows.pop().filter(|row| !row.points.is_empty());
        let invalid = match row.as_ref().map(|row| row.row.verdict) {
            Some(Verdict::Throttled) => Some(Invalidity::Throttled),
            Some(Verdict::Contended) => Some(Invalidity::Contended),
            _ if !is_whole => Some(Invalidity::Incomplete),
            _ => None,
        };
        let mut clocks: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for block in stored.history.rounds.iter().flat_map(|round| &round.blocks) {
            if let (VisitRole::Measure, Some(clock)) = (block.role, block.sm_clock_mhz) {
                clocks.entry(block.batch_size).or_default().push(clock);
            }
        }
        let environment = environment(stored, row.as_ref(), settings);
        Self {
            row,
            invalid,
            clocks,
            environment,
        }
    }

    /// The batch sizes that its times should be judged by, as far as this measurement tells: the good ones up to the knee; without a step all up to it.
    #[must_use]
    pub fn judged_batch_sizes(&self) -> Option<Vec<u32>> {
        let row = self.row.as_ref().filter(|_| self.invalid.is_none())?;
        let settled = |point: &&PointRow| point.blocks >= LEAST_BLOCKS;
        let measured = || {
            row.points
                .iter()
                .filter(settled)
                .map(|point| point.batch_size)
        };
        let knee = row.row.knee_batch_size.unwrap_or(u32::MAX);
        let good: Vec<u32> = measured()
            .filter(|size| *size <= knee && row.row.recommended_batch_sizes.contains(size))
            .collect();
        let up_to_the_knee = || measured().filter(|size| *size <= knee).collect();
        let sizes: Vec<u32> = if good.is_empty() {
            up_to_the_knee()
        } else {
            good
        };
        (!sizes.is_empty()).then_some(sizes)
    }

    /// Whether it was inferred with enough certainty for others to choose their batch sizes by.
    #[must_use]
    pub fn has_step(&self) -> bool {
        self.row
            .as_ref()
            .is_some_and(|row| row.row.verdict == Verdict::Step)
    }

    /// Why it cannot be judged by these batch sizes, or what was measured.
    ///
    /// # Errors
    /// With what is wrong with it; `None`: there is nothing.
    pub fn measured(&self, judged: &[u32]) -> Result<Measurement, Option<Invalidity>> {
        let row = self.row.as_ref().ok_or(None)?;
        if let Some(invalid) = self.invalid {
            return Err(Some(invalid));
        }
        let points: BTreeMap<u32, &PointRow> = row
            .points
            .iter()
            .filter(|point| point.blocks >= LEAST_BLOCKS && point.seconds > 0.0)
            .map(|point| (point.batch_size, point))
            .collect();
        let log_seconds: BTreeMap<u32, f64> = judged
            .iter()
            .filter_map(|size| Some((*size, points.get(size)?.seconds.ln())))
            .collect();
        if log_seconds.is_empty() || log_seconds.len() < judged.len() {
            return Err(Some(Invalidity::Incomplete));
        }
        let mut clocks: Vec<f64> = judged
            .iter()
            .filter_map(|size| self.clocks.get(size))
            .flatten()
            .copied()
            .collect();
        Ok(Measurement {
            log_seconds,
            sm_clock_mhz: middle(&mut clocks),
            step: match (row.row.verdict, row.row.step) {
                (Verdict::Step, Some(period)) => Step::Period(period),
                (Verdict::NoStep, _) => Step::None,
                _ => Step::Unknown,
            },
        })
    }
}

/// What the judge is told: the night's measurement, with the one that was made again.
#[must_use]
pub fn observation(first: Option<&Seen>, again: Option<&Seen>, judged: &[u32]) -> Observation {
    let Some(first) = first else {
        return Observation::Missing;
    };
    match first.measured(judged) {
        Ok(measured) => {
            let mut environment = first.environment.clone();
            environment.0.insert(Property::Workload, sizes_text(judged));
            // What was changed between the two says nothing about the first.
            let again = again.filter(|again| again.environment == first.environment);
            Observation::Measured {
                environment,
                first: measured,
                again: again.and_then(|again| again.measured(judged).ok()),
            }
        }
        Err(Some(why)) => Observation::Invalid { why },
        Err(None) => Observation::Missing,
    }
}

/// The part of the workload's definition that is not in the series' key.
fn sizes_text(judged: &[u32]) -> String {
    let sizes: Vec<String> = judged.iter().map(ToString::to_string).collect();
    format!("batch sizes {}", sizes.join(","))
}

fn environment(
    stored: &StoredHistory,
    row: Option<&DetailedRow>,
    settings: &DeviceSettings,
) -> Environment {
    let mut known: BTreeMap<Property, String> = settings.properties();
    let mut note = |property, value: Option<String>| {
        if let Some(value) = value {
            known.insert(property, value);
        }
    };
    if let Some(row) = row {
        let software = &row.row.software;
        note(Property::Driver, software.driver.clone());
        note(Property::Cuda, software.cuda.clone());
        note(Property::Libtorch, software.libtorch.clone());
        note(Property::Cudnn, software.cudnn.clone());
    }
    note(Property::Mig, stored.plan.device.mig_profile.clone());
    let iterations = stored.plan.spec.iterations;
    let timing = iterations.map_or_else(
        || format!("version {TIMING_PROTOCOL}"),
        |count| format!("version {TIMING_PROTOCOL}, {count} iterations a block"),
    );
    note(Property::Timing, Some(timing));
    Environment(known)
}

fn middle(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[half]),
        _ => Some(f64::midpoint(values[half - 1], values[half])),
    }
}
