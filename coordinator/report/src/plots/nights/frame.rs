//! What surrounds both pictures of nights: heading and dates.

use super::timeline::Timeline;
use crate::draw::{Anchor, Canvas, Scale, wrap};

/// Width of the pictures, pixels: wider than those against batch size, for a year of nights.
pub(super) const WIDTH: f64 = 1000.0;
/// Distance of texts from the border.
pub(super) const MARGIN: f64 = 24.0;
/// Class, estimated size and line height of the heading's texts, pixels. Bold glyphs are wider than their size says.
const TEXTS: [(&str, f64, f64); 3] = [
    ("title", 20.5, 24.0),
    ("sub", 13.0, 18.0),
    ("lead", 15.0, 20.0),
];
/// From a heading's text to the next one.
const GAP: f64 = 4.0;

/// Draws name, place and answer, each in at most two lines, and returns the middle of the next line.
pub(super) fn heading(canvas: &mut Canvas, texts: [&str; 3]) -> f64 {
    let mut y = 14.0;
    for ((class, size, line), text) in TEXTS.into_iter().zip(texts) {
        for words in wrap(text, size, WIDTH - 2.0 * MARGIN, 2) {
            y += line;
            canvas.text(class, Anchor::Start, (MARGIN, y), &words);
        }
        y += GAP;
    }
    y + 22.0
}

/// Draws the dates below an axis at `y`.
pub(super) fn dates(canvas: &mut Canvas, timeline: &Timeline, x: &Scale, y: f64) {
    for (place, label) in timeline.ticks(x) {
        let at = x.at(place);
        canvas.line("axis", (at, y), (at, y + 5.0));
        canvas.text("tick", Anchor::Middle, (at, y + 20.0), &label);
    }
}
