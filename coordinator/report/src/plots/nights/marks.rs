//! The marks of judged nights, the same in both pictures: a dot, or for a hit a triangle that points to its side, ringed with an alarm.

use super::words;
use crate::draw::{Canvas, Point};
use crate::history::{Hit, NightPoint};

/// From a mark to the ring around it, pixels.
const RING: f64 = 2.6;

/// Sizes of the marks, pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Marks {
    dot: f64,
    triangle: f64,
    /// Rings of neighbours would overlap: only the first night of an alarm has one.
    is_dense: bool,
    tips: Tips,
}

/// Which nights say their numbers when they are pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tips {
    All,
    /// Hits and alarms: in a picture of many series the others would be most of its bytes, and each has its own picture.
    Notable,
}

impl Marks {
    /// For nights that lie `spacing` pixels apart, with dots and triangles within these radii.
    pub(super) fn new(spacing: f64, dot: [f64; 2], triangle: [f64; 2], tips: Tips) -> Self {
        let triangle = (0.6 * spacing).clamp(triangle[0], triangle[1]);
        Self {
            dot: (0.34 * spacing).clamp(dot[0], dot[1]),
            triangle,
            is_dense: spacing < 2.0 * (triangle + RING),
            tips,
        }
    }

    /// Draws every night that has a `place`.
    pub(super) fn draw(
        &self,
        canvas: &mut Canvas,
        nights: &[NightPoint],
        place: impl Fn(&NightPoint) -> Option<Point>,
    ) {
        let mut was_alarm = false;
        for night in nights {
            if let Some(place) = place(night) {
                let is_told = self.tips == Tips::All || night.hit.is_some() || night.is_alarm;
                let tip = if is_told {
                    words::night(night)
                } else {
                    String::new()
                };
                match night.hit {
                    None => canvas.disc("data", place, self.dot, &tip),
                    Some(Hit::Slower) => canvas.triangle("slower", place, self.triangle, &tip),
                    Some(Hit::Faster) => canvas.wedge("faster", place, self.triangle, &tip),
                }
                if night.is_alarm && !(self.is_dense && was_alarm) {
                    let inner = night.hit.map_or(self.dot, |_| self.triangle);
                    canvas.disc("alarm", place, inner + RING, "");
                }
            }
            was_alarm = night.is_alarm;
        }
    }
}
