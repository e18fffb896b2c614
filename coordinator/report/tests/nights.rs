//! The pictures of nights: each night, hit, alarm, change and acknowledgement is there once, legible, for one night as for 400.

// Helpers of tests may fail loudly as well.
#![allow(clippy::unwrap_used)]

mod common;

use batchstep_report::{
    Hit, NightPoint, NightStep, SeriesHistory, Theme, devices_picture, history_picture,
};
use common::nights::{self, gallery};
use common::svg::{check, check_texts, shapes, tips, words};
use roxmltree::Document;

fn light(series: &SeriesHistory) -> String {
    history_picture(series, Some(Theme::Light))
}

fn named(wanted: &str) -> SeriesHistory {
    let mut all = gallery().into_iter();
    all.find(|(name, _)| *name == wanted).unwrap().1
}

fn judged(series: &SeriesHistory) -> impl Iterator<Item = &NightPoint> {
    let is_usable = |seconds: f64| seconds.is_finite() && seconds > 0.0;
    series
        .nights
        .iter()
        .filter(move |night| night.unjudged.is_none() && night.seconds.is_some_and(is_usable))
}

#[test]
fn every_history_is_a_well_formed_picture_whose_texts_keep_apart() {
    for (name, series) in gallery() {
        for theme in [None, Some(Theme::Light), Some(Theme::Dark)] {
            let svg = history_picture(&series, theme);
            check(name, &svg);
            check_texts(name, &svg);
            assert!(!svg.contains('$'), "{name}: a colour was not filled in");
        }
    }
    for count in [1, 2, 12, 13, 70] {
        let svg = devices_picture(&nights::fleet(count), None);
        check("devices", &svg);
        check_texts("devices", &svg);
    }
    check("nobody", &devices_picture(&[], None));
}

#[test]
fn every_judged_night_has_one_mark_and_its_numbers() {
    for (name, series) in gallery() {
        let svg = light(&series);
        let with = |hit| judged(&series).filter(|night| night.hit == hit).count();
        for (class, hit) in [
            ("data", None),
            ("slower", Some(Hit::Slower)),
            ("faster", Some(Hit::Faster)),
        ] {
            assert_eq!(tips(&svg, class).len(), with(hit), "{name}: {class}");
        }
    }
    let tips = tips(&light(&named("eventful")), "slower");
    assert!(
        tips[0].starts_with("2025-11-15, night 20: provisional, slower: 23."),
        "{tips:?}"
    );
    assert!(tips[1].contains(" % above its baseline of 21."), "{tips:?}");
}

#[test]
fn alarms_are_ringed_and_have_a_lane() {
    let series = named("eventful");
    let svg = light(&series);
    let alarms = judged(&series).filter(|night| night.is_alarm).count();
    assert!(alarms > 5);
    // One more in the legend.
    assert_eq!(shapes(&svg, "alarm"), alarms + 1);
    assert_eq!(
        tips(&svg, "lane-alarm"),
        [
            "2025-11-10 to 2025-11-12, 3 nights: an alarm is open",
            "2025-11-16 to 2025-11-25, 10 nights: an alarm is open"
        ]
    );
    // Among 400 nights rings would be a chain: the first night of each alarm has one.
    let year = named("year");
    let begins = year
        .nights
        .windows(2)
        .filter(|pair| pair[1].is_alarm && !pair[0].is_alarm && pair[1].unjudged.is_none());
    assert_eq!(shapes(&light(&year), "alarm"), begins.count() + 1);
}

#[test]
fn each_segment_begins_with_a_line_that_says_what_changed() {
    for (name, series) in gallery() {
        let svg = light(&series);
        let nights = &series.nights;
        let starts = nights
            .windows(2)
            .filter(|pair| pair[0].segment != pair[1].segment);
        let count = starts.count();
        assert_eq!(tips(&svg, "change-foot").len(), count, "{name}");
        let in_legend = usize::from(count > 0);
        assert_eq!(shapes(&svg, "change"), count + in_legend, "{name}");
    }
    let words = words(&light(&named("segments")));
    for change in [
        "driver 560.35 → 570.86",
        "CUDA 12.8 → 13.0",
        "power limit 700 W → 600 W",
        "ECC off → on",
    ] {
        let said = words.iter().filter(|text| *text == change).count();
        assert_eq!(said, 1, "{change} in {words:?}");
    }
}

