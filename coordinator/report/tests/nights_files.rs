//! The folder of nights: page, JSON and plots; what a second writing replaces, and what it leaves alone.

// Helpers of tests may fail loudly as well.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use batchstep_report::{
    Acknowledgement, Histories, Hit, NightPoint, NightStep, SeriesHistory, Unjudged, nights_html,
    write, write_history,
};
use common::nights;
use common::svg::check;
use roxmltree::Document;
use serde_json::json;

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn listing(folder: &Path) -> HashSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn every_series_and_group_has_a_light_and_a_dark_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut series = nights::fleet(3);
    // Nothing but the number in the name tells these two apart.
    series.push(series[0].clone());
    let written = write_history(folder.path(), &series).unwrap();
    let names = names(&written);
    assert_eq!(names[..2], ["nights.html", "history.json"]);
    let unique: HashSet<&String> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{names:?}");
    let count = |start: &str| names.iter().filter(|name| name.starts_with(start)).count();
    assert_eq!((count("history-"), count("devices-")), (8, 2), "{names:?}");
    let light = names.iter().filter(|name| name.ends_with("-light.svg"));
    assert_eq!(light.count(), 5);
    for path in &written[2..] {
        check("file", &std::fs::read_to_string(path).unwrap());
    }
    let parsed: Histories =
        serde_json::from_str(&std::fs::read_to_string(&written[1]).unwrap()).unwrap();
    assert_eq!(parsed, Histories::from(series));
}

#[test]
fn a_second_writing_removes_plots_of_lost_series_and_leaves_a_report_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &common::report(vec![common::staircase()], Vec::new()),
    )
    .unwrap();
    let report = listing(&folder.path().join("plots"));
    write_history(folder.path(), &nights::fleet(4)).unwrap();
    write_history(folder.path(), &nights::fleet(1)).unwrap();
    let plots = listing(&folder.path().join("plots"));
    assert!(plots.is_superset(&report));
    assert_eq!(plots.len(), report.len() + 2, "{plots:?}");
    write(
        folder.path(),
        &common::report(vec![common::staircase()], Vec::new()),
    )
    .unwrap();
    assert_eq!(listing(&folder.path().join("plots")), plots);
}

#[test]
fn the_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = write_history(&file, &[]).unwrap_err().to_string();
    assert!(error.contains(file.to_str().unwrap()), "{error}");
}

#[test]
fn the_json_is_as_documented() {
    let series = SeriesHistory {
        schedule: "nightly".to_owned(),
        device: "GPU 3".to_owned(),
        host: "node-7".to_owned(),
        model: "model".to_owned(),
        workload: "linear".to_owned(),
        setting: "train f32".to_owned(),
        nights: vec![NightPoint {
            number: 22,
            date: "2026-11-17".to_owned(),
            seconds: Some(0.0236),
            unjudged: None,
            baseline: Some(0.0213),
            band: Some([0.0205, 0.0221]),
            hit: Some(Hit::Slower),
            verdict: "confirmed".to_owned(),
            is_alarm: true,
            step: NightStep::Period(16.0),
            acknowledgement: Some(Acknowledgement {
                by: "anna".to_owned(),
                reason: "fan".to_owned(),
            }),
            segment: 2,
            changes: vec!["driver 570 → 580".to_owned()],
        }],
    };
    let expected = json!({"schema_version": 1, "series": [{
        "schedule": "nightly", "device": "GPU 3", "host": "node-7", "model": "model", "workload": "linear", "setting": "train f32",
        "nights": [{
            "number": 22, "date": "2026-11-17", "seconds": 0.0236, "unjudged": null, "baseline": 0.0213, "band": [0.0205, 0.0221],
            "hit": "slower", "verdict": "confirmed", "is_alarm": true, "step": {"period": 16.0},
            "acknowledgement": {"by": "anna", "reason": "fan"}, "segment": 2, "changes": ["driver 570 → 580"],
        }],
    }]});
    let histories = Histories::from(vec![series]);
    assert_eq!(serde_json::to_value(&histories).unwrap(), expected);
    // What is left out is absent; what is not known is ignored.
    let night: NightPoint = serde_json::from_value(json!({
        "number": 1, "date": "2026-11-01", "step": "none", "later": true,
        "unjudged": {"kind": "missing", "reason": "the host did not report"},
    }))
    .unwrap();
    assert_eq!(night.step, NightStep::None);
    assert!(matches!(night.unjudged, Some(Unjudged::Missing { .. })));
    assert_eq!(
        (night.seconds, night.hit, night.is_alarm),
        (None, None, false)
    );
}

/// The SVG elements of a page.
fn pictures(page: &str) -> Vec<String> {
    page.split("<svg ")
        .skip(1)
        .map(|part| format!("<svg {}</svg>", part.split("</svg>").next().unwrap()))
        .collect()
}

#[test]
fn the_page_holds_well_formed_plots_with_ids_of_their_own() {
    let mut series = nights::fleet(5);
    series.extend(nights::gallery().into_iter().map(|(_, series)| series));
    let page = nights_html(&series, Some("plots"));
    let pictures = pictures(&page);
    assert_eq!(pictures.len(), series.len() + 1);
    let mut ids = HashSet::new();
    for svg in &pictures {
        check("in the page", svg);
        for node in Document::parse(svg).unwrap().descendants() {
            if let Some(id) = node.attribute("id") {
                assert!(ids.insert(id.to_owned()), "{id} is there twice");
            }
        }
    }
    for link in page.split("href=\"#").skip(1) {
        let id = link.split('"').next().unwrap();
        assert!(
            page.contains(&format!("id=\"{id}\"")),
            "nothing is called {id}"
        );
    }
    assert!(!page.contains("<script") && !page.contains("<left>"));
    assert!(!page.contains("src=") && !page.contains("url("));
}

#[test]
fn series_with_an_alarm_come_first() {
    let mut fleet = nights::fleet(6);
    // Without changes, so that there are series of every rank.
    fleet[0] = nights::quiet("GPU 00", 0, 30, 0.0214);
    nights::missing(&mut fleet[2], 4..=6);
    let page = nights_html(&fleet, None);
    let first_row = page.split("<tbody>").nth(1).unwrap();
    let first_row = first_row.split("</tr>").next().unwrap();
    assert!(first_row.contains("GPU 03") && first_row.contains("confirmed, alarm"));
    let titles: Vec<&str> = page
        .split("-plot-title\">")
        .skip(1)
        .map(|part| part.split("</title>").next().unwrap())
        .collect();
    assert!(titles[0].ends_with("GPU 03"), "alarm: {titles:?}");
    assert!(titles[1].ends_with("GPU 05"), "missing: {titles:?}");
    assert!(titles[2].ends_with("GPU 02"), "had an alarm: {titles:?}");
    assert!(titles[5].ends_with("GPU 00"), "nothing: {titles:?}");
    let at = |words: &str| page.find(words).unwrap();
    assert!(at("With an alarm or a change") < at("Without alarm or change"));
}

#[test]
fn a_large_fleet_has_its_further_plots_beside_the_page() {
    let fleet = nights::fleet(105);
    let page = nights_html(&fleet, Some("plots"));
    assert_eq!(pictures(&page).len(), 101);
    assert_eq!(page.matches("href=\"plots/history-").count(), 5);
    assert!(page.contains("5 further series"));
}

#[test]
fn nothing_on_record_is_said() {
    let page = nights_html(&[], None);
    assert!(page.contains("No series is on record"));
    let folder = tempfile::tempdir().unwrap();
    let written = write_history(folder.path(), &[]).unwrap();
    assert_eq!(names(&written), ["nights.html", "history.json"]);
}
