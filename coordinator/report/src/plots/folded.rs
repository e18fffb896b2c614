//! The measurement folded onto one period of its step: every batch size at its place within its round, so that a pattern which repeats lies on
//! itself. The left end is the first sample of a new round, the right end a full round.

use super::fold::{Fold, Folded};
use super::frame::{self, BOTTOM, Heading, Key, LEFT, RIGHT};
use super::study::Study;
use crate::cells;
use crate::draw::{Anchor, Canvas, Picture, Scale, width};

/// Room above and below the data, as a share of its range.
const MARGIN: f64 = 0.12;
/// Smallest range of the vertical axis, as a share of the iteration time.
const LEAST_RANGE: f64 = 0.01;
/// Points beyond this multiple of the law's range are drawn at the border: one outlier must not flatten the rest.
const OUTLIER_RANGE: f64 = 1.6;
/// Most labels on the horizontal axis.
const POSITION_TICKS: usize = 16;
/// Room for the means along the top, pixels.
const MEANS_HEIGHT: f64 = 14.0;
/// Rounds from which early and late ones are told apart.
const SHADES_FROM: usize = 3;

/// Draws `study` folded; `None` where there is no period to fold it onto.
pub(super) fn draw(study: &Study<'_>, form: Heading) -> Option<Picture> {
    let fold = Fold::new(study).filter(|fold| !fold.points.is_empty())?;
    let mut canvas = Canvas::default();
    let step = cells::period(fold.period);
    let title = "Every round laid over the others";
    let top = frame::heading(&mut canvas, study, form, title);
    let (low, high) = range(&fold);
    let margin = MARGIN * (high - low);
    let x = Scale::linear(
        0.0,
        fold.period + 0.5_f64.min(0.03 * fold.period),
        LEFT,
        RIGHT,
    );
    let means = means(study, &fold, &x);
    let data_top = if means.is_empty() {
        top
    } else {
        top + MEANS_HEIGHT
    };
    let y = Scale::linear(low - margin, high + margin, BOTTOM, data_top);
    let at = |point: &Folded| {
        (
            x.at(point.position),
            y.at(point.extra).clamp(data_top, BOTTOM),
        )
    };
    frame::vertical_axis(
        &mut canvas,
        &y,
        top,
        "extra time over the good batch sizes",
        cells::percent,
    );
    let zero = y.at(0.0);
    canvas.line("axis", (LEFT, zero), (RIGHT, zero));
    for round in &fold.law {
        let line: Vec<_> = round.iter().map(at).collect();
        canvas.polyline("fit faint", &line);
    }
    let rounds = fold
        .points
        .iter()
        .map(|point| point.round)
        .max()
        .unwrap_or(0)
        + 1;
    let shades = rounds >= SHADES_FROM;
    let spacing = (RIGHT - LEFT) / (fold.points.len() as f64).min(fold.period.max(1.0));
    let radius = (0.2 * spacing).clamp(1.8, 3.8);
    for point in &fold.points {
        let class = match (shades, 3 * point.round / rounds) {
            (true, 0) => "data early",
            (true, 1) => "data middle",
            _ => "data",
        };
        let more = if point.extra < 0.0 { "less" } else { "more" };
        let tip = format!(
            "batch size {}: {} {more} than the good batch sizes promise",
            point.batch_size,
            cells::percent(point.extra.abs())
        );
        canvas.disc(class, at(point), radius, &tip);
    }
    canvas.diamond("mark", (x.at(fold.period), zero), 6.5, "a full round");
    if !means.is_empty() {
        canvas.text("tick", Anchor::End, (LEFT - 9.0, top + 4.0), "mean");
    }
    for (place, words) in means {
        canvas.text("tick", Anchor::Middle, (place, top + 4.0), &words);
    }
    let mut legend = Vec::new();
    if shades {
        legend.push((Key::EarlyDot, "early rounds"));
        legend.push((Key::Dot, "late rounds"));
    } else {
        legend.push((Key::Dot, "measured"));
    }
    legend.push((Key::Fit, "fitted law"));
    legend.push((Key::Mark, "full round"));
    frame::legend(&mut canvas, top, &legend);
    let ticks = x
        .batch_size_ticks(POSITION_TICKS, None)
        .into_iter()
        .filter(|tick| *tick <= fold.period)
        .map(|tick| (x.at(tick), cells::significant(tick, 12)));
    frame::horizontal_axis(&mut canvas, ticks);
    let axis = format!("samples after the last full round of {step}");
    frame::axis_legend(&mut canvas, &axis, &[]);
    Some(canvas.finish(
        frame::size(),
        &format!("{title}: {}", study.subject()),
        &description(study, &fold),
    ))
}

/// Lowest and highest extra time shown: all of the law, and the points unless they lie far beyond it.
fn range(fold: &Fold) -> (f64, f64) {
    let extent = |points: &mut dyn Iterator<Item = f64>| {
        points.fold((0.0_f64, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    };
    let law = extent(&mut fold.law.iter().flatten().map(|point| point.extra));
    let points = extent(&mut fold.points.iter().map(|point| point.extra));
    let reach = OUTLIER_RANGE * (law.1 - law.0).max(LEAST_RANGE);
    let (low, high) = (
        law.0.min(points.0.max(law.1 - reach)),
        law.1.max(points.1.min(law.0 + reach)),
    );
    (low, high.max(low + LEAST_RANGE))
}

/// The profile in figures with their places, where there is room for all of them.
fn means(study: &Study<'_>, fold: &Fold, x: &Scale) -> Vec<(f64, String)> {
    let profile = study.profile.unwrap_or_default();
    let words: Vec<(f64, String)> = (1_u32..)
        .zip(profile.iter().skip(1))
        .map(|(residue, extra)| (x.at(f64::from(residue)), cells::percent(*extra)))
        .collect();
    let room = (RIGHT - LEFT) / fold.period;
    if words
        .iter()
        .any(|(_, words)| width(words, 12.0) + 4.0 > room)
    {
        return Vec::new();
    }
    words
}

fn description(study: &Study<'_>, fold: &Fold) -> String {
    let profile = study
        .profile
        .filter(|profile| profile.len() > 1)
        .map_or_else(String::new, |profile| {
            let listed: Vec<String> = profile
                .iter()
                .enumerate()
                .map(|(residue, extra)| format!("{residue}: {}", cells::percent(*extra)))
                .collect();
            format!(" Mean by samples left over: {}.", listed.join(", "))
        });
    format!(
        "{} batch sizes by their place within the step of {}, and their extra time over the line through the good batch sizes.{profile}",
        fold.points.len(),
        cells::period(fold.period)
    )
}