#[test]
fn many_changes_are_numbered_and_listed() {
    let svg = light(&named("restless"));
    let words = words(&svg);
    assert!(
        words
            .iter()
            .any(|text| text.starts_with("1 · 2025-10-29, night 3: driver"))
    );
    assert!(
        words
            .iter()
            .any(|text| text == "and 38 more: point at a mark")
    );
    // Every number from 1 to 58 is in one label.
    let numbers = words.iter().filter_map(|text| {
        let (first, last) = text.split_once('–').unwrap_or((text, text));
        Some(first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?)
    });
    let mut numbers: Vec<u32> = numbers.flatten().collect();
    // The lane of the step is called 16, too.
    let step = numbers.iter().rposition(|number| *number == 16).unwrap();
    numbers.remove(step);
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=58).collect::<Vec<u32>>());
}

#[test]
fn an_acknowledgement_is_a_flag_with_a_name_and_its_reason_below() {
    let series = named("eventful");
    let svg = light(&series);
    let words = words(&svg);
    let said = "2025-11-17, night 22: acknowledged by anna: fan 3 is dead, replaced on Friday";
    assert_eq!(tips(&svg, "flag"), [said]);
    for text in ["anna", said] {
        assert_eq!(
            words.iter().filter(|word| *word == text).count(),
            1,
            "{text}"
        );
    }
    // The same word on the nights after it is no other flag.
    let mut muted = series;
    let word = muted.nights[21].acknowledgement.clone();
    for night in &mut muted.nights[21..] {
        night.acknowledgement.clone_from(&word);
    }
    assert_eq!(tips(&light(&muted), "flag"), [said]);
}

#[test]
fn nights_without_a_judgement_are_bars_and_gaps_stay_gaps() {
    let svg = light(&named("eventful"));
    assert_eq!(
        tips(&svg, "lane-missing"),
        ["2025-11-10 to 2025-11-12, 3 nights: missing: the host did not report"]
    );
    assert_eq!(
        tips(&svg, "lane-invalid"),
        ["2025-11-04, night 9: invalid: throttled"]
    );
    // 1 to 8, 10 to 11, 12 to 14 in the new segment, 18 to 30.
    assert_eq!(shapes(&svg, "trail"), 4);
    // One area in each of the two segments; the third is the legend's.
    assert_eq!(shapes(&svg, "gate"), 3);
    let lost = light(&named("lost"));
    assert!(words(&lost).contains(&"No night was measured.".to_owned()));
    assert_eq!(tips(&lost, "lane-missing").len(), 1);
    // A night that the schedule's count left out is a gap, too.
    let mut skipped = nights::quiet("GPU 0", 1, 10, 0.01);
    skipped.nights.remove(4);
    assert_eq!(shapes(&light(&skipped), "trail"), 2);
}

#[test]
fn the_step_has_a_panel_of_its_own() {
    let svg = light(&named("eventful"));
    let bars = tips(&svg, "step-bar");
    assert_eq!(bars.len(), 5, "{bars:?}");
    assert_eq!(bars[4], "2025-11-24 to 2025-11-25, 2 nights: step 24");
    assert_eq!(
        tips(&svg, "step-unknown"),
        ["2025-11-23, night 28: step not known"]
    );
    let mut none = nights::quiet("GPU 0", 1, 10, 0.01);
    for night in &mut none.nights {
        night.step = NightStep::None;
    }
    let svg = light(&none);
    assert!(words(&svg).contains(&"none".to_owned()));
    assert_eq!(tips(&svg, "step-none").len(), 1);
}

#[test]
fn one_spike_leaves_the_other_nights_their_room() {
    let series = named("spike");
    let svg = light(&series);
    assert!(
        words(&svg).contains(&"31 ms".to_owned()),
        "its time is said"
    );
    assert!(!svg.contains("logarithmic"));
    // The same nights with an alarm are all on the axis.
    let mut alarm = series;
    alarm.nights[30].is_alarm = true;
    let svg = light(&alarm);
    assert!(svg.contains("logarithmic"));
    assert!(!words(&svg).contains(&"31 ms".to_owned()));
}

