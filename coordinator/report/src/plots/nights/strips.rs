//! The devices of a model beside each other: one strip each, all on one scale and one timeline, so that the one that differs is seen. Times are
//! drawn relative to the median of the devices over all nights: a shift of all of them shows in every strip, a slow device lies high in its own.

use super::frame::{self, MARGIN, WIDTH};
use super::legend::{self, Key};
use super::marks::{Marks, Tips};
use super::runs::runs;
use super::timeline::Timeline;
use super::words;
use crate::cells;
use crate::draw::{Anchor, Canvas, Picture, Point, Scale, ellipsis};
use crate::history::{Hit, NightPoint, SeriesHistory, Unjudged};

/// Most devices that get a strip: more are no longer looked at.
const DEVICES: usize = 64;
/// Where the strips begin and end; devices' names are left, their last nights right of them.
const LEFT: f64 = 270.0;
const RIGHT: f64 = WIDTH - 124.0;
/// Height of a strip where there are few devices and where there are many, what counts as few, and the room between two strips, pixels.
const HIGH: f64 = 56.0;
const LOW: f64 = 40.0;
const FEW: usize = 12;
const GAP: f64 = 7.0;
/// Times beyond this many times the devices' median, or its inverse, are drawn at the strip's edge.
const REACH: f64 = 1.6;
/// The axis spans at least this share on both sides of the median.
const LEAST: f64 = 0.02;
/// Height of the bars at a strip's edges, and size of a pennant, pixels.
const BAR: f64 = 3.0;
const PENNANT: (f64, f64) = (7.0, 6.0);

/// Draws `series`, which are of one group and have their nights ordered by number.
pub(super) fn draw(series: &[&SeriesHistory]) -> Picture {
    let shown = shown(series);
    let mut canvas = Canvas::default();
    let timeline = Timeline::new(shown.iter().flat_map(|series| &series.nights));
    let x = timeline.scale(LEFT, RIGHT);
    let top = heading(&mut canvas, series);
    let strips = Strips {
        reference: reference(series),
        timeline,
        x,
        top,
        height: if shown.len() > FEW { LOW } else { HIGH },
    };
    let ratios = strips.ratios(&shown);
    for (index, series) in shown.iter().enumerate() {
        strips.draw(&mut canvas, series, index, ratios);
    }
    let mut end = strips.top_of(shown.len()) - GAP;
    frame::dates(&mut canvas, &strips.timeline, &strips.x, end);
    end += 32.0;
    if series.len() > shown.len() {
        let more = series.len() - shown.len();
        let words = format!("and {more} more {}", devices(more));
        canvas.text("note", Anchor::Start, (MARGIN, end), &words);
    }
    canvas.finish(
        (WIDTH as u32, (end + MARGIN).ceil() as u32),
        &title(series),
        &description(series),
    )
}

/// The devices that get a strip, by name: all, or as many as there is room for, those with an alarm before others.
fn shown<'a>(series: &[&'a SeriesHistory]) -> Vec<&'a SeriesHistory> {
    let mut shown = series.to_vec();
    shown.sort_by_key(|series| !series.has_alarm());
    shown.truncate(DEVICES);
    shown.sort_by(|one, other| (&one.device, &one.host).cmp(&(&other.device, &other.host)));
    shown
}

/// Draws name, answer and legend; returns the top of the first strip.
fn heading(canvas: &mut Canvas, series: &[&SeriesHistory]) -> f64 {
    let first = series.first();
    let name = first.map_or_else(String::new, |first| {
        format!("{} on every {}", first.workload, first.model)
    });
    let mut about: Vec<String> = vec![format!("{} {}", series.len(), devices(series.len()))];
    about.extend(first.map(|first| first.setting.clone()));
    about.extend(first.map(|first| words::span(&first.nights)));
    about.retain(|part| !part.is_empty());
    let y = frame::heading(canvas, [&name, &about.join(" · "), &answer(series)]);
    let nights = || series.iter().flat_map(|series| &series.nights);
    let unjudged = |wanted: fn(&Unjudged) -> bool| {
        nights().any(|night| night.unjudged.as_ref().is_some_and(wanted))
    };
    let hit = |wanted| {
        nights().any(|night| night.hit == Some(wanted) && night.judged_seconds().is_some())
    };
    let keys: Vec<Key> = [
        (Key::Night, true),
        (Key::Level, true),
        (Key::Slower, hit(Hit::Slower)),
        (Key::Faster, hit(Hit::Faster)),
        (Key::Alarm, nights().any(|night| night.is_alarm)),
        (
            Key::Missing,
            unjudged(|why| matches!(why, Unjudged::Missing { .. })),
        ),
        (
            Key::Invalid,
            unjudged(|why| matches!(why, Unjudged::Invalid { .. })),
        ),
        (Key::Change, series.iter().any(|series| series.has_change())),
        (
            Key::Flag,
            series
                .iter()
                .any(|series| series.acknowledgements().next().is_some()),
        ),
    ]
    .into_iter()
    .filter_map(|(key, is_there)| is_there.then_some(key))
    .collect();
    let height = legend::draw(canvas, &keys, MARGIN, WIDTH - MARGIN, y);
    let top = y + height + 26.0;
    let title = (MARGIN, top - 14.0);
    canvas.text(
        "axis-title",
        Anchor::Start,
        title,
        "iteration time, against the median of the devices over these nights",
    );
    canvas.text(
        "axis-title",
        Anchor::Start,
        (RIGHT + 12.0, top - 14.0),
        "last night",
    );
    top
}

