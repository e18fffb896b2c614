//! What is written into a curve: recommended batch sizes, the cost of one sample more, the knee, the best throughput and the memory limit. Each
//! label takes a free place or is left out; the heading says the essential anyway.

use super::curve::Curve;
use super::frame::{BOTTOM, LEFT, RIGHT};
use super::labels::Labels;
use super::quantity::Quantity;
use crate::draw::{Anchor, Canvas, Point, width};

/// Sizes by which the widths of the labels are estimated, pixels; they are bold, and bold glyphs are wider.
const MARK_SIZE: f64 = 13.5;
const LABEL_SIZE: f64 = 14.3;

/// The recommended batch sizes that lie on the curve, with their places.
pub(super) fn marks(curve: &Curve<'_>) -> Vec<(u32, Point)> {
    let sizes = &curve.study.recommended_batch_sizes;
    sizes
        .iter()
        .filter_map(|&size| Some((size, curve.at(size, curve.value(size)?))))
        .collect()
}

/// Thin lines from the recommended batch sizes to the axis.
pub(super) fn drop_lines(canvas: &mut Canvas, marks: &[(u32, Point)]) {
    for (_, place) in marks {
        canvas.line("mark-line", *place, (place.0, BOTTOM));
    }
}

/// Diamonds at the recommended batch sizes.
pub(super) fn draw_marks(
    curve: &Curve<'_>,
    canvas: &mut Canvas,
    labels: &mut Labels,
    marks: &[(u32, Point)],
) {
    let spacing = (RIGHT - LEFT) / marks.len().max(1) as f64;
    let radius = (0.3 * spacing).clamp(3.5, 6.5);
    for (size, place) in marks {
        let words = curve
            .value(*size)
            .map(|value| curve.quantity.words(value))
            .unwrap_or_default();
        canvas.diamond(
            "mark",
            *place,
            radius,
            &format!("recommended batch size {size}: {words}"),
        );
        labels.avoid(*place, radius);
    }
}

/// The recommended batch sizes in figures, on the side where a good batch size stands out.
pub(super) fn label_marks(
    curve: &Curve<'_>,
    canvas: &mut Canvas,
    labels: &mut Labels,
    marks: &[(u32, Point)],
) {
    for (size, (x, y)) in marks {
        let below = [(*x, y + 21.0), (*x, y + 25.0)];
        let above = [(*x, y - 11.0), (*x, y - 15.0)];
        let candidates = if curve.quantity.lower_is_better() {
            below
        } else {
            above
        };
        let words = size.to_string();
        if let Some(place) = labels.place(&words, MARK_SIZE, Anchor::Middle, candidates) {
            canvas.text("in mark-label", Anchor::Middle, place, &words);
        }
    }
}

/// The cost of one sample more than the first confirmed good batch size.
pub(super) fn jump(curve: &Curve<'_>, canvas: &mut Canvas, labels: &mut Labels) {
    let (Some(at), Some(relative)) = (curve.study.jump_at, curve.study.jump_relative) else {
        return;
    };
    let Some(words) = curve.quantity.jump(at, relative) else {
        return;
    };
    let ends = |size: u32| curve.law(size).or_else(|| curve.value(size));
    let (Some(before), Some(after)) = (ends(at), ends(at + 1)) else {
        return;
    };
    let (from, to) = (curve.at(at, before), curve.at(at + 1, after));
    canvas.polyline("jump", &[from, (to.0, from.1), to]);
    canvas.disc("jump", to, 6.0, &words);
    labels.avoid(to, 7.0);
    let wide = width(&words, LABEL_SIZE);
    // Free space lies above a growing curve to the left, and below a saturating one to the right.
    let up = curve.quantity.lower_is_better();
    let far = [34.0, 52.0, 74.0, 100.0, 130.0, 165.0, 200.0];
    let vertical = |toward_top: bool| {
        far.map(|distance| {
            if toward_top {
                to.1 - distance
            } else {
                to.1 + distance
            }
        })
    };
    let toward_free = if up { -1.0 } else { 1.0 };
    let sideways = [0.55, 0.3, 0.0, -0.3, -0.55].map(|share| share * toward_free * wide);
    let candidates = [up, !up].into_iter().flat_map(|toward_top| {
        vertical(toward_top)
            .into_iter()
            .flat_map(move |y| sideways.into_iter().map(move |shift| (to.0 + shift, y)))
    });
    let Some((x, y)) = labels.place(&words, LABEL_SIZE, Anchor::Middle, candidates) else {
        return;
    };
    // The leader ends at the label's nearest edge.
    let reach = (to.0).clamp(x - wide / 2.0, x + wide / 2.0);
    let (near, start) = if y < to.1 {
        (y + 5.0, to.1 - 7.0)
    } else {
        (y - LABEL_SIZE, to.1 + 7.0)
    };
    canvas.line("jump", (reach, near), (to.0, start));
    labels.avoid_line((reach, near), (to.0, start));
    canvas.text("in jump-label", Anchor::Middle, (x, y), &words);
}