#[test]
fn names_are_text_and_never_markup() {
    let series = named("long");
    for svg in [
        light(&series),
        devices_picture(&[series.clone(), nights::quiet("b", 1, 3, 0.1)], None),
    ] {
        let document = Document::parse(&svg).unwrap();
        let is_markup = |name: &str| name == "left" || name == "node";
        assert!(
            !document
                .descendants()
                .any(|node| is_markup(node.tag_name().name()))
        );
        let title = document.root_element().first_element_child().unwrap();
        assert!(!title.text().unwrap().is_empty());
    }
    let svg = light(&series);
    assert!(svg.contains("&lt;left&gt; &amp; right"));
    assert!(words(&svg).concat().contains("\"<left> & right\""));
}

#[test]
fn devices_are_beside_each_other_by_name_and_those_with_an_alarm_are_never_left_out() {
    let mut fleet = nights::fleet(70);
    fleet[3].device = "ZZ 3".to_owned();
    // Both that had an alarm are beyond the first 64.
    fleet.rotate_left(6);
    let svg = devices_picture(&fleet, Some(Theme::Light));
    let words = words(&svg);
    let names: Vec<&String> = words
        .iter()
        .filter(|text| text.starts_with("GPU ") || text.starts_with("ZZ "))
        .collect();
    assert_eq!(names.len(), 64);
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(names[63], "ZZ 3");
    assert!(words.contains(&"and 6 more devices".to_owned()));
    assert!(words.contains(&"Last night: alarm on 2 of 70 devices: GPU 05, ZZ 3".to_owned()));
    assert_eq!(tips(&svg, "lane-missing").len(), 2);
    assert_eq!(tips(&svg, "flag").len(), 1);
    assert_eq!(tips(&svg, "change-foot").len(), 64);
    // Every judged night has a mark (and one is the legend's), only hits have tips.
    let marks = shapes(&svg, "data") + tips(&svg, "slower").len() - 1;
    assert_eq!(marks, 64 * 30 - 3 - 1 - 7);
    assert_eq!(tips(&svg, "data").len(), 0);
}

#[test]
fn the_last_night_of_a_device_that_is_gone_has_its_date() {
    let mut fleet = nights::fleet(3);
    fleet[1].nights.truncate(20);
    let words = words(&devices_picture(&fleet, None));
    assert!(words.contains(&"on 2025-11-15".to_owned()), "{words:?}");
}

#[test]
fn only_devices_with_the_same_work_are_beside_each_other() {
    let mut fleet = nights::fleet(8);
    fleet[6].workload = "linear".to_owned();
    fleet[7].schedule = "weekly".to_owned();
    let words = words(&devices_picture(&fleet, None));
    assert!(words.contains(&"GPU 05".to_owned()));
    assert!(!words.contains(&"GPU 06".to_owned()) && !words.contains(&"GPU 07".to_owned()));
}

#[test]
fn the_description_says_what_the_picture_shows() {
    let svg = light(&named("eventful"));
    let document = Document::parse(&svg).unwrap();
    let description = document
        .descendants()
        .find(|node| node.tag_name().name() == "desc")
        .and_then(|node| node.text())
        .unwrap();
    for part in [
        "30 nights from 2025-10-27 to 2025-11-25: 26 judged, 3 missing, 1 invalid.",
        "Last night, 2025-11-25, night 30: confirmed",
        "Hits: 2025-11-15 to 2025-11-25, 11 nights: slower.",
        "Alarms: 2025-11-10 to 2025-11-12, 3 nights; 2025-11-16 to 2025-11-25, 10 nights.",
        "Changes: 2025-11-07, night 12: driver 570.86.15 → 580.65.06",
        "Acknowledgements: 2025-11-17, night 22: acknowledged by anna: fan",
    ] {
        assert!(description.contains(part), "{part} in {description}");
    }
}
