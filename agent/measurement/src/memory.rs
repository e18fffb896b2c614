//! Whether a batch will fit, judged from the peaks of smaller ones: pure.
//!
//! On a CPU nothing refuses an allocation that the machine cannot hold; the kernel ends some process later. So no batch runs whose need,
//! extrapolated from two smaller batches, exceeds the allowed share.

use std::collections::BTreeMap;

/// Peaks of memory in use, by batch size.
#[derive(Debug, Clone, Default)]
pub struct MemoryModel {
    /// Bytes; batch size 0 is the network without a batch.
    peaks: BTreeMap<u32, u64>,
}

/// A batch that is expected not to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "batch size {batch_size} is expected to need {} MiB, more than the {} MiB allowed", mebibytes(*.needed_bytes), mebibytes(*.allowed_bytes)
)]
pub struct WouldNotFit {
    /// The batch.
    pub batch_size: u32,
    /// Its extrapolated peak.
    pub needed_bytes: u64,
    /// What it may take.
    pub allowed_bytes: u64,
}

/// A network that is expected not to fit, whatever the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the network alone, with one sample, needs {} MiB, more than the {} MiB allowed", mebibytes(*.needed_bytes), mebibytes(*.allowed_bytes)
)]
pub struct NetworkWouldNotFit {
    /// What it takes before its first batch has been through, bytes.
    pub needed_bytes: u64,
    /// What it may take, bytes.
    pub allowed_bytes: u64,
}

/// Checks a network that is not built yet against a share of the memory there is.
///
/// # Errors
/// When it needs more.
pub fn admit_network(
    needed_bytes: u64,
    budget_bytes: Option<u64>,
    share: f64,
) -> Result<(), NetworkWouldNotFit> {
    match budget_bytes.map(|budget| share_of(budget, share)) {
        Some(allowed_bytes) if needed_bytes > allowed_bytes => Err(NetworkWouldNotFit {
            needed_bytes,
            allowed_bytes,
        }),
        _ => Ok(()),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn share_of(budget_bytes: u64, share: f64) -> u64 {
    (as_f64(budget_bytes) * share) as u64
}

const fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// By how much the extrapolated increment is raised: libraries take scratch memory in steps.
const MARGIN: f64 = 1.1;

impl MemoryModel {
    /// Starts from what the process holds without a batch.
    #[must_use]
    pub fn new(idle_bytes: Option<u64>) -> Self {
        Self {
            peaks: idle_bytes.map(|bytes| (0, bytes)).into_iter().collect(),
        }
    }

    /// Keeps the highest peak seen at a batch size.
    pub fn record(&mut self, batch_size: u32, peak_bytes: u64) {
        let peak = self.peaks.entry(batch_size).or_default();
        *peak = (*peak).max(peak_bytes);
    }

    /// The peak seen at a batch size, bytes.
    #[must_use]
    pub fn peak(&self, batch_size: u32) -> Option<u64> {
        self.peaks.get(&batch_size).copied()
    }

    /// The batch sizes to try before this one, so that no step is larger than a doubling.
    #[must_use]
    pub fn rungs_below(&self, batch_size: u32) -> Vec<u32> {
        let largest = self
            .peaks
            .range(..batch_size)
            .next_back()
            .map_or(0, |(size, _)| *size);
        let mut rungs = Vec::new();
        let mut rung = u64::from(largest.max(1));
        if largest > 0 {
            rung *= 2;
        }
        while rung < u64::from(batch_size) {
            rungs.push(u32::try_from(rung).unwrap_or(u32::MAX));
            rung *= 2;
        }
        rungs
    }

    /// The expected peak, bytes: the line through the two largest batch sizes below. `None` with fewer than two.
    #[must_use]
    pub fn expected_peak(&self, batch_size: u32) -> Option<u64> {
        let mut below = self.peaks.range(..batch_size).rev();
        let (&large, &large_bytes) = below.next()?;
        let (&small, &small_bytes) = below.next()?;
        let per_sample = as_f64(large_bytes.saturating_sub(small_bytes)) / f64::from(large - small);
        let more = per_sample * f64::from(batch_size - large) * MARGIN;
        // Saturates at the largest u64, which no memory has.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let more = more.ceil() as u64;
        Some(large_bytes.saturating_add(more))
    }

    /// Checks a batch size against a share of the memory there is.
    ///
    /// # Errors
    /// When it is expected to need more.
    pub fn admit(
        &self,
        batch_size: u32,
        budget_bytes: Option<u64>,
        share: f64,
    ) -> Result<(), WouldNotFit> {
        let (Some(needed_bytes), Some(budget)) = (self.expected_peak(batch_size), budget_bytes)
        else {
            return Ok(());
        };
        let allowed_bytes = share_of(budget, share);
        if needed_bytes > allowed_bytes {
            return Err(WouldNotFit {
                batch_size,
                needed_bytes,
                allowed_bytes,
            });
        }
        Ok(())
    }
}

/// Memory sizes lose nothing that matters beyond 2^53 bytes.
#[allow(clippy::cast_precision_loss)]
const fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn needs_are_extrapolated_from_the_two_largest_smaller_batches() {
        let mut model = MemoryModel::new(Some(300 * MIB));
        assert_eq!(model.expected_peak(1), None);
        model.record(1, 310 * MIB);
        assert_eq!(model.expected_peak(2), Some(321 * MIB));
        model.record(2, 315 * MIB);
        model.record(64, 1000 * MIB);
        assert_eq!(
            model.expected_peak(4),
            Some(326 * MIB),
            "larger batches are not asked"
        );
    }

    #[test]
    fn falling_peaks_do_not_predict_a_negative_need() {
        let mut model = MemoryModel::new(Some(300 * MIB));
        model.record(1, 400 * MIB);
        model.record(2, 350 * MIB);
        assert_eq!(model.expected_peak(1000), Some(350 * MIB));
    }

    #[test]
    fn a_batch_above_the_share_is_refused_with_the_numbers() {
        let mut model = MemoryModel::new(Some(100 * MIB));
        model.record(1, 200 * MIB);
        let refused = model.admit(100, Some(1000 * MIB), 0.5).unwrap_err();
        assert_eq!(refused.allowed_bytes, 500 * MIB);
        assert_eq!(
            refused.to_string(),
            "batch size 100 is expected to need 11090 MiB, more than the 500 MiB allowed"
        );
        assert_eq!(model.admit(3, Some(1000 * MIB), 0.5), Ok(()));
        assert_eq!(
            model.admit(100, None, 0.5),
            Ok(()),
            "an unknown budget refuses nothing"
        );
    }

    #[test]
    fn a_network_above_the_share_is_refused_with_the_numbers() {
        let refused = admit_network(600 * MIB, Some(1000 * MIB), 0.5).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the network alone, with one sample, needs 600 MiB, more than the 500 MiB allowed"
        );
        assert_eq!(admit_network(500 * MIB, Some(1000 * MIB), 0.5), Ok(()));
        assert_eq!(admit_network(u64::MAX, None, 0.5), Ok(()));
    }

    #[test]
    fn no_step_is_larger_than_a_doubling() {
        let mut model = MemoryModel::new(Some(0));
        assert_eq!(model.rungs_below(1), [] as [u32; 0]);
        assert_eq!(model.rungs_below(9), [1, 2, 4, 8]);
        model.record(3, 1);
        assert_eq!(model.rungs_below(20), [6, 12]);
        assert_eq!(model.rungs_below(4), [] as [u32; 0]);
        assert_eq!(model.rungs_below(u32::MAX).last(), Some(&(6 << 29)));
    }
}
