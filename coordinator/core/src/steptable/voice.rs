//! A device's say about one row: the series that counts for it, judged. Devices that shared a series have one say, which is that of the first. Made by `rows`, compared by `agreement`, combined by `combine`.

use batchstep_proto::ids::{SeriesId, SweepId};

use super::assess::Assessment;
use crate::sweep::SeriesPlan;

/// One device's most telling series.
#[derive(Debug)]
pub(super) struct Voice<'a> {
    pub plan: &'a SeriesPlan,
    pub assessment: &'a Assessment,
}

impl Voice<'_> {
    /// The device's id.
    pub(super) fn device(&self) -> &str {
        &self.plan.device.id
    }

    /// Ids of the devices behind it: itself, or those that shared the series.
    pub(super) fn devices(&self) -> impl Iterator<Item = &str> {
        let shared = &self.assessment.contributions;
        let own = shared.is_empty().then(|| self.device());
        own.into_iter()
            .chain(shared.iter().map(|it| it.device.as_str()))
    }

    /// The device at whose level its times are: itself or, of devices that shared the series, the one that stands for all.
    pub(super) fn level(&self) -> &str {
        let mut shared = self.assessment.contributions.iter();
        shared
            .find(|it| it.relative_time == Some(1.0))
            .map_or_else(|| self.device(), |it| &it.device)
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
