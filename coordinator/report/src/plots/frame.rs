//! What surrounds every plot: heading, answer, legend, grid, axes and their titles. Plots draw their data into the area that is left.

use batchstep_core::steptable::{EdgeSight, Verdict};

use super::study::Study;
use crate::cells;
use crate::draw::{Anchor, Canvas, Point, Scale, ellipsis, width, wrap};

/// Width of every plot, pixels.
pub(crate) const WIDTH: f64 = 800.0;
/// Height of every plot, pixels.
pub(crate) const HEIGHT: f64 = 470.0;
/// Distance of texts from the border.
const MARGIN: f64 = 24.0;
/// Sizes by which the widths of bold texts are estimated, pixels: bold glyphs are wider.
const TITLE_ESTIMATE: f64 = 20.5;
const LEAD_ESTIMATE: f64 = 15.0;
/// Where the data area begins and ends.
pub(crate) const LEFT: f64 = 70.0;
pub(crate) const RIGHT: f64 = WIDTH - MARGIN;
pub(crate) const BOTTOM: f64 = HEIGHT - 58.0;

/// How a legend entry is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// A median and its interval.
    Data,
    /// A median alone, and one of an early round.
    Dot,
    EarlyDot,
    Fit,
    Mark,
    Edge(EdgeSight),
}

/// How much a plot says above its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heading {
    /// What was measured, how, and the answer.
    Full,
    /// What is shown, for a plot below one that says the rest.
    Continued,
}

/// Draws the heading and returns the top of the data area.
pub(crate) fn heading(canvas: &mut Canvas, study: &Study<'_>, form: Heading, title: &str) -> f64 {
    let limit = WIDTH - 2.0 * MARGIN;
    if form == Heading::Continued {
        canvas.text("lead", Anchor::Start, (MARGIN, 32.0), title);
        return 78.0;
    }
    canvas.text(
        "title",
        Anchor::Start,
        (MARGIN, 38.0),
        &ellipsis(&study.name, TITLE_ESTIMATE, limit),
    );
    let about = about(study, title, limit);
    canvas.text("sub", Anchor::Start, (MARGIN, 59.0), &about);
    let mut y = 86.0;
    canvas.text(
        "lead",
        Anchor::Start,
        (MARGIN, y),
        &ellipsis(&answer(study), LEAD_ESTIMATE, limit),
    );
    if study.verdict != Verdict::Step {
        for line in wrap(&cells::sentence(study.reason), 12.5, limit, 2) {
            y += 18.0;
            canvas.text("note", Anchor::Start, (MARGIN, y), &line);
        }
    }
    y + 46.0
}

