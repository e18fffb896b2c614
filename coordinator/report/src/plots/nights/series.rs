//! The plot of one series over its nights: times with baseline and gates, hits and alarms, what changed and who acknowledged; below it the nights
//! that were not judged and the step.

use super::frame::{self, MARGIN, WIDTH};
use super::legend::{self, Key};
use super::levels;
use super::marks::{Marks, Tips};
use super::notes::{self, Label, Lane, Note, Topic};
use super::runs::runs;
use super::steps::StepPanel;
use super::timeline::Timeline;
use super::words;
use crate::cells;
use crate::draw::{Anchor, Canvas, Picture, Point, Scale, wrap};
use crate::history::{Hit, NightPoint, SeriesHistory, Unjudged};
use crate::plots::labels::Labels;
use crate::plots::quantity::Quantity;

/// Where the data area begins and ends.
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 44.0;
/// Height of the times' panel.
const PANEL: f64 = 250.0;
/// Height of a lane of alarms or of nights that were not judged, how far the first is from the axis, and height of the bars, pixels.
const LANE: f64 = 16.0;
const LANES_GAP: f64 = 5.0;
const BAR: f64 = 6.0;
/// Marks of times beyond the panel are this far within it, pixels.
const EDGE: f64 = 8.0;
/// Most entries of the list below the plot, and the height of its lines.
const ENTRIES: usize = 20;
const ENTRY_LINE: f64 = 17.0;

/// Draws the nights of `history`, which are ordered by number.
pub(super) fn draw(history: &SeriesHistory) -> Picture {
    let mut canvas = Canvas::default();
    let mut y = frame::heading(
        &mut canvas,
        [
            &history.name(),
            &words::about(history),
            &words::headline(history),
        ],
    );
    let timeline = Timeline::new(&history.nights);
    if !history.nights.is_empty() {
        y = Plot::new(history, &timeline, y).draw(&mut canvas);
    }
    canvas.finish(
        (WIDTH as u32, (y + MARGIN).ceil() as u32),
        &format!("Iteration time over nights: {}", history.name()),
        &words::description(history, &timeline),
    )
}

/// A series with the places of everything in its picture.
struct Plot<'a> {
    history: &'a SeriesHistory,
    timeline: &'a Timeline,
    x: Scale,
    y: Scale,
    /// Middle of the legend's first line.
    legend: f64,
    keys: Vec<Key>,
    notes: Vec<Note<'a>>,
    lane: Lane,
    /// Ends of the times' panel.
    top: f64,
    bottom: f64,
    steps: StepPanel<'a>,
    /// Top of the panel of the step.
    steps_top: f64,
}

