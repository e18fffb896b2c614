//! The edge guard: a period must show where it should, edge by edge.
//!
//! Around each predicted edge a line plus the pattern is fitted to that neighbourhood alone; the pattern's share there
//! must be near 1. A curve, a floor or two algorithm switches fit a comb on average, but not at each edge. Repeating
//! profiles must also look alike in both halves of the range and in odd and even periods.

use std::borrow::Cow;

use crate::answer::{Edge, EdgeSight};
use crate::fit::{Basis, Law};
use crate::point::robust_sigma;
use crate::reading::{Pattern, Reading};
use crate::sample::Sample;
use crate::term::{Term, good_size};

/// Shares of the fitted pattern that confirm an edge.
const CONFIRMED_SHARE: std::ops::RangeInclusive<f64> = 0.4..=2.5;

/// Edges with power that must be seen, and the share of them above which as many must be confirmed as there are: of
/// three or four edges all, of eight seven.
const LEAST_SEEN: usize = 3;
const CONFIRMED_ABOVE: f64 = 0.75;

/// Correlation of the residue means in two halves, for noise-free means.
const LEAST_CORRELATION: f64 = 0.75;

/// Most edges looked at; traces with more have enough.
const MOST_EDGES: usize = 512;

/// How far a window reaches to each side, in periods, and the standard error that gives it power. The narrowest windows
/// with power decide: a jump is sharp, a bend is not.
const REACHES: [(f64, f64); 6] = [
    (0.125, 0.3),
    (0.25, 0.3),
    (0.5, 0.3),
    (1.0, 0.5),
    (2.0, 0.5),
    (4.0, 0.5),
];

/// Batch sizes a window reaches at least.
const LEAST_REACH: f64 = 3.0;

/// Share of an edge's rise that a level change on it leaves, at most, where it stands for the edge's absence.
const LEFT_OF_EDGE: f64 = 0.4;

/// Batch sizes to each side of an edge that its noise is estimated from, at least.
const LEAST_NEIGHBOURHOOD: f64 = 12.0;

/// What the guard saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sighting {
    /// Every edge predicted in range, ascending.
    pub(crate) edges: Vec<Edge>,
    /// Whether the pattern repeats.
    pub(crate) repeats: bool,
    /// Whether the multiples are the cheapest residue.
    pub(crate) multiples_cheapest: bool,
}

impl Sighting {
    /// Edges with power.
    pub(crate) fn seen(&self) -> usize {
        let clear = |edge: &&Edge| edge.sight != EdgeSight::Unclear;
        self.edges.iter().filter(clear).count()
    }

    /// Good batch sizes whose edge was confirmed, ascending.
    pub(crate) fn confirmed(&self) -> impl Iterator<Item = u32> {
        self.edges
            .iter()
            .filter(|edge| edge.sight == EdgeSight::Confirmed)
            .map(|edge| edge.batch_size)
    }

    /// Whether the period holds.
    pub(crate) fn passes(&self) -> bool {
        let seen = self.seen();
        self.repeats
            && self.multiples_cheapest
            && seen >= LEAST_SEEN
            && self.confirmed().count() as f64 > CONFIRMED_ABOVE * seen as f64
    }
}

/// The edges as they are told: one without a batch size measured within a period on either side is unclear, though wider windows, in which its
/// neighbours show the pattern, confirm the period.
pub(crate) fn told(sample: &Sample, period: f64, edges: &[Edge]) -> Vec<Edge> {
    let measured = |edge: u32| {
        let after = sample.sizes.partition_point(|&size| size <= edge);
        let near =
            |size: Option<&u32>| size.is_some_and(|&size| f64::from(size.abs_diff(edge)) <= period);
        near(sample.sizes[..after].last()) && near(sample.sizes.get(after))
    };
    edges
        .iter()
        .map(|edge| Edge {
            batch_size: edge.batch_size,
            sight: if measured(edge.batch_size) {
                edge.sight
            } else {
                EdgeSight::Unclear
            },
        })
        .collect()
}