/// What is shown and how it was measured, leaving out the last details where `limit` pixels are too few.
fn about(study: &Study<'_>, title: &str, limit: f64) -> String {
    let with = |details: &[String]| {
        std::iter::once(title)
            .chain(details.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(" · ")
    };
    let details = &study.details;
    (1..=details.len())
        .rev()
        .map(|count| with(&details[..count]))
        .find(|line| width(line, 13.0) <= limit)
        .unwrap_or_else(|| ellipsis(&with(&details[..details.len().min(1)]), 13.0, limit))
}

/// The answer in one line.
fn answer(study: &Study<'_>) -> String {
    let mut line = study.headline.clone();
    if let (Verdict::Step, Some(kind)) = (study.verdict, study.kind) {
        line = format!("{line} · {}", cells::kind(kind));
        if let Some(confidence) = study.confidence {
            line = format!("{line}, confidence {}", cells::confidence(confidence));
        }
    }
    if !study.other_steps.is_empty() {
        let others: Vec<String> = study
            .other_steps
            .iter()
            .map(|other| cells::period(other.step))
            .collect();
        line = format!("{line} · also {}", others.join(", "));
    }
    line
}

/// Draws the legend right-aligned just above the data area.
pub(crate) fn legend(canvas: &mut Canvas, top: f64, entries: &[(Key, &str)]) {
    keys(canvas, top - 14.0, entries);
}

/// Draws the axis title and, right of it, what the marks on the axis mean.
pub(crate) fn axis_legend(canvas: &mut Canvas, title: &str, entries: &[(Key, &str)]) {
    let y = BOTTOM + 44.0;
    let start = keys(canvas, y, entries);
    canvas.text(
        "axis-title",
        Anchor::Middle,
        ((LEFT + start.min(RIGHT)) / 2.0, y),
        title,
    );
}

/// Entries that end at the right border, on one baseline; returns where they begin.
fn keys(canvas: &mut Canvas, y: f64, entries: &[(Key, &str)]) -> f64 {
    let mut x = RIGHT;
    let mut start = x;
    for (key, words) in entries.iter().rev() {
        x -= width(words, 12.0);
        canvas.text("legend", Anchor::Start, (x, y), words);
        x -= 14.0;
        let at = (x, y - 4.0);
        match key {
            Key::Data => {
                canvas.line("interval", (at.0, at.1 - 7.0), (at.0, at.1 + 7.0));
                canvas.disc("data", at, 3.4, "");
            }
            Key::Dot => canvas.disc("data", at, 3.4, ""),
            Key::EarlyDot => canvas.disc("data early", at, 3.4, ""),
            Key::Fit => canvas.line("fit", (at.0 - 9.0, at.1), (at.0 + 7.0, at.1)),
            Key::Mark => canvas.diamond("mark", at, 6.0, ""),
            Key::Edge(sight) => edge_mark(canvas, *sight, (at.0 + 3.0, at.1), 5.0, ""),
        }
        start = x - 12.0;
        x -= 26.0;
    }
    start
}

/// The mark of an edge, which says whether the timings show it.
pub(crate) fn edge_mark(
    canvas: &mut Canvas,
    sight: EdgeSight,
    center: Point,
    radius: f64,
    tip: &str,
) {
    match sight {
        EdgeSight::Confirmed => canvas.triangle("edge", center, radius, tip),
        EdgeSight::Unclear => canvas.triangle("edge-unclear", center, radius, tip),
        EdgeSight::Missed => canvas.cross("edge-missed", center, 0.85 * radius, tip),
    }
}

/// Draws the horizontal grid with its labels, and the axis title above it.
pub(crate) fn vertical_axis(
    canvas: &mut Canvas,
    scale: &Scale,
    top: f64,
    title: &str,
    label: impl Fn(f64) -> String,
) {
    for tick in scale.ticks(6) {
        let y = scale.at(tick);
        canvas.line("grid", (LEFT, y), (RIGHT, y));
        canvas.text("tick", Anchor::End, (LEFT - 9.0, y + 4.0), &label(tick));
    }
    canvas.text("axis-title", Anchor::Start, (MARGIN, top - 14.0), title);
}

/// Draws the horizontal axis with labels at `places`, leaving out those that would touch. Its title comes with [`axis_legend`].
pub(crate) fn horizontal_axis(
    canvas: &mut Canvas,
    places: impl IntoIterator<Item = (f64, String)>,
) {
    canvas.line("axis", (LEFT, BOTTOM), (RIGHT, BOTTOM));
    let mut free_from = f64::NEG_INFINITY;
    for (x, label) in places {
        canvas.line("axis", (x, BOTTOM), (x, BOTTOM + 5.0));
        let half = width(&label, 12.0) / 2.0;
        if x - half >= free_from {
            canvas.text("tick", Anchor::Middle, (x, BOTTOM + 20.0), &label);
            free_from = x + half + 6.0;
        }
    }
}

/// The size of every plot in whole pixels.
pub(crate) const fn size() -> (u32, u32) {
    (WIDTH as u32, HEIGHT as u32)
}

/// Centre of the data area that begins at `top`.
pub(crate) fn center(top: f64) -> Point {
    ((LEFT + RIGHT) / 2.0, (top + BOTTOM) / 2.0)
}
