//! The plot of one series over its nights: times with baseline and gates, hits and alarms, what changed and who acknowledged; below it the nights
//! that were not judged and the step.

use super::legend::{self, Key};
use super::notes::{self, Lane, Note, Topic};
use super::runs::runs;
use super::steps::StepPanel;
use super::timeline::Timeline;
use super::words;
use crate::cells;
use crate::draw::{Anchor, Canvas, Picture, Point, Scale, ellipsis, wrap};
use crate::history::{Hit, NightPoint, SeriesHistory, Unjudged};
use crate::plots::quantity::Quantity;

/// Width of the plot, pixels: wider than those against batch size, for a year of nights.
pub(super) const WIDTH: f64 = 1000.0;
/// Distance of texts from the border.
pub(super) const MARGIN: f64 = 24.0;
/// Where the data area begins and ends.
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 44.0;
/// Height of the times' panel.
const PANEL: f64 = 250.0;
/// Height of a lane of nights that were not judged, and of its bars.
const LANE: f64 = 16.0;
const BAR: f64 = 6.0;
/// Sizes by which the widths of bold texts are estimated, pixels: bold glyphs are wider.
const TITLE_ESTIMATE: f64 = 20.5;
const LEAD_ESTIMATE: f64 = 15.0;
/// Most entries of the list below the plot, and the height of its lines.
const ENTRIES: usize = 30;
const ENTRY_LINE: f64 = 17.0;

/// Draws the nights of `history`, which are ordered by number.
pub(super) fn draw(history: &SeriesHistory) -> Picture {
    let mut canvas = Canvas::default();
    let mut y = heading(&mut canvas, history);
    if history.nights.is_empty() {
        let place = (0.5 * (LEFT + RIGHT), y + 40.0);
        canvas.text("note", Anchor::Middle, place, "No night is on record.");
        y += 80.0;
    } else {
        y = Plot::new(history, y).draw(&mut canvas);
    }
    canvas.finish(
        (WIDTH as u32, (y + MARGIN).ceil() as u32),
        &format!("Iteration time over nights: {}", history.name()),
        &words::description(history),
    )
}

/// Name, place and answer; returns the middle of the next line.
fn heading(canvas: &mut Canvas, history: &SeriesHistory) -> f64 {
    let limit = WIDTH - 2.0 * MARGIN;
    let lines = [
        ("title", 38.0, history.name(), TITLE_ESTIMATE),
        ("sub", 59.0, words::about(history), 13.0),
        ("lead", 86.0, words::headline(history), LEAD_ESTIMATE),
    ];
    for (class, y, words, size) in lines {
        let words = ellipsis(&words, size, limit);
        canvas.text(class, Anchor::Start, (MARGIN, y), &words);
    }
    112.0
}

/// A series with the places of everything in its picture.
struct Plot<'a> {
    history: &'a SeriesHistory,
    timeline: Timeline,
    x: Scale,
    y: Scale,
    /// Middle of the legend's first line.
    legend: f64,
    keys: Vec<Key>,
    notes: Vec<Note>,
    lane: Lane,
    /// Ends of the times' panel.
    top: f64,
    bottom: f64,
    steps: StepPanel<'a>,
    /// Top of the panel of the step.
    steps_top: f64,
}

impl<'a> Plot<'a> {
    fn new(history: &'a SeriesHistory, legend: f64) -> Self {
        let timeline = Timeline::new(&history.nights);
        let x = timeline.scale(LEFT, RIGHT);
        let keys = keys(history);
        let legend_height = legend::draw(
            &mut Canvas::default(),
            &keys,
            MARGIN,
            WIDTH - MARGIN,
            legend,
        );
        let steps = StepPanel::new(&history.nights, &timeline);
        let mut notes = notes(history, |night| x.at(timeline.place(night)));
        let lane = notes::lane(&notes, WIDTH - 6.0);
        // Axis title, then the labels of the notes.
        let top = legend + legend_height + 14.0 + lane.rows as f64 * notes::ROW + 8.0;
        let bottom = top + PANEL;
        let unjudged = LANE * unjudged_lanes(history).len() as f64;
        let steps_top = bottom + unjudged + if steps.height() > 0.0 { 26.0 } else { 0.0 };
        let y = times(&history.nights, top, bottom);
        for (note, night) in notes.iter_mut().zip(noted(history)) {
            note.foot = match note.topic {
                Topic::Change => steps_top + steps.height(),
                Topic::Acknowledgement => night
                    .judged_seconds()
                    .map_or(bottom, |seconds| y.at(seconds)),
            };
        }
        Self {
            history,
            timeline,
            x,
            y,
            legend,
            keys,
            notes,
            lane,
            top,
            bottom,
            steps,
            steps_top,
        }
    }

