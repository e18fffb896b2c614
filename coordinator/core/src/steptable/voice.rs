//! A device's say about one row: the series that counts for it, judged. Made by `rows`, compared by `agreement`, combined by `combine`.

use batchstep_proto::ids::{SeriesId, SweepId};

use super::assess::Assessment;
use crate::sweep::SeriesPlan;

/// One device's most telling series.
#[derive(Debug)]
pub(super) struct Voice<'a> {
    pub plan: &'a SeriesPlan,
    pub assessment: Assessment,
}

impl Voice<'_> {
    /// The device's id.
    pub(super) fn device(&self) -> &str {
        &self.plan.device.id
    }

    /// True when it has an answer.
    pub(super) const fn answers(&self) -> bool {
        self.assessment.verdict.is_answer()
    }

    /// What makes one series of a device count more than another: an answer before none, then more blocks, then the later sweep. Ids end every tie, so
    /// that the order in which series are read does not matter.
    pub(super) const fn weight(&self) -> (bool, u32, SweepId, SeriesId) {
        (
            self.answers(),
            self.assessment.blocks,
            self.plan.sweep,
            self.plan.id,
        )
    }
}
