//! What the marks of the nights mean: only those that a picture has, in as many lines as they need.

use crate::draw::{Anchor, Canvas, width};

/// Size of the words, pixels; height of a line; from a mark to its words and from entry to entry.
const SIZE: f64 = 12.0;
const LINE: f64 = 20.0;
const KEY: f64 = 20.0;
const GAP: f64 = 18.0;

/// A kind of mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Night,
    Slower,
    Faster,
    Alarm,
    Baseline,
    Gate,
    Change,
    Flag,
    Level,
    Missing,
    Invalid,
}

impl Key {
    const fn words(self) -> &'static str {
        match self {
            Self::Night => "night",
            Self::Slower => "hit: slower",
            Self::Faster => "hit: faster",
            Self::Alarm => "alarm",
            Self::Baseline => "baseline",
            Self::Gate => "within the gates",
            Self::Change => "something changed",
            Self::Flag => "acknowledged",
            Self::Level => "median of the devices",
            Self::Missing => "missing",
            Self::Invalid => "invalid",
        }
    }

    fn draw(self, canvas: &mut Canvas, (x, y): (f64, f64)) {
        let middle = (x + 7.0, y);
        match self {
            Self::Night => canvas.disc("data", middle, 3.4, ""),
            Self::Slower => canvas.triangle("slower", middle, 5.5, ""),
            Self::Faster => canvas.wedge("faster", middle, 5.5, ""),
            Self::Alarm => canvas.disc("alarm", middle, 6.0, ""),
            Self::Baseline => canvas.line("baseline", (x, y), (x + 14.0, y)),
            Self::Gate => canvas.rectangle("gate", (x, y - 6.0), (14.0, 12.0), 0.0),
            Self::Change => canvas.line("change", (middle.0, y - 8.0), (middle.0, y + 6.0)),
            Self::Flag => {
                canvas.line("pole", (x + 3.0, y - 7.0), (x + 3.0, y + 7.0));
                canvas.pennant("flag", (x + 3.0, y - 7.0), super::notes::PENNANT, "");
            }
            Self::Level => canvas.line("limit", (x - 2.0, y), (x + 15.0, y)),
            Self::Missing => canvas.rectangle("lane-missing", (x + 2.0, y - 2.5), (11.0, 5.0), 0.0),
            Self::Invalid => canvas.rectangle("lane-invalid", (x + 2.0, y - 2.5), (11.0, 5.0), 0.0),
        }
    }
}

/// Draws `keys` from `left` on, the first line's middle at `y`, and returns the height that they take.
pub(super) fn draw(canvas: &mut Canvas, keys: &[Key], left: f64, right: f64, y: f64) -> f64 {
    let (mut x, mut line) = (left, 0.0);
    for key in keys {
        let wide = KEY + width(key.words(), SIZE);
        if x > left && x + wide > right {
            (x, line) = (left, line + LINE);
        }
        key.draw(canvas, (x, y + line));
        let place = (x + KEY, y + line + 4.0);
        canvas.text("legend", Anchor::Start, place, key.words());
        x += wide + GAP;
    }
    line + LINE
}
