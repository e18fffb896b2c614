//! Where nights lie along the horizontal axis, and which dates to label: by civil date, so that a week without nights is a week wide, and by
//! number where the dates do not say an order.

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::draw::{Scale, width};
use crate::history::NightPoint;

/// Two nights are neighbours if their numbers are and they lie at most this many usual distances apart: a weekend passes, a lost week does not.
const NEIGHBOURS_WITHIN: f64 = 4.5;
/// An axis by date is given up where it would be this many times as long as the nights on it.
const SPARSE: f64 = 30.0;
/// Distances between labelled dates, days.
const DAYS: [i64; 4] = [1, 2, 7, 14];
/// More of them than this are never without touching.
const MOST_DAYS: i64 = 100;
/// The same in months.
const MONTHS: [i64; 8] = [1, 2, 3, 6, 12, 24, 60, 120];
/// Size of the labels, pixels, and the room between two of them.
const LABEL_SIZE: f64 = 12.0;
const LABEL_GAP: f64 = 14.0;

/// The nights of one picture in their order.
#[derive(Debug, Clone)]
pub(super) struct Timeline {
    /// Number, date and place of each night, by number.
    nights: Vec<(u32, String, f64)>,
    /// Days since 1970 of the dates, which then say the places.
    is_by_date: bool,
    /// The usual distance between two nights.
    pace: f64,
}

impl Timeline {
    pub(super) fn new<'a>(nights: impl IntoIterator<Item = &'a NightPoint>) -> Self {
        let keys: BTreeSet<(u32, &str)> = nights
            .into_iter()
            .map(|night| (night.number, night.date.as_str()))
            .collect();
        let days: Option<Vec<i64>> = keys.iter().map(|(_, date)| day_of(date)).collect();
        let days = days.filter(|days| days.is_sorted() && !is_sparse(days));
        let places = match &days {
            Some(days) => spread_within_days(days),
            None => keys.iter().map(|(number, _)| f64::from(*number)).collect(),
        };
        Self {
            pace: usual_distance(&places),
            is_by_date: days.is_some(),
            nights: keys
                .into_iter()
                .zip(places)
                .map(|((number, date), place)| (number, date.to_owned(), place))
                .collect(),
        }
    }

    /// The horizontal axis from `start` to `end`, pixels, with room for half a night at each end.
    pub(super) fn scale(&self, start: f64, end: f64) -> Scale {
        let place = |night: Option<&(u32, String, f64)>| night.map_or(0.0, |night| night.2);
        let margin = 0.5 * self.pace;
        Scale::linear(
            place(self.nights.first()) - margin,
            place(self.nights.last()) + margin,
            start,
            end,
        )
    }

    /// Where a night lies, in the axis' own unit; zero for one that is not of this picture.
    pub(super) fn place(&self, night: &NightPoint) -> f64 {
        let key = (night.number, night.date.as_str());
        self.nights
            .binary_search_by(|(number, date, _)| (*number, date.as_str()).cmp(&key))
            .map_or(0.0, |index| self.nights[index].2)
    }

    /// Whether no other night is later than this one.
    pub(super) fn ends_with(&self, night: &NightPoint) -> bool {
        self.nights.last().is_none_or(|last| last.0 == night.number)
    }

    /// Right before a night, where a segment begins.
    pub(super) fn before(&self, night: &NightPoint) -> f64 {
        self.place(night) - 0.5 * self.pace
    }

    /// The usual distance between two nights.
    pub(super) fn pace(&self) -> f64 {
        self.pace
    }

    /// Whether `next` is the night after `night`, without one in between that is not known of.
    pub(super) fn are_neighbours(&self, night: &NightPoint, next: &NightPoint) -> bool {
        let distance = self.place(next) - self.place(night);
        night.number.checked_add(1) == Some(next.number)
            && distance <= NEIGHBOURS_WITHIN * self.pace
    }

    /// Title of the axis.
    pub(super) fn title(&self) -> &'static str {
        if self.is_by_date {
            "date of the night, in the schedule's time zone"
        } else {
            "number of the night: their dates do not say where they lie"
        }
    }

    /// Places to label with their labels, none of which touch.
    pub(super) fn ticks(&self, scale: &Scale) -> Vec<(f64, String)> {
        let (Some(first), Some(last)) = (self.nights.first(), self.nights.last()) else {
            return Vec::new();
        };
        if self.is_by_date {
            dates(scale, first.2.floor() as i64, last.2.floor() as i64)
        } else {
            numbers(scale, first.2, last.2)
        }
    }
}