/// Looks for the pattern of `reading` around each edge it predicts.
pub(crate) fn inspect(sample: &Sample, law: &Law, reading: &Reading) -> Sighting {
    let freedom = (sample.len() as f64 - law.terms.len() as f64).max(1.0);
    let noise = (law.residual_square / freedom)
        .sqrt()
        .max(0.5 * sample.repeat_error.unwrap_or(0.0))
        .max(1e-6);
    let lookout = Lookout {
        sample,
        reading,
        start: f64::from(law.floor.unwrap_or(0).max(sample.first())),
        residuals: law.residuals(sample),
        rest: without_pattern(sample, law, reading),
        levels: law
            .terms
            .iter()
            .zip(&law.coefficients)
            .filter_map(|(term, &jump)| match *term {
                Term::Level(after) => Some((after, jump)),
                _ => None,
            })
            .collect(),
        noise,
    };
    let (repeats, multiples_cheapest) = match &reading.pattern {
        Pattern::Jump(_) => (true, true),
        Pattern::Profile(profile) => (
            // A shape of one parameter has nothing to agree on but its edges.
            !law.terms
                .iter()
                .any(|term| matches!(term, Term::Residue { .. }))
                || repeats(sample, law, reading, noise),
            multiples_cheapest(sample, &profile.extra, noise),
        ),
    };
    Sighting {
        edges: lookout.edges(),
        repeats,
        multiples_cheapest,
    }
}

/// What is needed to look at one edge.
struct Lookout<'a> {
    sample: &'a Sample,
    reading: &'a Reading,
    /// The smallest batch size measured, or the end of the floor.
    start: f64,
    /// Relative residuals of the law.
    residuals: Vec<f64>,
    /// Seconds less what other terms explain.
    rest: Vec<f64>,
    /// The level changes among them: the last batch size before each, and its jump.
    levels: Vec<(u32, f64)>,
    /// Relative noise over the whole range, what the law misses included.
    noise: f64,
}

impl Lookout<'_> {
    /// Every edge predicted in range, ascending.
    fn edges(&self) -> Vec<Edge> {
        let Reading { period, offset, .. } = *self.reading;
        let first = ((self.start - offset) / period).floor().max(0.0);
        let last = f64::from(self.sample.last());
        (0..MOST_EDGES)
            .map(|k| good_size(first + k as f64, period, offset))
            .skip_while(|&edge| edge < self.start)
            .take_while(|&edge| edge < last)
            .map(|edge| Edge {
                batch_size: edge as u32,
                sight: self.sight(edge),
            })
            .collect()
    }

    /// What the narrowest window with power shows.
    fn sight(&self, edge: f64) -> EdgeSight {
        let rest = self.rest_at(edge);
        for (reach, power) in REACHES {
            let width = (reach * self.reading.period).max(LEAST_REACH);
            let Some(window) = self.window(edge, width) else {
                continue;
            };
            // Slow misfit of the law is no noise to a narrow window: neighbours share it.
            let noise = if reach < 1.0 {
                self.noise_around(edge)
            } else {
                self.noise
            };
            let pattern = |size| self.reading.at(size);
            match local_share(self.sample, pattern, &rest, window, noise) {
                Some((share, error)) if error <= power => {
                    return if CONFIRMED_SHARE.contains(&share) {
                        EdgeSight::Confirmed
                    } else {
                        EdgeSight::Missed
                    };
                }
                _ => {}
            }
        }
        EdgeSight::Unclear
    }

    /// Seconds less what other terms explain, but for a level change on the edge itself that falls by about as much as the pattern rises there: it
    /// stands for an edge that is missing. Any other may be an algorithm switch that happens to lie there.
    fn rest_at(&self, edge: f64) -> Cow<'_, [f64]> {
        let rise = self.reading.at(edge as u32 + 1) - self.reading.at(edge as u32);
        let hides = |&&(after, jump): &&(u32, f64)| {
            (f64::from(after) - edge).abs() <= 1.0 && (rise + jump).abs() < LEFT_OF_EDGE * rise
        };
        let mut rest = Cow::Borrowed(self.rest.as_slice());
        for &(after, jump) in self.levels.iter().filter(hides) {
            for (value, &size) in rest.to_mut().iter_mut().zip(&self.sample.sizes) {
                *value += jump * Term::Level(after).at(size);
            }
        }
        rest
    }

    /// The points within `width` of `edge`, right of the floor; `None` without two on each side.
    fn window(&self, edge: f64, width: f64) -> Option<std::ops::Range<usize>> {
        let sizes = &self.sample.sizes;
        let from = sizes.partition_point(|&size| {
            f64::from(size) <= edge - width || f64::from(size) < self.start
        });
        let middle = sizes.partition_point(|&size| f64::from(size) <= edge);
        let to = sizes.partition_point(|&size| f64::from(size) <= edge + width);
        (middle >= from + 2 && to >= middle + 2).then_some(from..to)
    }

    /// Noise between neighbours within a period of `edge`: what the law misses elsewhere does not make an edge unclear
    /// here.
    fn noise_around(&self, edge: f64) -> f64 {
        let reach = self.reading.period.max(LEAST_NEIGHBOURHOOD);
        let within = |bound: f64| {
            self.sample
                .sizes
                .partition_point(|&size| f64::from(size) <= bound)
        };
        local_noise(&self.residuals[within(edge - reach)..within(edge + reach)])
            .max(0.5 * self.sample.repeat_error.unwrap_or(0.0))
    }
}