impl<'a> Plot<'a> {
    fn new(history: &'a SeriesHistory, timeline: &'a Timeline, legend: f64) -> Self {
        let x = timeline.scale(LEFT, RIGHT);
        let keys = keys(history);
        let legend_height = legend::draw(
            &mut Canvas::default(),
            &keys,
            MARGIN,
            WIDTH - MARGIN,
            legend,
        );
        let steps = StepPanel::new(&history.nights, timeline);
        let mut notes = notes::of(history, |place| x.at(place), timeline);
        let lane = notes::lane(&notes, WIDTH - 6.0);
        // Axis title, then the labels of the notes.
        let top = legend + legend_height + 14.0 + lane.rows as f64 * notes::ROW + 8.0;
        let bottom = top + PANEL;
        let lanes = LANES_GAP + LANE * lanes(history).len() as f64;
        let steps_top = bottom + lanes + if steps.height() > 0.0 { 26.0 } else { 0.0 };
        let y = levels::scale(&history.nights, top, bottom);
        for note in &mut notes {
            note.foot = match (note.topic, note.night.judged_seconds()) {
                (Topic::Change, _) => steps_top + steps.height(),
                (Topic::Acknowledgement, Some(seconds)) => y.at(seconds).clamp(top, bottom),
                (Topic::Acknowledgement, None) => bottom,
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
        self.lanes(canvas);
        self.steps.draw(
            canvas,
            self.timeline,
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

    /// Where a time of a night lies; at the edge of the panel if it is beyond.
    fn place(&self, night: &NightPoint, seconds: f64) -> Point {
        let y = self.y.at(seconds);
        let y = if (self.top..=self.bottom).contains(&y) {
            y
        } else {
            y.clamp(self.top + EDGE, self.bottom - EDGE)
        };
        (self.x.at(self.timeline.place(night)), y)
    }

    fn axes(&self, canvas: &mut Canvas) {
        if levels::all(&self.history.nights).next().is_some() {
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
            let title = (LEFT - 9.0, self.steps_top - 4.0);
            canvas.text("axis-title", Anchor::End, title, "step");
            canvas.line("axis", (LEFT, end), (RIGHT, end));
        }
        frame::dates(canvas, self.timeline, &self.x, end);
        let title = (0.5 * (LEFT + RIGHT), end + 42.0);
        canvas.text("axis-title", Anchor::Middle, title, self.timeline.title());
    }

    /// The band and the baseline of each stretch that has them: they end with a segment.
    fn gates(&self, canvas: &mut Canvas) {
        let nights = &self.history.nights;
        let segments = |is_there: fn(&NightPoint) -> bool| {
            runs(nights, self.timeline, move |night| {
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
        for run in runs(&self.history.nights, self.timeline, measured) {
            let line: Vec<Point> = run
                .nights
                .iter()
                .filter_map(|night| Some(self.place(night, night.judged_seconds()?)))
                .collect();
            canvas.polyline("trail", &line);
        }
        for (index, note) in self.notes.iter().enumerate() {
            let top = self
                .label_of(index)
                .map_or(self.top, |label| self.row_top(label));
            let class = match note.topic {
                Topic::Change => "change",
                Topic::Acknowledgement => "pole",
            };
            canvas.line(class, (note.x, top), (note.x, note.foot.max(top)));
        }
    }

    /// The label that begins at a note.
    fn label_of(&self, note: usize) -> Option<&Label> {
        self.lane.labels.iter().find(|label| label.note == note)
    }

    /// Top of a label's row.
    fn row_top(&self, label: &Label) -> f64 {
        self.top - 1.0 - (label.row as f64 + 1.0) * notes::ROW
    }

    fn points(&self, canvas: &mut Canvas) {
        let spacing = self.timeline.pace() * self.x.density();
        let marks = Marks::new(spacing, [1.5, 3.8], [3.4, 6.0], Tips::All);
        marks.draw(canvas, &self.history.nights, |night| {
            Some(self.place(night, night.judged_seconds()?))
        });
        self.beyond(canvas);
    }

    /// The times of nights that are beyond the panel, beside their marks.
    fn beyond(&self, canvas: &mut Canvas) {
        let mut labels = Labels::new((LEFT, self.top), (RIGHT, self.bottom));
        for night in &self.history.nights {
            let Some(seconds) = night.judged_seconds() else {
                continue;
            };
            if (self.top..=self.bottom).contains(&self.y.at(seconds)) {
                continue;
            }
            let (x, y) = self.place(night, seconds);
            let words = cells::duration(seconds);
            for (anchor, x) in [(Anchor::Start, x + 10.0), (Anchor::End, x - 10.0)] {
                if let Some(place) = labels.place(&words, 12.0, anchor, [(x, y + 5.0)]) {
                    canvas.text("in note", anchor, place, &words);
                    break;
                }
            }
        }
    }

    /// Bars below the times: open alarms, and nights that were not judged.
    fn lanes(&self, canvas: &mut Canvas) {
        let mut top = self.bottom + LANES_GAP;
        for (name, of) in lanes(self.history) {
            let y = top + 0.5 * LANE;
            canvas.text("tick", Anchor::End, (LEFT - 9.0, y + 4.0), name);
            for run in runs(&self.history.nights, self.timeline, of) {
                let (left, wide) = run.bar(self.timeline, &self.x);
                let tip = format!("{}: {}", run.when(), run.common);
                let class = format!("lane-{name}");
                canvas.bar(&class, (left, y - 0.5 * BAR), (wide, BAR), &tip);
            }
            top += LANE;
        }
    }

    /// Feet, flags and labels of the notes.
    fn labels(&self, canvas: &mut Canvas) {
        for (index, note) in self.notes.iter().enumerate() {
            let label = self.label_of(index);
            let class = match note.topic {
                Topic::Change => {
                    canvas.diamond("change-foot", (note.x, self.bottom), 4.5, &note.words);
                    "in change-label"
                }
                Topic::Acknowledgement => {
                    let top = label
                        .filter(|_| !self.lane.is_numbered)
                        .map_or(self.top + 2.0, |label| self.row_top(label));
                    canvas.pennant("flag", (note.x, top), notes::PENNANT, &note.words);
                    "in flag-label"
                }
            };
            if let Some(label) = label {
                let class = if self.lane.is_numbered {
                    "in note"
                } else {
                    class
                };
                let place = (label.left, self.row_top(label) + 9.0);
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

/// Name of a lane, and what it says of a night.
type NightLane = (&'static str, fn(&NightPoint) -> Option<String>);

/// The lanes below the times that have something in them.
fn lanes(history: &SeriesHistory) -> Vec<NightLane> {
    let all: [NightLane; 3] = [
        ("alarm", |night| {
            night.is_alarm.then(|| "an alarm is open".to_owned())
        }),
        ("missing", |night| {
            let why = night.unjudged.as_ref();
            let why = why.filter(|why| matches!(why, Unjudged::Missing { .. }));
            why.map(words::unjudged)
        }),
        ("invalid", |night| {
            let why = night.unjudged.as_ref();
            let why = why.filter(|why| matches!(why, Unjudged::Invalid { .. }));
            why.map(words::unjudged)
        }),
    ];
    let is_used = |(_, of): &NightLane| history.nights.iter().any(|night| of(night).is_some());
    all.into_iter().filter(is_used).collect()
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
