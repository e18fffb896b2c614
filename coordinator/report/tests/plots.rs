//! Every plot of every kind of row is a well-formed, readable picture, as a file and within the page.

// Helpers of tests may fail loudly as well.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;

use batchstep_core::steptable::{DetailedRow, Verdict};
use batchstep_inference::{Observation, Options, Trace, infer};
use batchstep_report::{Report, Theme, html, step_picture, timings_picture, write};
use common::svg::{check, shapes, words};
use roxmltree::Document;

/// Name and content of every SVG file of a report.
fn plots(report: &Report) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), report)
        .unwrap()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "svg"))
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                std::fs::read_to_string(path).unwrap(),
            )
        })
        .collect()
}

fn plots_of(row: DetailedRow) -> Vec<(String, String)> {
    plots(&common::report(vec![row], Vec::new()))
}

fn named<'a>(plots: &'a [(String, String)], part: &str) -> &'a str {
    &plots
        .iter()
        .find(|(name, _)| name.contains(part))
        .unwrap_or_else(|| panic!("no plot named {part}"))
        .1
}

#[test]
fn every_plot_of_every_row_is_a_well_formed_picture() {
    for preset in [None, Some("article".to_owned())] {
        for (name, row) in common::gallery() {
            let mut report = common::report(vec![row], Vec::new());
            report.preset.clone_from(&preset);
            for (file, svg) in plots(&report) {
                check(&format!("{name}: {file}"), &svg);
            }
        }
    }
    for theme in [Theme::Light, Theme::Dark] {
        check("step picture", &step_picture(theme));
    }
}

#[test]
fn each_plot_comes_light_and_dark_and_differs_in_colours_alone() {
    let plots = plots_of(common::staircase());
    assert_eq!(plots.len(), 6);
    for kind in ["iteration-time", "throughput", "folded"] {
        let without_style = |svg: &str| {
            svg.split("<style>").next().unwrap().to_owned() + svg.split("</style>").nth(1).unwrap()
        };
        let light = named(&plots, &format!("{kind}-light"));
        let dark = named(&plots, &format!("{kind}-dark"));
        assert_ne!(light, dark);
        assert_eq!(without_style(light), without_style(dark));
        assert!(!light.contains('$'), "a colour was not filled in");
    }
}

#[test]
fn device_names_are_text_and_never_markup() {
    let mut row = common::staircase();
    row.row.device_model = "<b>A & \"B\"</b>".to_owned();
    let plots = plots_of(row.clone());
    let svg = named(&plots, "iteration-time-light");
    let document = Document::parse(svg).unwrap();
    assert!(
        document
            .descendants()
            .all(|node| node.tag_name().name() != "b")
    );
    assert!(words(svg)[0].contains("<b>A & \"B\"</b>"));
    assert!(!html(&common::report(vec![row], Vec::new())).contains("<b>A"));
}

#[test]
fn a_step_is_marked_and_named() {
    let row = common::staircase();
    let plots = plots_of(row.clone());
    let svg = named(&plots, "iteration-time-light");
    let document = Document::parse(svg).unwrap();
    let marks = document
        .descendants()
        .filter(|node| node.attribute("class") == Some("mark"))
        .count();
    // One more in the legend.
    assert_eq!(marks, row.row.recommended_batch_sizes.len() + 1);
    let words = words(svg);
    assert!(
        words
            .iter()
            .any(|text| text.starts_with("Step 16: 17 costs 39 % more than 16")),
        "{words:?}"
    );
    assert!(
        words.iter().filter(|text| *text == "32").count() >= 2,
        "axis and mark"
    );
    let points = document
        .descendants()
        .filter(|node| node.attribute("class") == Some("data"))
        .count();
    assert_eq!(points, row.points.len() + 1);
}

#[test]
fn a_row_without_a_step_says_why() {
    let (_, row) = common::gallery()
        .into_iter()
        .find(|(name, _)| *name == "noisy")
        .unwrap();
    assert_eq!(row.row.verdict, Verdict::Insufficient);
    let plots = plots_of(row);
    assert_eq!(plots.len(), 4, "nothing to fold without a step");
    let words = words(named(&plots, "iteration-time-light"));
    assert!(
        words.iter().any(|text| text.starts_with("Insufficient")),
        "{words:?}"
    );
    assert!(
        words
            .iter()
            .any(|text| text.starts_with("The confidence in the best period")),
        "{words:?}"
    );
}

fn gallery_row(wanted: &str) -> DetailedRow {
    let mut rows = common::gallery().into_iter();
    rows.find(|(name, _)| *name == wanted).unwrap().1
}