    /// Draws everything and returns where it ends.
    fn draw(&self, canvas: &mut Canvas) -> f64 {
        legend::draw(canvas, &self.keys, MARGIN, WIDTH - MARGIN, self.legend);
        self.axes(canvas);
        self.gates(canvas);
        self.lines(canvas);
        self.points(canvas);
        self.unjudged(canvas);
        self.steps.draw(
            canvas,
            &self.timeline,
            &self.x,
            (LEFT, RIGHT),
            self.steps_top,
        );
        self.labels(canvas);
        self.entries(canvas, self.end() + 48.0)
    }

    /// Where the panels end and the dates begin.
    fn end(&self) -> f64 {
        self.steps_top + self.steps.height()
    }

    fn place(&self, night: &NightPoint, seconds: f64) -> Point {
        (self.x.at(self.timeline.place(night)), self.y.at(seconds))
    }

    /// Pixels from one night to the next.
    fn spacing(&self) -> f64 {
        self.timeline.pace() * self.x.density()
    }

    fn axes(&self, canvas: &mut Canvas) {
        let is_measured = self.has_levels();
        if is_measured {
            let (title, factor) = Quantity::Seconds.axis(self.y.high());
            let remark = if self.y.is_logarithmic() {
                "logarithmic"
            } else {
                "axis does not begin at 0"
            };
            let title = if self.y.has_zero() {
                title
            } else {
                format!("{title} ({remark})")
            };
            let title_y = self.top - 12.0 - self.lane.rows as f64 * notes::ROW;
            canvas.text("axis-title", Anchor::Start, (MARGIN, title_y), &title);
            for tick in self.y.ticks(6) {
                let y = self.y.at(tick);
                canvas.line("grid", (LEFT, y), (RIGHT, y));
                let label = cells::significant(tick * factor, 4);
                canvas.text("tick", Anchor::End, (LEFT - 9.0, y + 4.0), &label);
            }
        } else {
            let middle = (0.5 * (LEFT + RIGHT), 0.5 * (self.top + self.bottom));
            canvas.text("note", Anchor::Middle, middle, "No night was measured.");
        }
        canvas.line("axis", (LEFT, self.bottom), (RIGHT, self.bottom));
        let end = self.end();
        if self.steps.height() > 0.0 {
            let title = (MARGIN, self.steps_top - 7.0);
            canvas.text("axis-title", Anchor::Start, title, "step, samples");
            canvas.line("axis", (LEFT, end), (RIGHT, end));
        }
        dates(canvas, &self.timeline, &self.x, end);
        let title = (0.5 * (LEFT + RIGHT), end + 42.0);
        canvas.text("axis-title", Anchor::Middle, title, self.timeline.title());
    }

    fn has_levels(&self) -> bool {
        levels(&self.history.nights).next().is_some()
    }

    /// The band and the baseline of each stretch that has them: they end with a segment.
    fn gates(&self, canvas: &mut Canvas) {
        let nights = &self.history.nights;
        let segments = |is_there: fn(&NightPoint) -> bool| {
            runs(nights, &self.timeline, move |night| {
                is_there(night).then_some(night.segment)
            })
        };
        let half = 0.5 * self.timeline.pace();
        let outline = |of: &[&NightPoint], value: &dyn Fn(&NightPoint) -> Option<f64>| {
            let mut line: Vec<Point> = of
                .iter()
                .filter_map(|night| Some(self.place(night, value(night)?)))
                .collect();
            // A stretch reaches half a night beyond its ends, so that a single night has one, too.
            if let (Some(first), Some(last)) = (line.first().copied(), line.last().copied()) {
                let reach = self.x.density() * half;
                line.insert(0, (first.0 - reach, first.1));
                line.push((last.0 + reach, last.1));
            }
            line
        };
        for run in segments(|night| night.usable_band().is_some()) {
            let end = |index: usize| {
                outline(&run.nights, &|night| {
                    night.usable_band().map(|band| band[index])
                })
            };
            let mut area = end(0);
            area.extend(end(1).into_iter().rev());
            canvas.polygon("gate", &area);
        }
        for run in segments(|night| night.usable_baseline().is_some()) {
            canvas.polyline(
                "baseline",
                &outline(&run.nights, &NightPoint::usable_baseline),
            );
        }
    }

