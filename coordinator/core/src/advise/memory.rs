//! The memory that a batch needs, from the peaks that were measured. Used by `answer`; never promises what is not extrapolated from them.

use std::collections::BTreeMap;

use super::facts::{Estimate, Source};
use crate::steptable::PointRow;

/// Peaks of memory by batch size.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// Bytes, never falling: a larger batch needs no less, and a peak may hold what was used before it.
    peaks: BTreeMap<u32, u64>,
    /// Bytes per sample beyond the largest of them.
    slope: f64,
}

impl Memory {
    /// From the points that know theirs; `None` where none does.
    pub(super) fn of(points: &[PointRow]) -> Option<Self> {
        let measured: Vec<(u32, u64)> = points
            .iter()
            .filter_map(|point| Some((point.batch_size, point.peak_memory_bytes?)))
            .collect();
        let slope = slope(&measured)?;
        let mut highest = 0;
        let peaks = measured
            .into_iter()
            .map(|(size, bytes)| {
                highest = bytes.max(highest);
                (size, highest)
            })
            .collect();
        Some(Self { peaks, slope })
    }

    /// What a batch needs: its peak, the line between its neighbours', or the slope of all peaks continued from the largest.
    pub(super) fn at(&self, size: u32) -> Option<Estimate<u64>> {
        if let Some(&value) = self.peaks.get(&size) {
            return Some(Estimate {
                value,
                source: Source::Measured,
            });
        }
        let below = self.peaks.range(..size).next_back();
        match (below, self.peaks.range(size..).next()) {
            (Some((&low, &at_low)), Some((&high, &at_high))) => {
                let share = f64::from(size - low) / f64::from(high - low);
                Some(Estimate {
                    value: at_low + (share * (at_high - at_low) as f64).ceil() as u64,
                    source: Source::Interpolated,
                })
            }
            (Some((&last, &at_last)), None) => Some(Estimate {
                value: at_last.saturating_add((self.slope * f64::from(size - last)).ceil() as u64),
                source: Source::Extrapolated,
            }),
            // A smaller batch than any measured needs at most what the smallest does.
            (None, Some((_, &value))) => Some(Estimate {
                value,
                source: Source::Interpolated,
            }),
            (None, None) => None,
        }
    }

    /// The largest batch size up to `most` that needs at most `limit` bytes; `None` where not even one sample fits.
    pub(super) fn largest_within(&self, limit: u64, most: u32) -> Option<Estimate<u32>> {
        let fits = |size: u32| self.at(size).is_some_and(|need| need.value <= limit);
        let (mut good, mut bad) = (0, most.saturating_add(1));
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if fits(middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        let source = self.at(good)?.source;
        (good > 0).then_some(Estimate {
            value: good,
            source,
        })
    }
}

/// Bytes per sample: the least-squares line through the peaks; of a single one, as if all of it grew with the batch.
fn slope(peaks: &[(u32, u64)]) -> Option<f64> {
    let count = peaks.len() as f64;
    let (size, bytes) = peaks.first()?;
    if peaks.len() == 1 {
        return Some(*bytes as f64 / f64::from((*size).max(1)));
    }
    let mean = |value: &dyn Fn(&(u32, u64)) -> f64| peaks.iter().map(value).sum::<f64>() / count;
    let (mean_size, mean_bytes) = (
        mean(&|(size, _)| f64::from(*size)),
        mean(&|(_, bytes)| *bytes as f64),
    );
    let covariance =
        mean(&|(size, bytes)| (f64::from(*size) - mean_size) * (*bytes as f64 - mean_bytes));
    let variance = mean(&|(size, _)| (f64::from(*size) - mean_size).powi(2));
    Some((covariance / variance).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(batch_size: u32, peak_memory_bytes: Option<u64>) -> PointRow {
        PointRow {
            batch_size,
            seconds: 1.0,
            low: 1.0,
            high: 1.0,
            blocks: 5,
            outliers: 0,
            peak_memory_bytes,
        }
    }

    #[test]
    fn memory_is_read_between_and_beyond_what_was_measured() {
        let points = [1, 2, 4, 8].map(|size| point(size, Some(100 + 10 * u64::from(size))));
        let memory = Memory::of(&points).unwrap();
        for (size, bytes, source) in [
            (4, 140, Source::Measured),
            (6, 160, Source::Interpolated),
            (16, 260, Source::Extrapolated),
        ] {
            assert_eq!(
                memory.at(size),
                Some(Estimate {
                    value: bytes,
                    source
                })
            );
        }
        let largest = |limit| {
            memory
                .largest_within(limit, 1000)
                .map(|largest| largest.value)
        };
        assert_eq!(
            (largest(165), largest(300), largest(50)),
            (Some(6), Some(20), None)
        );
        assert_eq!(memory.largest_within(u64::MAX, 16).unwrap().value, 16);
    }

    #[test]
    fn nothing_is_made_of_no_peaks_and_the_worst_of_one() {
        assert!(Memory::of(&[point(1, None)]).is_none());
        let memory = Memory::of(&[point(4, Some(400)), point(8, None)]).unwrap();
        assert_eq!(memory.at(8).unwrap().value, 800);
        assert_eq!(memory.at(1).unwrap().value, 400);
    }
}