fn devices(count: usize) -> &'static str {
    if count == 1 { "device" } else { "devices" }
}

/// Which devices have an alarm now.
fn answer(series: &[&SeriesHistory]) -> String {
    let mut alarming: Vec<&str> = series
        .iter()
        .filter(|series| series.nights.last().is_some_and(|night| night.is_alarm))
        .map(|series| series.device.as_str())
        .collect();
    alarming.sort_unstable();
    match alarming.len() {
        0 => "Last night: no alarm".to_owned(),
        count => format!(
            "Last night: alarm on {count} of {} {}: {}",
            series.len(),
            devices(series.len()),
            alarming.join(", ")
        ),
    }
}

fn title(series: &[&SeriesHistory]) -> String {
    let name = |first: &&SeriesHistory| format!("{}, {}", first.model, first.workload);
    let name = series.first().map_or_else(String::new, name);
    format!("Devices over nights: {name}")
}

fn description(series: &[&SeriesHistory]) -> String {
    let lines: Vec<String> = shown(series)
        .iter()
        .map(|series| {
            let last = series.nights.last();
            let last = last.map_or_else(|| "no night on record".to_owned(), words::night);
            format!("{} in {}: {last}", series.device, series.host)
        })
        .collect();
    format!("{}. {}.", answer(series), lines.join(". "))
}

/// The median over devices of their median time, seconds.
fn reference(series: &[&SeriesHistory]) -> Option<f64> {
    let own = series.iter().filter_map(|series| {
        median(
            series
                .nights
                .iter()
                .filter_map(NightPoint::judged_seconds)
                .collect(),
        )
    });
    median(own.collect())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    let upper = *values.get(count / 2)?;
    Some(if count % 2 == 1 {
        upper
    } else {
        0.5 * (values[count / 2 - 1] + upper)
    })
}

/// What all strips share.
struct Strips {
    /// Seconds that 1 stands for.
    reference: Option<f64>,
    timeline: Timeline,
    x: Scale,
    /// Top of the first strip.
    top: f64,
    /// Height of a strip.
    height: f64,
}

impl Strips {
    fn top_of(&self, index: usize) -> f64 {
        self.top + (self.height + GAP) * index as f64
    }

    fn ratio(&self, night: &NightPoint) -> Option<f64> {
        Some((night.judged_seconds()? / self.reference?).clamp(REACH.recip(), REACH))
    }

    /// Ends of the vertical axis.
    fn ratios(&self, series: &[&SeriesHistory]) -> (f64, f64) {
        let nights = series.iter().flat_map(|series| &series.nights);
        nights
            .filter_map(|night| self.ratio(night))
            .fold((1.0 - LEAST, 1.0 + LEAST), |(low, high), ratio| {
                (low.min(ratio), high.max(ratio))
            })
    }

    fn draw(
        &self,
        canvas: &mut Canvas,
        series: &SeriesHistory,
        index: usize,
        (low, high): (f64, f64),
    ) {
        let top = self.top_of(index);
        let y = Scale::linear(low, high, top + self.height - 8.0, top + 10.0);
        canvas.rectangle("band", (LEFT, top), (RIGHT - LEFT, self.height), 0.0);
        for tick in y.ticks(2) {
            let at = y.at(tick);
            canvas.line("grid", (LEFT, at), (RIGHT, at));
            if index == 0 {
                let label = axis_label(tick - 1.0);
                let place = (LEFT - 6.0, at + 4.0);
                canvas.text("tick", Anchor::End, place, &label);
            }
        }
        canvas.line("limit", (LEFT, y.at(1.0)), (RIGHT, y.at(1.0)));
        names(canvas, series, top);
        self.changes(canvas, series, top);
        self.edges(canvas, series, top);
        let place = |night: &NightPoint| -> Option<Point> {
            let ratio = self.ratio(night)?;
            Some((self.x.at(self.timeline.place(night)), y.at(ratio)))
        };
        let measured = |night: &NightPoint| night.judged_seconds().map(|_| night.segment);
        for run in runs(&series.nights, &self.timeline, measured) {
            let line: Vec<Point> = run.nights.iter().filter_map(|night| place(night)).collect();
            canvas.polyline("trail", &line);
        }
        let spacing = self.timeline.pace() * self.x.density();
        let marks = Marks::new(spacing, [1.1, 2.4], [2.6, 3.8], Tips::Notable);
        marks.draw(canvas, &series.nights, place);
        for (night, word) in series.acknowledgements() {
            let at = (self.x.at(self.timeline.place(night)), top);
            canvas.line("pole", at, (at.0, top + self.height));
            let tip = words::acknowledged(night, word);
            canvas.pennant("flag", at, PENNANT, &tip);
        }
        self.last(canvas, series, top);
    }

