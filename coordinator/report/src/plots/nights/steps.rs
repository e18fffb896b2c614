//! The panel of the step: one bar for each stretch of nights that have the same, in lanes where there are few different ones, else on an axis.

use super::runs::{Run, runs};
use super::timeline::Timeline;
use super::words;
use crate::cells;
use crate::draw::{Anchor, Canvas, Scale};
use crate::history::{NightPoint, NightStep};

/// Most different steps that get a lane each.
const LANES: usize = 4;
/// Height of a lane, of a bar, and of the axis where there are more steps, pixels.
const LANE: f64 = 16.0;
const BAR: f64 = 7.0;
const AXIS: f64 = 72.0;
/// Relative difference below which two steps share a lane: those of a fractional step differ in their last digits.
const SAME: f64 = 1e-3;

/// Steps that can be, samples: a batch size is a 32-bit number.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.01..=4.3e9;

/// Where each step lies, from the panel's top.
#[derive(Debug)]
pub(super) struct StepPanel<'a> {
    runs: Vec<Run<'a, NightStep>>,
    /// Different steps, largest first, and their heights.
    lanes: Vec<(f64, f64)>,
    axis: Option<Scale>,
    none: Option<f64>,
    unknown: Option<f64>,
    height: f64,
}

impl<'a> StepPanel<'a> {
    /// The panel of those nights that were judged.
    pub(super) fn new(nights: &'a [NightPoint], timeline: &Timeline) -> Self {
        let judged = |night: &NightPoint| night.judged_seconds().map(|_| canonical(night.step));
        let runs = runs(nights, timeline, judged);
        let mut periods: Vec<f64> = runs.iter().filter_map(|run| period(run.common)).collect();
        periods.sort_by(|a, b| b.total_cmp(a));
        periods.dedup_by(|one, other| (*one - *other).abs() <= SAME * *other);
        let mut height = 0.0;
        let mut lane = || {
            height += LANE;
            height - 0.5 * LANE
        };
        let is_few = periods.len() <= LANES;
        let lanes: Vec<(f64, f64)> = if is_few {
            periods.iter().map(|period| (*period, lane())).collect()
        } else {
            Vec::new()
        };
        let has = |wanted: NightStep| runs.iter().any(|run| run.common == wanted);
        let (has_none, has_unknown) = (has(NightStep::None), has(NightStep::Unknown));
        if !is_few {
            height += AXIS;
        }
        let axis = (!is_few).then(|| {
            let (largest, smallest) = (periods[0], periods[periods.len() - 1]);
            Scale::linear(smallest, largest, AXIS - 0.5 * LANE, 0.5 * LANE)
        });
        let mut lane = |is_there: bool| {
            is_there.then(|| {
                height += LANE;
                height - 0.5 * LANE
            })
        };
        let (none, unknown) = (lane(has_none), lane(has_unknown));
        Self {
            runs,
            lanes,
            axis,
            none,
            unknown,
            height,
        }
    }

    /// Its height in pixels; zero where no night was judged.
    pub(super) fn height(&self) -> f64 {
        self.height
    }

    /// Draws the lanes' names left of `left`, and the bars, with the panel's top at `top`.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        timeline: &Timeline,
        x: &Scale,
        (left, right): (f64, f64),
        top: f64,
    ) {
        let mut names: Vec<(f64, String)> = self
            .lanes
            .iter()
            .map(|(period, y)| (*y, cells::significant(*period, 4)))
            .collect();
        names.extend(self.none.map(|y| (y, "none".to_owned())));
        names.extend(self.unknown.map(|y| (y, "?".to_owned())));
        if let Some(axis) = &self.axis {
            names.extend(axis.ticks(3).into_iter().map(|tick| {
                let name = cells::significant(tick, 4);
                (axis.at(tick), name)
            }));
        }
        for (y, name) in names {
            canvas.line("grid", (left, top + y), (right, top + y));
            canvas.text("tick", Anchor::End, (left - 9.0, top + y + 4.0), &name);
        }
        for run in &self.runs {
            let Some(y) = self.y(run.common) else {
                continue;
            };
            let (start, wide) = run.bar(timeline, x);
            let class = match run.common {
                NightStep::Period(_) => "step-bar",
                NightStep::None => "step-none",
                NightStep::Unknown => "step-unknown",
            };
            let tip = format!("{}: {}", run.when(), words::step(run.common));
            canvas.bar(class, (start, top + y - 0.5 * BAR), (wide, BAR), &tip);
        }
    }

    fn y(&self, step: NightStep) -> Option<f64> {
        match step {
            NightStep::None => self.none,
            NightStep::Unknown => self.unknown,
            NightStep::Period(period) => match &self.axis {
                Some(axis) => Some(axis.at(period)),
                None => self
                    .lanes
                    .iter()
                    .find(|(lane, _)| (lane - period).abs() <= SAME * lane)
                    .map(|(_, y)| *y),
            },
        }
    }
}

/// A step that cannot be one is not known.
fn canonical(step: NightStep) -> NightStep {
    match step {
        NightStep::Period(period) if !PLAUSIBLE.contains(&period) => NightStep::Unknown,
        other => other,
    }
}

fn period(step: NightStep) -> Option<f64> {
    match step {
        NightStep::Period(period) => Some(period),
        NightStep::None | NightStep::Unknown => None,
    }
}
