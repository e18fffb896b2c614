//! The plots of a row: iteration time and throughput against batch size, the profile of a period, and the article's two. [`of`] says which
//! a row gets; the page shows them inline and the report folder holds them as files. Draws what the row says and computes no statistics.

mod callouts;
mod curve;
mod frame;
mod labels;
mod profile;
mod quantity;
mod schematic;

use batchstep_core::steptable::{DetailedRow, Row};

use crate::{Theme, cells, draw::Picture};
use quantity::Quantity;

pub use schematic::step_picture;

/// Name of the preset that repeats the article's experiment.
const ARTICLE: &str = "article";

/// Every name a plot can be filed under.
const NAMES: [&str; 5] = [
    ARTICLE_ITERATIONS,
    ARTICLE_PATCHES,
    ITERATION_TIME,
    THROUGHPUT,
    PROFILE,
];
const ARTICLE_ITERATIONS: &str = "article-iterations-per-second";
const ARTICLE_PATCHES: &str = "article-patches-per-second";
const ITERATION_TIME: &str = "iteration-time";
const THROUGHPUT: &str = "throughput";
const PROFILE: &str = "profile";

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
    if row.points.is_empty() {
        return Vec::new();
    }
    let samples = if preset == Some(ARTICLE) {
        Quantity::PatchesPerSecond
    } else {
        Quantity::SamplesPerSecond
    };
    let mut plots = Vec::new();
    if preset == Some(ARTICLE) {
        plots.push(Plot {
            name: ARTICLE_ITERATIONS,
            svg: curve::draw(row, Quantity::IterationsPerSecond),
        });
        plots.push(Plot {
            name: ARTICLE_PATCHES,
            svg: curve::draw(row, samples),
        });
    }
    plots.push(Plot {
        name: ITERATION_TIME,
        svg: curve::draw(row, Quantity::Seconds),
    });
    if preset != Some(ARTICLE) {
        plots.push(Plot {
            name: THROUGHPUT,
            svg: curve::draw(row, samples),
        });
    }
    plots.extend(profile::draw(&row.row).map(|svg| Plot { name: PROFILE, svg }));
    plots
}

/// The plots of `row` for a page whose text gives the reason: without it.
pub(crate) fn beside_text(row: &DetailedRow, preset: Option<&str>) -> Vec<Plot> {
    let mut row = row.clone();
    row.row.reason.clear();
    of(&row, preset)
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
