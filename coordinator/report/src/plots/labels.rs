//! Places labels where they cover neither data nor each other. Candidates are tried in order; a label without a free place is left out.

use crate::draw::{Anchor, Point, width};

/// Upper left and lower right corner.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rectangle(Point, Point);

impl Rectangle {
    fn overlaps(&self, other: &Self) -> bool {
        self.0.0 < other.1.0 && other.0.0 < self.1.0 && self.0.1 < other.1.1 && other.0.1 < self.1.1
    }
}

/// What is taken so far, within an area.
#[derive(Debug)]
pub(crate) struct Labels {
    area: Rectangle,
    taken: Vec<Rectangle>,
}

impl Labels {
    /// An empty area between two corners.
    pub(crate) fn new(upper_left: Point, lower_right: Point) -> Self {
        Self {
            area: Rectangle(upper_left, lower_right),
            taken: Vec::new(),
        }
    }

    /// Keeps labels off a disc of data.
    pub(crate) fn avoid(&mut self, center: Point, radius: f64) {
        let (x, y) = center;
        self.taken.push(Rectangle(
            (x - radius, y - radius),
            (x + radius, y + radius),
        ));
    }

    /// Keeps labels off a straight line.
    pub(crate) fn avoid_line(&mut self, from: Point, to: Point) {
        let pieces = ((to.0 - from.0).hypot(to.1 - from.1) / 6.0)
            .ceil()
            .clamp(1.0, 400.0) as u32;
        for piece in 0..=pieces {
            let share = f64::from(piece) / f64::from(pieces);
            self.avoid(
                (
                    from.0 + share * (to.0 - from.0),
                    from.1 + share * (to.1 - from.1),
                ),
                2.0,
            );
        }
    }

    /// The first of `candidates` (baseline positions) where `text` at `size` pixels is free; it is taken then.
    pub(crate) fn place(
        &mut self,
        text: &str,
        size: f64,
        anchor: Anchor,
        candidates: impl IntoIterator<Item = Point>,
    ) -> Option<Point> {
        let wide = width(text, size);
        candidates.into_iter().find_map(|(x, y)| {
            let left = match anchor {
                Anchor::Start => x,
                Anchor::Middle => x - wide / 2.0,
                Anchor::End => x - wide,
            };
            let label = Rectangle((left - 3.0, y - size), (left + wide + 3.0, y + 0.3 * size));
            let inside = label.0.0 >= self.area.0.0
                && label.0.1 >= self.area.0.1
                && label.1.0 <= self.area.1.0
                && label.1.1 <= self.area.1.1;
            (inside && !self.taken.iter().any(|other| label.overlaps(other))).then(|| {
                self.taken.push(label);
                (x, y)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_off_data_each_other_and_the_margin() {
        let mut labels = Labels::new((0.0, 0.0), (200.0, 100.0));
        labels.avoid((100.0, 50.0), 5.0);
        assert_eq!(
            labels.place(
                "label",
                12.0,
                Anchor::Middle,
                [(100.0, 52.0), (100.0, 80.0)]
            ),
            Some((100.0, 80.0))
        );
        assert_eq!(
            labels.place("label", 12.0, Anchor::Middle, [(100.0, 80.0)]),
            None
        );
        assert_eq!(
            labels.place("label", 12.0, Anchor::Start, [(190.0, 20.0)]),
            None
        );
        assert_eq!(
            labels.place("label", 12.0, Anchor::End, [(190.0, 20.0)]),
            Some((190.0, 20.0))
        );
    }

    #[test]
    fn labels_keep_off_steep_lines() {
        let mut labels = Labels::new((0.0, 0.0), (200.0, 100.0));
        labels.avoid_line((50.0, 0.0), (52.0, 100.0));
        assert_eq!(
            labels.place("label", 12.0, Anchor::Middle, [(50.0, 50.0)]),
            None
        );
    }
}