    fn changes(&self, canvas: &mut Canvas, series: &SeriesHistory, top: f64) {
        for night in series.segment_starts() {
            let at = self.x.at(self.timeline.before(night));
            canvas.line("change", (at, top), (at, top + self.height));
            let tip = words::changed(night);
            canvas.diamond("change-foot", (at, top + self.height), 3.5, &tip);
        }
    }

    /// Bars at the strip's edges: open alarms above, nights that were not judged below.
    fn edges(&self, canvas: &mut Canvas, series: &SeriesHistory, top: f64) {
        let alarms = |night: &NightPoint| night.is_alarm.then_some(());
        for run in runs(&series.nights, &self.timeline, alarms) {
            let (left, wide) = run.bar(&self.timeline, &self.x);
            let tip = format!("{}: an alarm is open", run.when());
            canvas.bar("lane-alarm", (left, top), (wide, BAR), &tip);
        }
        let unjudged = NightPoint::why_unjudged;
        for run in runs(&series.nights, &self.timeline, unjudged) {
            let (left, wide) = run.bar(&self.timeline, &self.x);
            let class = match run.common {
                Unjudged::Missing { .. } => "lane-missing",
                Unjudged::Invalid { .. } => "lane-invalid",
            };
            let tip = format!("{}: {}", run.when(), words::unjudged(run.common));
            canvas.bar(class, (left, top + self.height - BAR), (wide, BAR), &tip);
        }
    }

    /// The last night in words, right of the strip.
    fn last(&self, canvas: &mut Canvas, series: &SeriesHistory, top: f64) {
        let Some(last) = series.nights.last() else {
            return;
        };
        let limit = WIDTH - RIGHT - 12.0 - 6.0;
        let at = |line: f64| (RIGHT + 12.0, top + line);
        let class = if last.is_alarm { "strong" } else { "" };
        // A device that is no longer measured: its last night is not that of the others.
        let ended = (!self.timeline.ends_with(last)).then(|| format!("on {}", last.date));
        let (first, second) = match (&last.unjudged, last.judged_seconds(), self.reference) {
            (None, Some(seconds), Some(reference)) => (
                words::signed_percent(seconds / reference - 1.0),
                last.verdict.clone(),
            ),
            (Some(Unjudged::Missing { reason }), ..) => ("missing".to_owned(), reason.clone()),
            (Some(Unjudged::Invalid { reason }), ..) => ("invalid".to_owned(), reason.clone()),
            _ => return,
        };
        canvas.text(
            class,
            Anchor::Start,
            at(17.0),
            &ellipsis(&first, 13.5, limit),
        );
        canvas.text(
            "note",
            Anchor::Start,
            at(33.0),
            &ellipsis(&ended.unwrap_or(second), 12.0, limit),
        );
    }
}

/// "+10 %", "0 %".
fn axis_label(share: f64) -> String {
    let words = cells::percent(share.abs());
    match share {
        _ if share.abs() < 1e-9 => "0 %".to_owned(),
        ..0.0 => format!("−{words}"),
        _ => format!("+{words}"),
    }
}

/// The device and its host, left of the strip.
fn names(canvas: &mut Canvas, series: &SeriesHistory, top: f64) {
    // The first strip's labels of the axis are there, too.
    let limit = LEFT - MARGIN - 56.0;
    let device = ellipsis(&series.device, 13.5, limit);
    let class = if series.nights.last().is_some_and(|night| night.is_alarm) {
        "strong"
    } else {
        ""
    };
    canvas.text(class, Anchor::Start, (MARGIN, top + 17.0), &device);
    let host = ellipsis(&series.host, 12.0, limit);
    canvas.text("note", Anchor::Start, (MARGIN, top + 33.0), &host);
}