/// Noise between neighbouring points, from the differences of their residuals.
fn local_noise(residuals: &[f64]) -> f64 {
    let differences: Vec<f64> = residuals
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / std::f64::consts::SQRT_2)
        .collect();
    if differences.is_empty() {
        return f64::INFINITY;
    }
    robust_sigma(&differences, 0.0).max(1e-6)
}

/// Seconds less what level changes and other combs explain.
fn without_pattern(sample: &Sample, law: &Law, reading: &Reading) -> Vec<f64> {
    sample
        .sizes
        .iter()
        .zip(sample.response.iter().zip(&sample.unit))
        .map(|(&size, (response, unit))| {
            let other = law.sum(size, |term| match term {
                Term::Level(_) | Term::CombAfter { .. } => true,
                Term::Comb { .. } => !reading.explains(term),
                _ => false,
            });
            response / unit - other
        })
        .collect()
}

/// The share of the pattern in a neighbourhood, beside a free line, and its standard error.
fn local_share(
    sample: &Sample,
    pattern: impl Fn(u32) -> f64,
    rest: &[f64],
    range: std::ops::Range<usize>,
    noise: f64,
) -> Option<(f64, f64)> {
    let unit = &sample.unit[range.clone()];
    let sizes = &sample.sizes[range.clone()];
    let mut basis = Basis::default();
    basis.push(unit.to_vec());
    let origin = sizes[0];
    basis.push(
        sizes
            .iter()
            .zip(unit)
            .map(|(size, unit)| f64::from(size - origin) * unit)
            .collect(),
    );
    let pattern: Vec<f64> = sizes
        .iter()
        .zip(unit)
        .map(|(&size, unit)| pattern(size) * unit)
        .collect();
    let fresh = basis.residual_square(&pattern);
    if basis.columns().len() < 2 || !basis.push(pattern) {
        return None;
    }
    let response: Vec<f64> = rest[range]
        .iter()
        .zip(unit)
        .map(|(rest, unit)| rest * unit)
        .collect();
    let share = *basis.solve(&response).last()?;
    Some((share, noise / fresh.sqrt()))
}