/// Whether nights of these days, which ascend, would be a few spots on an axis by date: a clock was years off.
fn is_sparse(days: &[i64]) -> bool {
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return false;
    };
    let places: Vec<f64> = days.iter().map(|day| *day as f64).collect();
    let wide = usual_distance(&places) * days.len() as f64;
    (last - first) as f64 > SPARSE * wide
}

/// Places of nights of these days: the k-th of n nights of a day is k / n of a day after its beginning.
fn spread_within_days(days: &[i64]) -> Vec<f64> {
    days.chunk_by(|one, other| one == other)
        .flat_map(|same| {
            let count = same.len() as f64;
            same.iter()
                .enumerate()
                .map(move |(index, day)| *day as f64 + index as f64 / count)
        })
        .collect()
}

/// The median distance between neighbours; one where there are none.
fn usual_distance(places: &[f64]) -> f64 {
    let mut distances: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
    distances.sort_by(f64::total_cmp);
    let median = distances.get(distances.len() / 2).copied();
    median.filter(|distance| *distance > 0.0).unwrap_or(1.0)
}

/// The first choice of dates whose labels do not touch: days, Mondays, then the first of a month.
fn dates(scale: &Scale, first: i64, last: i64) -> Vec<(f64, String)> {
    let day_label = |day: i64| Some((day as f64, date_of(day)?.to_string()));
    let few = |step: &i64| (last - first) / step <= MOST_DAYS;
    let by_days = DAYS.into_iter().filter(few).map(|step| {
        // 1970-01-05 was a Monday.
        let phase = if step % 7 == 0 { 4 } else { first };
        (first..=last)
            .filter(|day| (day - phase).rem_euclid(step) == 0)
            .filter_map(day_label)
            .collect::<Vec<_>>()
    });
    let by_months = MONTHS.into_iter().map(|step| {
        let (Some(from), Some(to)) = (date_of(first), date_of(last)) else {
            return Vec::new();
        };
        let month = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
        (month(from)..=month(to))
            .filter(|month| month.rem_euclid(step) == 0)
            .filter_map(|month| {
                let year = i16::try_from(month.div_euclid(12)).ok()?;
                let first =
                    Date::new(year, i8::try_from(month.rem_euclid(12)).ok()? + 1, 1).ok()?;
                Some((days_of(first), format!("{year:04}-{:02}", first.month())))
            })
            .filter(|(day, _)| (first..=last).contains(day))
            .map(|(day, label)| (day as f64, label))
            .collect()
    });
    by_days
        .chain(by_months)
        .find(|ticks| fit(scale, ticks))
        .filter(|ticks| !ticks.is_empty())
        // Nights within a month that have no Monday, or over centuries.
        .unwrap_or_else(|| day_label(first).into_iter().collect())
}

fn numbers(scale: &Scale, first: f64, last: f64) -> Vec<(f64, String)> {
    (0..)
        .flat_map(|power| [1, 2, 5].map(|factor| factor * 10_i64.pow(power)))
        .take(30)
        .map(|step| {
            let from = (first as i64).div_euclid(step);
            let to = (last as i64).div_euclid(step);
            // More than a label for every pixel cannot fit.
            (from..=to.min(from + 4000))
                .map(|multiple| multiple * step)
                .filter(|number| *number as f64 >= first)
                .map(|number| (number as f64, number.to_string()))
                .collect::<Vec<_>>()
        })
        .find(|ticks| fit(scale, ticks))
        .unwrap_or_default()
}

fn fit(scale: &Scale, ticks: &[(f64, String)]) -> bool {
    ticks.windows(2).all(|pair| {
        let half = |label: &str| width(label, LABEL_SIZE) / 2.0;
        scale.at(pair[1].0) - scale.at(pair[0].0) >= half(&pair[0].1) + half(&pair[1].1) + LABEL_GAP
    })
}

