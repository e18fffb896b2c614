//! The plots of a row: iteration time and throughput against batch size, the measurement folded onto one period, and the article's two. [`of`] says
//! which a row gets; the page shows them inline and the report folder holds them as files; [`timings_picture`] is for `analyze`. Draws what the
//! answer says and computes no statistics.

mod callouts;
mod curve;
mod edges;
mod fold;
mod folded;
mod frame;
mod labels;
pub(crate) mod nights;
mod quantity;
mod schematic;
mod study;

use batchstep_core::steptable::{DetailedRow, Row};
use batchstep_inference::{Inference, Trace};

use crate::{Theme, cells, draw::Picture};
use frame::Heading;
use quantity::Quantity;
use study::Study;

pub use nights::{devices_picture, history_picture};
pub use schematic::step_picture;

/// Name of the preset that repeats the article's experiment.
const ARTICLE: &str = "article";

/// Every name a plot can be filed under.
const NAMES: [&str; 6] = [
    ARTICLE_ITERATIONS,
    ARTICLE_PATCHES,
    ITERATION_TIME,
    THROUGHPUT,
    FOLDED,
    // Of reports before there was a folded plot.
    "profile",
];
const ARTICLE_ITERATIONS: &str = "article-iterations-per-second";
const ARTICLE_PATCHES: &str = "article-patches-per-second";
const ITERATION_TIME: &str = "iteration-time";
const THROUGHPUT: &str = "throughput";
const FOLDED: &str = "folded";

/// Longest file stem, characters.
const STEM_LENGTH: usize = 80;

/// A plot and the name it is filed under.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plot {
    pub(crate) name: &'static str,
    pub(crate) svg: Picture,
}

/// The plots of `row`; none where it has no points because nobody asked for them.
pub(crate) fn of(row: &DetailedRow, preset: Option<&str>) -> Vec<Plot> {
    of_study(&Study::of_row(row), preset)
}

/// The plots of `row` for a page whose text gives the reason: without it.
pub(crate) fn beside_text(row: &DetailedRow, preset: Option<&str>) -> Vec<Plot> {
    let mut study = Study::of_row(row);
    study.reason = "";
    of_study(&study, preset)
}

fn of_study(study: &Study<'_>, preset: Option<&str>) -> Vec<Plot> {
    if study.points.is_empty() {
        return Vec::new();
    }
    let curve = |name, quantity| Plot {
        name,
        svg: curve::draw(study, quantity),
    };
    let mut plots = if preset == Some(ARTICLE) {
        vec![
            curve(ARTICLE_ITERATIONS, Quantity::IterationsPerSecond),
            curve(ARTICLE_PATCHES, Quantity::PatchesPerSecond),
            curve(ITERATION_TIME, Quantity::Seconds),
        ]
    } else {
        vec![
            curve(ITERATION_TIME, Quantity::Seconds),
            curve(THROUGHPUT, Quantity::SamplesPerSecond),
        ]
    };
    plots.extend(folded::draw(study, Heading::Full).map(|svg| Plot { name: FOLDED, svg }));
    plots
}

/// One SVG file of timings of any origin, called `name`, and what was inferred from them: iteration time against batch size and, with a step, the
/// same folded onto one period. Light or dark as the viewer asks, light where it cannot.
#[must_use]
pub fn timings_picture(name: &str, trace: &Trace, inference: &Inference) -> String {
    let points = study::points(trace);
    let study = Study::of_timings(name, &points, inference);
    let curve = curve::draw(&study, Quantity::Seconds);
    match folded::draw(&study, Heading::Continued) {
        Some(folded) => curve.above(&folded),
        None => curve,
    }
    .adaptive()
}

/// The file name of one plot in one theme.
pub(crate) fn file_name(stem: &str, name: &str, theme: Theme) -> String {
    format!("{stem}-{name}-{theme}.svg")
}

/// Whether a file of this name can only be a plot that an earlier report left: a number, a row's words, a plot's name and a theme.
pub(crate) fn is_file_name(file: &str) -> bool {
    let number = file.bytes().take_while(u8::is_ascii_digit).count();
    number >= 2
        && file[number..].starts_with('-')
        && NAMES.iter().any(|name| {
            [Theme::Light, Theme::Dark]
                .into_iter()
                .any(|theme| file.ends_with(&file_name("", name, theme)))
        })
}

/// The beginning of the file names of a row's plots: its place in the table, then what it is, in plain lower-case letters.
pub(crate) fn file_stem(index: usize, row: &Row) -> String {
    let mut words = vec![
        cells::device(row),
        row.workload.clone(),
        row.mode.to_string(),
        row.dtype.to_string(),
    ];
    words.extend(row.threads.map(|threads| format!("{threads}t")));
    let mut stem = format!("{:02}", index + 1);
    for word in words
        .join("-")
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        if stem.len() + word.len() >= STEM_LENGTH {
            break;
        }
        stem.push('-');
        stem.push_str(&word.to_ascii_lowercase());
    }
    stem
}