/// Whether the level changes by about `jump` right after `size`, and not over many batch sizes: a bend is no switch.
pub(crate) fn is_sharp(sample: &Sample, law: &Law, size: u32, jump: f64) -> bool {
    const REACH_POINTS: usize = 4;
    let middle = sample.sizes.partition_point(|&other| other <= size);
    let from = middle.saturating_sub(REACH_POINTS);
    let to = (middle + REACH_POINTS).min(sample.len());
    let seconds: Vec<f64> = sample
        .response
        .iter()
        .zip(&sample.unit)
        .map(|(response, unit)| response / unit)
        .collect();
    let noise = local_noise(&law.residuals(sample));
    let level = |other: u32| jump * Term::Level(size).at(other);
    local_share(sample, level, &seconds, from..to, noise)
        .is_none_or(|(share, error)| error > 0.3 || CONFIRMED_SHARE.contains(&share))
}

/// Whether the residue means agree between the halves of the range and between odd and even periods.
fn repeats(sample: &Sample, law: &Law, reading: &Reading, noise: f64) -> bool {
    let period = reading.period as u32;
    if period < 3 {
        return true;
    }
    let residuals = law.residuals(sample);
    let start = sample
        .sizes
        .partition_point(|&size| law.floor.is_some_and(|end| size <= end));
    let middle = sample.sizes[start + (sample.len() - start) / 2];
    let agree = |half: &dyn Fn(u32) -> bool| {
        let means = |side: bool| {
            let mut sums = vec![(0.0, 0.0); period as usize];
            for (i, residual) in residuals.iter().enumerate().skip(start) {
                let size = sample.sizes[i];
                if half(size) == side {
                    // What grows is compared before its growth.
                    let factor = reading.growth_at(size);
                    let unit = sample.unit[i];
                    let (sum, total) = &mut sums[(size % period) as usize];
                    *sum += unit * unit * factor * (reading.at(size) + residual / unit);
                    *total += (unit * factor).powi(2);
                }
            }
            sums
        };
        agreement(&means(false), &means(true), noise)
    };
    agree(&|size| size >= middle) && agree(&|size| (size / period) % 2 == 1)
}

/// Whether two sets of residue means (weighted sum, total weight) correlate as well as their noise allows.
fn agreement(a: &[(f64, f64)], b: &[(f64, f64)], noise: f64) -> bool {
    let pairs: Vec<(f64, f64)> = a
        .iter()
        .zip(b)
        .filter(|(a, b)| a.1 > 0.0 && b.1 > 0.0)
        .map(|(a, b)| (a.0 / a.1, b.0 / b.1))
        .collect();
    if pairs.len() < 3 {
        return true;
    }
    let count = pairs.len() as f64;
    let (mean_a, mean_b) = (
        pairs.iter().map(|p| p.0).sum::<f64>() / count,
        pairs.iter().map(|p| p.1).sum::<f64>() / count,
    );
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - mean_a, y - mean_b);
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    let noise_of = |side: &[(f64, f64)]| {
        side.iter()
            .filter(|mean| mean.1 > 0.0)
            .map(|mean| noise * noise / mean.1)
            .sum::<f64>()
    };
    let reliable = |square: f64, noise: f64| (1.0 - noise / square.max(f64::MIN_POSITIVE)).max(0.0);
    let reachable = (reliable(aa, noise_of(a)) * reliable(bb, noise_of(b))).sqrt();
    ab > LEAST_CORRELATION * reachable * (aa * bb).sqrt()
}

/// Whether no residue is cheaper than the multiples, within noise or a tenth of the pattern; `profile` in seconds at a
/// typical batch size.
fn multiples_cheapest(sample: &Sample, profile: &[f64], noise: f64) -> bool {
    let least = profile.iter().copied().fold(0.0, f64::min);
    let most = profile.iter().copied().fold(0.0, f64::max);
    // About len / period points stand behind each residue; 1 is the typical time in the sample's unit.
    let error = noise * (2.0 * profile.len() as f64 / sample.len() as f64).sqrt();
    -least <= (0.1 * most).max(2.5 * error)
}
