//! What surrounds every plot: heading, answer, legend, grid, axes and their titles. Plots draw their data into the area that is left.

use batchstep_core::steptable::{Row, Verdict};

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
    Data,
    Fit,
    Mark,
}

/// Draws the heading and returns the top of the data area.
pub(crate) fn heading(canvas: &mut Canvas, row: &Row, title: &str) -> f64 {
    let limit = WIDTH - 2.0 * MARGIN;
    let name = format!("{} on {}", row.workload, cells::device(row));
    canvas.text(
        "title",
        Anchor::Start,
        (MARGIN, 38.0),
        &ellipsis(&name, TITLE_ESTIMATE, limit),
    );
    let about = about(row, title, limit);
    canvas.text("sub", Anchor::Start, (MARGIN, 59.0), &about);
    let mut y = 86.0;
    canvas.text(
        "lead",
        Anchor::Start,
        (MARGIN, y),
        &ellipsis(&answer(row), LEAD_ESTIMATE, limit),
    );
    if row.verdict != Verdict::Step {
        for line in wrap(&cells::sentence(&row.reason), 12.5, limit, 2) {
            y += 18.0;
            canvas.text("note", Anchor::Start, (MARGIN, y), &line);
        }
    }
    y + 46.0
}

/// What is shown and how it was measured, leaving out first the blocks and then the parameters where `limit` pixels are too few.
fn about(row: &Row, title: &str, limit: f64) -> String {
    let setting = cells::setting(row);
    let parameters = cells::parameters(row)
        .map(|parameters| format!(" · {parameters}"))
        .unwrap_or_default();
    let blocks = if row.blocks > 0 {
        format!(" · {} blocks", row.blocks)
    } else {
        String::new()
    };
    let full = format!("{title}{parameters} · {setting}{blocks}");
    let shorter = format!("{title}{parameters} · {setting}");
    [full, shorter]
        .into_iter()
        .find(|line| width(line, 13.0) <= limit)
        .unwrap_or_else(|| ellipsis(&format!("{title} · {setting}{blocks}"), 13.0, limit))
}

/// The answer of the row in one line.
fn answer(row: &Row) -> String {
    let mut line = cells::headline(row);
    if let (Verdict::Step, Some(kind)) = (row.verdict, row.kind) {
        line = format!("{line} · {}", cells::kind(kind));
        if let Some(confidence) = row.confidence {
            line = format!("{line}, confidence {}", cells::confidence(confidence));
        }
    }
    if !row.other_steps.is_empty() {
        let others: Vec<String> = row
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
    let y = top - 14.0;
    let mut x = RIGHT;
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
            Key::Fit => canvas.line("fit", (at.0 - 9.0, at.1), (at.0 + 7.0, at.1)),
            Key::Mark => canvas.diamond("mark", at, 6.0, ""),
        }
        x -= 26.0;
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

/// Draws the horizontal axis with labels at `ticks`, leaving out those that would touch, and its title.
pub(crate) fn horizontal_axis(
    canvas: &mut Canvas,
    places: impl IntoIterator<Item = (f64, String)>,
    title: &str,
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
    canvas.text(
        "axis-title",
        Anchor::Middle,
        ((LEFT + RIGHT) / 2.0, BOTTOM + 44.0),
        title,
    );
}

/// The size of every plot in whole pixels.
pub(crate) const fn size() -> (u32, u32) {
    (WIDTH as u32, HEIGHT as u32)
}

/// Centre of the data area that begins at `top`.
pub(crate) fn center(top: f64) -> Point {
    ((LEFT + RIGHT) / 2.0, (top + BOTTOM) / 2.0)
}
