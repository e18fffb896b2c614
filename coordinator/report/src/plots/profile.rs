//! The profile of a period as bars: what the r-th left-over sample costs over what the multiples promise.

use batchstep_core::steptable::Row;

use super::frame::{self, BOTTOM, Key, LEFT, RIGHT};
use crate::cells;
use crate::draw::{Anchor, Canvas, Picture, Scale, width};

/// Widest bar, pixels.
const WIDEST: f64 = 64.0;

/// The profile of `row`; `None` without one.
pub(crate) fn draw(row: &Row) -> Option<Picture> {
    let profile = row.profile.as_deref().filter(|profile| profile.len() > 1)?;
    let finite = || profile.iter().copied().filter(|value| value.is_finite());
    let (lowest, highest) = (
        finite().fold(0.0, f64::min),
        finite().fold(0.0, f64::max).max(0.01),
    );
    let mut canvas = Canvas::default();
    let top = frame::heading(&mut canvas, row, "What left-over samples cost");
    let margin = 0.14 * (highest - lowest);
    let y = Scale::linear(
        if lowest < 0.0 { lowest - margin } else { 0.0 },
        highest + margin,
        BOTTOM,
        top,
    );
    frame::vertical_axis(
        &mut canvas,
        &y,
        top,
        "extra time over the multiples of the step",
        cells::percent,
    );
    let slot = (RIGHT - LEFT) / profile.len() as f64;
    let bar = (0.72 * slot).min(WIDEST);
    let center = |residue: usize| LEFT + (residue as f64 + 0.5) * slot;
    let zero = y.at(0.0);
    canvas.line("axis", (LEFT, zero), (RIGHT, zero));
    for (residue, &share) in profile.iter().enumerate() {
        if residue == 0 || !share.is_finite() {
            continue;
        }
        let end = y.at(share);
        let words = cells::percent(share);
        let tip = format!("{residue} left over: {words} more");
        canvas.rectangle_with_tip(
            "bar",
            (center(residue) - bar / 2.0, zero.min(end)),
            (bar, (zero - end).abs()),
            2.0_f64.min(bar / 3.0),
            &tip,
        );
        if width(&words, 12.0) + 4.0 <= slot {
            let above = if share >= 0.0 { end - 7.0 } else { end + 16.0 };
            canvas.text("tick", Anchor::Middle, (center(residue), above), &words);
        }
    }
    canvas.diamond(
        "mark",
        (center(0), zero),
        6.5,
        "a multiple of the step: nothing left over",
    );
    let multiple = row.step.map_or_else(
        || "multiple of the step".to_owned(),
        |step| format!("multiple of {}", cells::period(step)),
    );
    frame::legend(&mut canvas, top, &[(Key::Mark, &multiple)]);
    let places = (0..profile.len()).map(|residue| (center(residue), residue.to_string()));
    frame::horizontal_axis(
        &mut canvas,
        places,
        "samples left over after the last multiple of the step",
    );
    let listed: Vec<String> = profile
        .iter()
        .enumerate()
        .map(|(residue, share)| format!("{residue}: {}", cells::percent(*share)))
        .collect();
    let title = format!(
        "Profile of the step: {} on {}, {}",
        row.workload,
        cells::device(row),
        cells::setting(row)
    );
    let description = format!(
        "Extra time by samples left over after a multiple of the step. {}.",
        listed.join(", ")
    );
    Some(canvas.finish(frame::size(), &title, &description))
}