    /// A thin line through neighbouring nights, and the lines of the notes.
    fn lines(&self, canvas: &mut Canvas) {
        let measured = |night: &NightPoint| night.judged_seconds().map(|_| night.segment);
        for run in runs(&self.history.nights, &self.timeline, measured) {
            let line: Vec<Point> = run
                .nights
                .iter()
                .filter_map(|night| Some(self.place(night, night.judged_seconds()?)))
                .collect();
            canvas.polyline("trail", &line);
        }
        for (index, note) in self.notes.iter().enumerate() {
            let label = self.lane.labels.iter().find(|label| label.note == index);
            let top = self.row_top(label.map_or(0, |label| label.row));
            let class = match note.topic {
                Topic::Change => "change",
                Topic::Acknowledgement => "pole",
            };
            canvas.line(class, (note.x, top), (note.x, note.foot.max(top)));
        }
    }

    /// Top of a row of notes.
    fn row_top(&self, row: usize) -> f64 {
        self.top - 4.0 - (row as f64 + 1.0) * notes::ROW + 3.0
    }

    fn points(&self, canvas: &mut Canvas) {
        let radius = (0.34 * self.spacing()).clamp(1.5, 3.8);
        let hit_radius = (0.6 * self.spacing()).clamp(3.4, 6.0);
        for night in &self.history.nights {
            let Some(seconds) = night.judged_seconds() else {
                continue;
            };
            let place = self.place(night, seconds);
            mark(canvas, night, place, (radius, hit_radius));
        }
    }

    fn unjudged(&self, canvas: &mut Canvas) {
        let mut top = self.bottom;
        for (name, class, is_of) in unjudged_lanes(self.history) {
            let y = top + 0.5 * LANE;
            canvas.text("tick", Anchor::End, (LEFT - 9.0, y + 4.0), name);
            let of = |night: &'a NightPoint| night.unjudged.as_ref().filter(|why| is_of(why));
            for run in runs(&self.history.nights, &self.timeline, of) {
                let (left, wide) = run.bar(&self.timeline, &self.x);
                let tip = format!("{}: {}", run.when(), words::unjudged(run.common));
                canvas.bar(class, (left, y - 0.5 * BAR), (wide, BAR), &tip);
                // A device that is lost is one alarm, however long it lasts.
                if let Some(night) = run.nights.iter().find(|night| night.is_alarm) {
                    let at = self.x.at(self.timeline.place(night));
                    canvas.disc("alarm", (at, y), 0.5 * BAR + 3.0, "");
                }
            }
            top += LANE;
        }
    }

    /// Feet, flags and labels of the notes.
    fn labels(&self, canvas: &mut Canvas) {
        for (index, note) in self.notes.iter().enumerate() {
            let label = self.lane.labels.iter().find(|label| label.note == index);
            let top = self.row_top(label.map_or(0, |label| label.row));
            match note.topic {
                Topic::Change => {
                    canvas.diamond("change-foot", (note.x, self.bottom), 4.5, &note.words);
                }
                Topic::Acknowledgement => {
                    canvas.pennant("flag", (note.x, top), notes::PENNANT, &note.words);
                }
            }
            if let Some(label) = label {
                let class = match note.topic {
                    Topic::Change => "in change-label",
                    Topic::Acknowledgement => "in flag-label",
                };
                let place = (label.left, top + 9.0);
                canvas.text(class, Anchor::Start, place, &label.text);
            }
        }
    }

    /// The list of what the labels do not say; returns where it ends.
    fn entries(&self, canvas: &mut Canvas, mut y: f64) -> f64 {
        let entries = &self.lane.entries;
        let more = entries.len().saturating_sub(ENTRIES);
        let rest = (more > 0).then(|| format!("and {more} more: point at a mark"));
        let shown = entries.iter().take(ENTRIES).chain(rest.as_ref());
        for (index, entry) in shown.enumerate() {
            if index == 0 {
                y += 10.0;
            }
            for line in wrap(entry, 12.0, WIDTH - 2.0 * MARGIN, 2) {
                y += ENTRY_LINE;
                canvas.text("note", Anchor::Start, (MARGIN, y), &line);
            }
        }
        y
    }
}

/// The dates below the panels, whose axis is at `y`.
pub(super) fn dates(canvas: &mut Canvas, timeline: &Timeline, x: &Scale, y: f64) {
    for (place, label) in timeline.ticks(x) {
        let at = x.at(place);
        canvas.line("axis", (at, y), (at, y + 5.0));
        canvas.text("tick", Anchor::Middle, (at, y + 20.0), &label);
    }
}

