//! The plots of nights: a series over its nights, and the devices of a model beside each other. Used by the page of nights, the report folder and
//! whoever wants one picture. Draws what the judge said and judges nothing.

mod frame;
mod legend;
mod levels;
mod marks;
mod notes;
mod runs;
mod series;
mod stems;
mod steps;
mod strips;
mod timeline;
mod words;

use std::borrow::Cow;

use crate::Theme;
use crate::draw::Picture;
use crate::history::{NightPoint, SeriesHistory, Unjudged};

pub(crate) use stems::is_file_name;
use stems::{DEVICES, SERIES, Stems, file_name};
pub(crate) use words::{result, signed_percent};

/// The nights of one series as one SVG file. Without a `theme` light or dark as the viewer asks, light where it cannot.
#[must_use]
pub fn history_picture(history: &SeriesHistory, theme: Option<Theme>) -> String {
    series::draw(&prepared(history)).file(theme)
}

/// The devices of one model beside each other as one SVG file: those of `series` that have the schedule, model, workload and setting of the first,
/// by name, at most 64 of them. Without a `theme` light or dark as the viewer asks, light where it cannot.
#[must_use]
pub fn devices_picture(series: &[SeriesHistory], theme: Option<Theme>) -> String {
    let of_first = |other: &&SeriesHistory| key(other) == key(&series[0]);
    let group: Vec<Cow<'_, SeriesHistory>> = series.iter().filter(of_first).map(prepared).collect();
    strips::draw(&group.iter().map(AsRef::as_ref).collect::<Vec<_>>()).file(theme)
}

/// The series that are drawn beside each other: one model, workload, setting and schedule.
#[derive(Debug)]
pub(crate) struct Group<'a> {
    /// The beginning of its file names, and its id in a page.
    pub(crate) stem: String,
    /// By device and host.
    pub(crate) members: Vec<Member<'a>>,
}

/// One series of a group, ready to draw.
#[derive(Debug)]
pub(crate) struct Member<'a> {
    /// The beginning of its file names, and its id in a page.
    pub(crate) stem: String,
    /// With its nights by number, and a reason for each that has no time.
    pub(crate) series: Cow<'a, SeriesHistory>,
}

/// All groups, in order of model, workload, setting and schedule.
pub(crate) fn groups(series: &[SeriesHistory]) -> Vec<Group<'_>> {
    let mut sorted: Vec<&SeriesHistory> = series.iter().collect();
    sorted.sort_by(|one, other| {
        let order = |series| (key(series), place(series));
        order(one).cmp(&order(other))
    });
    let mut stems = Stems::default();
    sorted
        .chunk_by(|one, other| key(one) == key(other))
        .map(|members| Group {
            stem: stems.unique(DEVICES, &key(members[0])),
            members: members
                .iter()
                .map(|series| {
                    let [model, workload, setting, schedule] = key(series);
                    let (device, host) = place(series);
                    let words = [device, workload, host, setting, model, schedule];
                    Member {
                        stem: stems.unique(SERIES, &words),
                        series: prepared(series),
                    }
                })
                .collect(),
        })
        .collect()
}

impl Group<'_> {
    /// "linear on NVIDIA H100".
    pub(crate) fn name(&self) -> String {
        self.first(|series| format!("{} on {}", series.workload, series.model))
    }

    pub(crate) fn setting(&self) -> String {
        self.first(|series| series.setting.clone())
    }

    pub(crate) fn schedule(&self) -> String {
        self.first(|series| series.schedule.clone())
    }

    fn first(&self, of: impl Fn(&SeriesHistory) -> String) -> String {
        self.members
            .first()
            .map_or_else(String::new, |member| of(&member.series))
    }

    /// Its devices beside each other; nothing where there is only one.
    pub(crate) fn devices(&self) -> Option<Picture> {
        let series: Vec<&SeriesHistory> =
            self.members.iter().map(|it| it.series.as_ref()).collect();
        (series.len() > 1).then(|| strips::draw(&series))
    }

    /// Name of the file of [`Self::devices`].
    pub(crate) fn file_name(&self, theme: Theme) -> String {
        file_name(&self.stem, theme)
    }
}

impl Member<'_> {
    /// The series over its nights.
    pub(crate) fn picture(&self) -> Picture {
        series::draw(&self.series)
    }

    /// Name of the file of [`Self::picture`].
    pub(crate) fn file_name(&self, theme: Theme) -> String {
        file_name(&self.stem, theme)
    }
}

/// What is the same for the members of a group.
fn key(series: &SeriesHistory) -> [&str; 4] {
    [
        &series.model,
        &series.workload,
        &series.setting,
        &series.schedule,
    ]
}

/// What tells members of a group apart.
fn place(series: &SeriesHistory) -> (&str, &str) {
    (&series.device, &series.host)
}

/// The series with its nights by number, and with a reason for each that has no time.
fn prepared(history: &SeriesHistory) -> Cow<'_, SeriesHistory> {
    let is_unexplained = |night: &NightPoint| night.unjudged.is_none() && !night.has_time();
    if history.nights.is_sorted_by_key(|night| night.number)
        && !history.nights.iter().any(is_unexplained)
    {
        return Cow::Borrowed(history);
    }
    let mut prepared = history.clone();
    prepared.nights.sort_by_key(|night| night.number);
    for night in &mut prepared.nights {
        if is_unexplained(night) {
            night.unjudged = Some(Unjudged::Missing {
                reason: "no time on record".to_owned(),
            });
        }
    }
    Cow::Owned(prepared)
}