/// The batch size with the best throughput.
pub(super) fn best(curve: &Curve<'_>, canvas: &mut Canvas, labels: &mut Labels) {
    let Some(best) = curve.study.best_throughput else {
        return;
    };
    if !matches!(
        curve.quantity,
        Quantity::SamplesPerSecond | Quantity::PatchesPerSecond
    ) {
        return;
    }
    let Some(value) = curve.value(best.batch_size) else {
        return;
    };
    let (x, y) = curve.at(best.batch_size, value);
    let words = format!(
        "best: {} at {}",
        curve.quantity.words(best.samples_per_second),
        best.batch_size
    );
    let half = width(&words, LABEL_SIZE) / 2.0 + 4.0;
    let middle = x.clamp(LEFT + half, RIGHT - half);
    let candidates = [12.0, 28.0, 44.0].map(|distance| (middle, y - distance));
    if let Some(place) = labels.place(&words, LABEL_SIZE, Anchor::Middle, candidates) {
        canvas.text("in lead", Anchor::Middle, place, &words);
    }
}

/// Vertical lines at the knee of the throughput and at the end of memory.
pub(super) fn limits(curve: &Curve<'_>, canvas: &mut Canvas, labels: &mut Labels) {
    if matches!(
        curve.quantity,
        Quantity::SamplesPerSecond | Quantity::PatchesPerSecond
    ) && let Some(knee) = curve.study.knee_batch_size
    {
        vertical(
            curve,
            canvas,
            labels,
            knee,
            &format!("knee {knee}: within 5 % of the best"),
        );
    }
    if let Some(limit) = curve.study.out_of_memory_at {
        vertical(
            curve,
            canvas,
            labels,
            limit,
            &format!("out of memory at {limit}"),
        );
    }
}

fn vertical(
    curve: &Curve<'_>,
    canvas: &mut Canvas,
    labels: &mut Labels,
    batch_size: u32,
    words: &str,
) {
    let x = curve.x.at(f64::from(batch_size));
    if !(LEFT..=RIGHT).contains(&x) {
        return;
    }
    canvas.line("limit", (x, curve.top), (x, BOTTOM));
    let bottom = (0..4).map(|row| BOTTOM - 10.0 - 18.0 * f64::from(row));
    let top = (0..4).map(|row| curve.top + 12.0 + 18.0 * f64::from(row));
    let heights: Vec<f64> = if curve.quantity.lower_is_better() {
        top.chain(bottom).collect()
    } else {
        bottom.chain(top).collect()
    };
    let right = labels.place(
        words,
        12.0,
        Anchor::Start,
        heights.iter().map(|y| (x + 8.0, *y)),
    );
    if let Some(place) = right {
        canvas.text("in note", Anchor::Start, place, words);
    } else if let Some(place) = labels.place(
        words,
        12.0,
        Anchor::End,
        heights.iter().map(|y| (x - 8.0, *y)),
    ) {
        canvas.text("in note", Anchor::End, place, words);
    }
    labels.avoid_line((x, curve.top), (x, BOTTOM));
}