/// The mark of one judged night: a dot, or a triangle for a hit, ringed with an alarm. Radii are those of a dot and of a triangle.
pub(super) fn mark(canvas: &mut Canvas, night: &NightPoint, place: Point, radii: (f64, f64)) {
    let tip = words::night(night);
    let (dot, triangle) = radii;
    match night.hit {
        None => canvas.disc("data", place, dot, &tip),
        Some(Hit::Slower) => canvas.triangle("slower", place, triangle, &tip),
        Some(Hit::Faster) => canvas.wedge("faster", place, triangle, &tip),
    }
    if night.is_alarm {
        let inner = night.hit.map_or(dot, |_| triangle);
        canvas.disc("alarm", place, inner + 2.6, "");
    }
}

/// Every value that the vertical axis has to have room for.
fn levels(nights: &[NightPoint]) -> impl Iterator<Item = f64> {
    nights.iter().flat_map(|night| {
        let band = night.usable_band().into_iter().flatten();
        let baseline = night.usable_baseline();
        night
            .judged_seconds()
            .into_iter()
            .chain(baseline)
            .chain(band)
    })
}

fn times(nights: &[NightPoint], top: f64, bottom: f64) -> Scale {
    let (low, high) = levels(nights).fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    Scale::levels(low.min(high), high, bottom, top)
}

/// Name, class and members of each lane below the times that has something in it.
type UnjudgedLane = (&'static str, &'static str, fn(&Unjudged) -> bool);

fn unjudged_lanes(history: &SeriesHistory) -> Vec<UnjudgedLane> {
    let lanes: [UnjudgedLane; 2] = [
        ("missing", "missing", |why| {
            matches!(why, Unjudged::Missing { .. })
        }),
        ("invalid", "invalid", |why| {
            matches!(why, Unjudged::Invalid { .. })
        }),
    ];
    let is_used = |lane: &UnjudgedLane| {
        let mut reasons = history
            .nights
            .iter()
            .filter_map(|night| night.unjudged.as_ref());
        reasons.any(lane.2)
    };
    lanes.into_iter().filter(is_used).collect()
}

/// The night of each note, in the notes' order.
fn noted(history: &SeriesHistory) -> Vec<&NightPoint> {
    topics(history)
        .into_iter()
        .map(|(night, ..)| night)
        .collect()
}

/// Night, topic, label and words of each note, by night.
fn topics(history: &SeriesHistory) -> Vec<(&NightPoint, Topic, String, String)> {
    let starts = history.segment_starts().map(|night| {
        let changes = words::changes(night);
        let words = format!("{}: {changes}", words::when(night));
        (night, Topic::Change, changes, words)
    });
    let acknowledged = history.acknowledgements().map(|(night, word)| {
        let words = format!(
            "{}: acknowledged by {}: {}",
            words::when(night),
            word.by,
            word.reason
        );
        (night, Topic::Acknowledgement, word.by.clone(), words)
    });
    let mut topics: Vec<_> = starts.chain(acknowledged).collect();
    topics.sort_by_key(|(night, ..)| night.number);
    topics
}

fn notes(history: &SeriesHistory, x: impl Fn(&NightPoint) -> f64) -> Vec<Note> {
    topics(history)
        .into_iter()
        .map(|(night, topic, label, words)| Note {
            topic,
            x: x(night),
            foot: 0.0,
            label,
            words,
        })
        .collect()
}

/// The kinds of marks that this picture has.
fn keys(history: &SeriesHistory) -> Vec<Key> {
    let nights = &history.nights;
    let judged = || {
        nights
            .iter()
            .filter(|night| night.judged_seconds().is_some())
    };
    let hit = |wanted| judged().any(|night| night.hit == Some(wanted));
    let candidates = [
        (Key::Night, judged().any(|night| night.hit.is_none())),
        (Key::Slower, hit(Hit::Slower)),
        (Key::Faster, hit(Hit::Faster)),
        (Key::Alarm, history.has_alarm()),
        (
            Key::Baseline,
            nights.iter().any(|night| night.usable_baseline().is_some()),
        ),
        (
            Key::Gate,
            nights.iter().any(|night| night.usable_band().is_some()),
        ),
        (Key::Change, history.has_change()),
        (Key::Flag, history.acknowledgements().next().is_some()),
    ];
    candidates
        .into_iter()
        .filter_map(|(key, is_there)| is_there.then_some(key))
        .collect()
}
