//! What a series says by itself, before devices are compared: all that its blocks are needed for, in a form that can be kept when they are gone.
//!
//! Made of a history, or read back from the store, which keeps it as JSON; combined by `rows`. A row from an answer that was kept is, to the last bit, the
//! row that its history would have made. Fields are only ever added, with a default: answers outlive the batchstep that wrote them.

use std::{borrow::Cow, collections::BTreeSet};

use batchstep_proto::domain::Software;
use serde::{Deserialize, Serialize};

use super::{assess::Assessment, key, row::PointRow, rows::SeriesResult, verdict::Verdict};
use crate::sweep::History;

/// What to do where devices of different software shared a series.
const APART: &str =
    "measure the devices that the reason names apart, or give all of them the same software";

/// What one series says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// One for each software that it was measured with, in order of first use; mostly a single one.
    pub(super) parts: Vec<Part>,
}

/// What a series says of one software.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Of the worker that measured, as it is in the row's key.
    pub software: Software,
    /// Of the device, as it is in the row's key.
    pub compute_units: Option<u32>,
    /// The answer itself.
    pub assessment: Assessment,
}

impl Answer {
    /// Judges a series: the costly part of a table.
    #[must_use]
    pub fn of(series: &SeriesResult<'_>) -> Self {
        let parts = key::by_software(series.history);
        let answers = parts.iter().map(|part| {
            let mut assessment = Assessment::of(&SeriesResult {
                history: part,
                ..*series
            });
            if assessment.verdict == Verdict::Insufficient
                && let Some(remark) = split_by_device(part, &parts)
            {
                assessment.inference.reason.push_str("; ");
                assessment.inference.reason.push_str(&remark);
                assessment.inference.next_action = Some(APART.to_owned());
            }
            let (software, compute_units) = key::told(series.plan, part);
            Part {
                software,
                compute_units,
                assessment,
            }
        });
        Self {
            parts: answers.collect(),
        }
    }

    /// The point estimates at each batch size, for each software that the series was measured with.
    pub fn points(&self) -> impl Iterator<Item = (&Software, &[PointRow])> {
        let parts = self.parts.iter();
        parts.map(|part| (&part.software, part.assessment.points.as_slice()))
    }
}

/// What to say of a part of a shared series whose devices have other software than those of the other parts; `None` where the software of a device was
/// replaced meanwhile.
fn split_by_device(part: &History, parts: &[Cow<'_, History>]) -> Option<String> {
    let devices = |history: &History| -> BTreeSet<String> {
        let told = history.rounds.iter().filter(|it| it.facts.is_some());
        told.map(|it| it.round.device_id.clone()).collect()
    };
    let others = parts.iter().map(AsRef::as_ref);
    let others = others.filter(|other| !std::ptr::eq(*other, part));
    let (own, others): (_, BTreeSet<String>) = (devices(part), others.flat_map(devices).collect());
    let names = |devices: &BTreeSet<String>| Vec::from_iter(devices.clone()).join(", ");
    let has = if own.len() == 1 { "has" } else { "have" };
    (!own.is_empty() && !others.is_empty() && own.is_disjoint(&others)).then(|| {
        format!(
            "{} {has} other software than {}, with which the measurement was shared",
            names(&own),
            names(&others)
        )
    })
}
