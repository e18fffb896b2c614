//! Stretches of neighbouring nights that have something in common, so that a month without a report is one bar and not thirty.

use super::timeline::Timeline;
use crate::draw::Scale;
use crate::history::NightPoint;

/// Narrowest bar that is seen, pixels.
const NARROWEST: f64 = 1.2;
/// Room between two bars, pixels, where there is some.
const GAP: f64 = 1.0;

/// A stretch of nights, and what they have in common.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run<'a, T> {
    pub(super) nights: Vec<&'a NightPoint>,
    pub(super) common: T,
}

/// The nights for which `common` says something, in stretches of neighbours that it says the same of.
pub(super) fn runs<'a, T: PartialEq>(
    nights: &'a [NightPoint],
    timeline: &Timeline,
    common: impl Fn(&'a NightPoint) -> Option<T>,
) -> Vec<Run<'a, T>> {
    let mut runs: Vec<Run<'a, T>> = Vec::new();
    for night in nights {
        let Some(common) = common(night) else {
            continue;
        };
        let last = runs.last_mut().filter(|run| run.common == common);
        match last.filter(|run| {
            run.nights
                .last()
                .is_some_and(|before| timeline.are_neighbours(before, night))
        }) {
            Some(run) => run.nights.push(night),
            None => runs.push(Run {
                nights: vec![night],
                common,
            }),
        }
    }
    runs
}

impl<T> Run<'_, T> {
    /// Left end and width of a bar over the stretch, pixels.
    pub(super) fn bar(&self, timeline: &Timeline, x: &Scale) -> (f64, f64) {
        let (first, last) = self.ends();
        let half = 0.5 * timeline.pace();
        let left = x.at(timeline.place(first) - half);
        let right = x.at(timeline.place(last) + half);
        let wide = (right - left - GAP).max(NARROWEST);
        (0.5 * (left + right - wide), wide)
    }

    /// "2026-11-03", or "2026-11-03 to 2026-11-08, 6 nights".
    pub(super) fn when(&self) -> String {
        let (first, last) = self.ends();
        if self.nights.len() == 1 {
            return first.when();
        }
        format!(
            "{} to {}, {} nights",
            first.date,
            last.date,
            self.nights.len()
        )
    }

    /// First and last night: a run has at least one.
    fn ends(&self) -> (&NightPoint, &NightPoint) {
        (self.nights[0], self.nights[self.nights.len() - 1])
    }
}