fn day_of(date: &str) -> Option<i64> {
    date.parse().ok().map(days_of)
}

fn days_of(date: Date) -> i64 {
    i64::from((date - EPOCH).get_days())
}

fn date_of(day: i64) -> Option<Date> {
    EPOCH
        .checked_add(jiff::Span::new().try_days(day).ok()?)
        .ok()
}

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

#[cfg(test)]
mod tests {
    use super::*;

    fn night(number: u32, date: &str) -> NightPoint {
        NightPoint {
            number,
            date: date.to_owned(),
            ..NightPoint::default()
        }
    }

    fn labels(timeline: &Timeline, from: f64, to: f64) -> Vec<String> {
        let ticks = timeline.ticks(&timeline.scale(from, to));
        ticks.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn dates_say_the_places_and_a_lost_week_is_a_week_wide() {
        let nights = [
            night(1, "2026-02-27"),
            night(2, "2026-02-28"),
            night(3, "2026-03-01"),
            night(4, "2026-03-08"),
        ];
        let timeline = Timeline::new(&nights);
        let place = |index: usize| timeline.place(&nights[index]);
        assert_eq!((place(2) - place(1), place(3) - place(2)), (1.0, 7.0));
        assert!(timeline.are_neighbours(&nights[0], &nights[1]));
        assert!(!timeline.are_neighbours(&nights[2], &nights[3]));
        assert!(!timeline.are_neighbours(&nights[0], &nights[2]));
    }

    #[test]
    fn weekends_do_not_part_the_nights_of_a_week() {
        let (friday, monday) = (night(5, "2026-11-27"), night(6, "2026-11-30"));
        let week = (23..27).map(|day| night(day - 22, &format!("2026-11-{day}")));
        let nights: Vec<NightPoint> = week.chain([friday.clone(), monday.clone()]).collect();
        assert!(Timeline::new(&nights).are_neighbours(&friday, &monday));
    }

    #[test]
    fn two_nights_of_one_date_lie_beside_each_other() {
        let nights = [night(1, "2026-03-01"), night(2, "2026-03-01")];
        let timeline = Timeline::new(&nights);
        assert_eq!(timeline.place(&nights[1]) - timeline.place(&nights[0]), 0.5);
    }

    #[test]
    fn numbers_say_the_places_where_dates_do_not() {
        for date in ["2026-03-01", "", "yesterday", "2026-02-30"] {
            let nights = [night(7, "2026-03-05"), night(8, date)];
            let timeline = Timeline::new(&nights);
            assert_eq!(timeline.place(&nights[1]), 8.0, "{date}");
            assert_eq!(labels(&timeline, 0.0, 800.0), ["7", "8"], "{date}");
        }
    }

    #[test]
    fn a_clock_that_was_years_off_does_not_squeeze_the_others() {
        let mut nights: Vec<NightPoint> = (1..=9)
            .map(|number| night(number, &format!("2026-03-0{number}")))
            .collect();
        nights.push(night(10, "2036-01-01"));
        assert_eq!(Timeline::new(&nights).place(&nights[9]), 10.0);
    }

    #[test]
    fn labels_are_days_mondays_or_months() {
        let run = |count: i64| -> Vec<NightPoint> {
            let first = day_of("2025-10-30").unwrap();
            (0..count)
                .map(|index| night(index as u32, &date_of(first + index).unwrap().to_string()))
                .collect()
        };
        let of = |count| labels(&Timeline::new(&run(count)), 0.0, 880.0);
        assert_eq!(of(3), ["2025-10-30", "2025-10-31", "2025-11-01"]);
        assert_eq!(of(30)[..2], ["2025-11-03", "2025-11-10"]);
        assert_eq!(of(400)[..2], ["2025-11", "2026-01"]);
        assert_eq!(of(0), [] as [&str; 0]);
        for count in [1, 2, 6, 10, 90, 400, 4000, 40_000] {
            assert!((1..=14).contains(&of(count).len()), "{count}");
        }
    }
}