#[test]
fn edges_are_marked_as_they_were_seen() {
    let plots = plots_of(gallery_row("missed"));
    let svg = named(&plots, "iteration-time-light");
    let words = words(svg);
    // Each has one more in the legend.
    for (class, marks, legend) in [
        ("edge", 6, "6 edges confirmed"),
        ("edge-missed", 2, "2 missed"),
        ("edge-unclear", 1, "1 unclear"),
    ] {
        assert_eq!(shapes(svg, class), marks + 1, "{class}");
        assert!(words.iter().any(|text| text == legend), "{words:?}");
    }
    assert!(svg.contains("<title>edge after batch size 64: missed"));
    assert!(svg.contains("6 confirmed, 2 missed (after 64, 112), 1 unclear (after 144)"));
    assert_eq!(shapes(named(&plots, "throughput-light"), "edge"), 0);
    let page = html(&common::report(vec![gallery_row("missed")], Vec::new()));
    assert!(page.contains("<dd>6 confirmed, 2 missed (after 64, 112), 1 unclear (after 144)</dd>"));
}

#[test]
fn every_measured_batch_size_from_the_first_good_one_is_folded() {
    for (name, first) in [
        ("fractional", 26),
        ("remainder", 8),
        ("floor", 72),
        ("sparse", 32),
    ] {
        let row = gallery_row(name);
        let plots = plots_of(row.clone());
        let svg = named(&plots, "folded-light");
        let expected = row
            .points
            .iter()
            .filter(|point| point.batch_size >= first)
            .count();
        let tips = svg.matches("<title>batch size ").count();
        assert_eq!(tips, expected, "{name}");
    }
    // Where two jumps are missing, those rounds lie along zero and the others do not.
    let row = gallery_row("missed");
    let plots = plots_of(row);
    let svg = named(&plots, "folded-light");
    let tip = |size: u32| {
        let start = svg.find(&format!("<title>batch size {size}: ")).unwrap();
        svg[start..].split("</title>").next().unwrap().to_owned()
    };
    assert!(
        tip(81).contains(": 1") && tip(81).contains("% more"),
        "{}",
        tip(81)
    );
    assert!(tip(65).contains(": 0."), "{}", tip(65));
}

#[test]
fn timings_of_any_origin_make_one_picture_for_both_themes() {
    let trace = |law: fn(f64) -> f64| {
        let observations = (0..5_u32).flat_map(|round| {
            (1..=96_u32).map(move |batch_size| Observation {
                batch_size,
                round,
                seconds: law(f64::from(batch_size)) * (1.0 + 1e-4 * f64::from(round)),
            })
        });
        Trace::new(observations.collect()).unwrap()
    };
    let staircase = trace(|b| 20e-6 + 12e-6 * (b / 16.0).ceil());
    let inference = infer(&staircase, &Options::default());
    let svg = timings_picture("<my> timings.csv", &staircase, &inference);
    check("staircase", &svg);
    assert!(svg.contains("@media screen and (prefers-color-scheme:dark)"));
    let text = words(&svg);
    assert_eq!(text[0], "<my> timings.csv");
    assert!(
        text.iter()
            .any(|text| text.starts_with("Step 16: 17 costs"))
    );
    assert!(text.iter().any(|text| text.starts_with("Every round laid")));
    assert!(text.iter().any(|text| text.ends_with("edges confirmed")));

    let line = trace(|b| 20e-6 + 1e-6 * b);
    let svg = timings_picture("line", &line, &infer(&line, &Options::default()));
    check("line", &svg);
    assert!(
        !words(&svg)
            .iter()
            .any(|text| text.starts_with("Every round laid"))
    );
}

#[test]
fn the_article_gets_its_two_plots_with_the_steps_marked() {
    let mut report = common::report(vec![common::staircase()], Vec::new());
    report.preset = Some("article".to_owned());
    let plots = plots(&report);
    for (name, axis) in [
        (
            "article-iterations-per-second-light",
            "iterations per second",
        ),
        ("article-patches-per-second-light", "patches per second"),
    ] {
        let svg = named(&plots, name);
        assert!(words(svg).iter().any(|text| text == axis), "{name}");
        assert!(svg.contains("class=\"mark\""), "{name}");
    }
}

#[test]
fn rows_without_points_have_no_plots() {
    let (_, none) = common::gallery()
        .into_iter()
        .find(|(name, _)| *name == "none")
        .unwrap();
    assert!(plots_of(none).is_empty());
}

#[test]
fn the_page_holds_well_formed_plots_with_ids_of_their_own() {
    let rows = common::gallery().into_iter().map(|(_, row)| row).collect();
    let page = html(&common::report(rows, Vec::new()));
    let mut ids = HashSet::new();
    let mut count = 0;
    for part in page.split("<svg ").skip(1) {
        let svg = format!("<svg {}</svg>", part.split("</svg>").next().unwrap());
        check("in the page", &svg);
        for node in Document::parse(&svg).unwrap().descendants() {
            if let Some(id) = node.attribute("id") {
                assert!(ids.insert(id.to_owned()), "{id} is there twice");
            }
        }
        count += 1;
    }
    assert!(count > 20, "{count} plots");
}

#[test]
fn the_step_picture_says_that_it_is_a_schematic() {
    let words = words(&step_picture(Theme::Light));
    assert!(
        words
            .iter()
            .any(|text| text.starts_with("Schematic, not a measurement")),
        "{words:?}"
    );
}
