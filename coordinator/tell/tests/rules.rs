//! `deploy/prometheus`: every metric that a rule or its test asks for is exported, and the files say what the guide says.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail loudly too")]

use std::collections::BTreeSet;

use batchstep_tell::metrics::{METRICS, OUTCOMES};
use saphyr::{LoadableYamlNode as _, Yaml};

const RULES: &str = include_str!("../../../deploy/prometheus/batchstep-rules.yml");
const TESTS: &str = include_str!("../../../deploy/prometheus/tests.yml");
const GUIDE: &str = include_str!("../../../docs/guide/messages.md");
/// Exported by others: Prometheus itself, and the coordinator's health.
const OTHERS: [&str; 2] = ["up", "batchstep_healthy"];
/// What an expression may hold beside metrics.
const WORDS: [&str; 8] = [
    "sum",
    "by",
    "on",
    "and",
    "time",
    "increase",
    "for",
    "humanizeDuration",
];

fn rules() -> Vec<Yaml<'static>> {
    let documents = Yaml::load_from_str(RULES).unwrap();
    let groups = documents[0]["groups"].as_vec().unwrap().clone();
    groups
        .iter()
        .flat_map(|group| group["rules"].as_vec().unwrap().clone())
        .collect()
}

/// Names in an expression, without what stands in quotes, in braces or behind `by` and `on`.
fn names(expression: &str) -> BTreeSet<String> {
    let mut plain = String::new();
    let (mut in_braces, mut in_labels) = (false, false);
    let mut rest = expression;
    while let Some(c) = rest.chars().next() {
        let begins_labels = ["by (", "on ("].iter().any(|word| rest.starts_with(word));
        in_braces |= c == '{';
        in_labels |= begins_labels;
        plain.push(if in_braces || in_labels { ' ' } else { c });
        in_braces &= c != '}';
        in_labels &= c != ')';
        rest = &rest[c.len_utf8()..];
    }
    // Durations as `[1h]` begin with a digit.
    let words = plain.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()))
        .filter(|word| !WORDS.contains(word))
        .map(ToOwned::to_owned)
        .collect()
}

fn exported() -> BTreeSet<String> {
    let ours = METRICS.iter().map(|metric| metric.exported_name());
    ours.chain(OTHERS.map(ToOwned::to_owned)).collect()
}

#[test]
fn names_are_found_in_expressions() {
    let expression =
        r#"sum by (a, b) (x_y{c="d"}) > 0 and on (e) increase(z_total[1h]) > 26 * 3600"#;
    let expected = ["x_y", "z_total"].map(ToOwned::to_owned);
    assert_eq!(names(expression), BTreeSet::from(expected));
}

#[test]
fn rules_ask_only_for_what_is_exported() {
    let exported = exported();
    let mut asked = BTreeSet::new();
    for rule in rules() {
        let expression = rule["expr"].as_str().unwrap();
        for name in names(expression) {
            assert!(exported.contains(&name), "no metric {name}: {expression}");
            asked.insert(name);
        }
    }
    // The verdicts of a night are for graphs; everything else is worth an alert.
    let unasked: Vec<&String> = exported.difference(&asked).collect();
    assert_eq!(unasked, ["batchstep_nightly_series"]);
}

#[test]
fn every_rule_says_what_to_do_and_is_tested() {
    let mut seen = BTreeSet::new();
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap().to_owned();
        assert!(matches!(
            rule["labels"]["severity"].as_str(),
            Some("warning" | "critical")
        ));
        for text in ["summary", "description"] {
            assert!(
                !rule["annotations"][text].as_str().unwrap().is_empty(),
                "{name}: {text}"
            );
        }
        assert!(
            TESTS.contains(&format!("alertname: {name}\n")),
            "{name} has no test"
        );
        assert!(seen.insert(name.clone()), "{name} twice");
    }
    assert_eq!(seen.len(), 10);
}

#[test]
fn the_labels_and_values_that_rules_select_exist() {
    for outcome in OUTCOMES {
        assert!(
            GUIDE.contains(&format!("`{outcome}`")),
            "{outcome} is not explained"
        );
    }
    let kinds = batchstep_tell::message::Kind::ALL.map(|kind| kind.word());
    for (part, known) in [("kind", &kinds[..]), ("outcome", &OUTCOMES)] {
        for rule in rules() {
            let expression = rule["expr"].as_str().unwrap();
            for selector in expression.split(&format!("{part}=")).skip(1) {
                let values = selector.trim_start_matches('~').split('"').nth(1).unwrap();
                for value in values.split('|') {
                    assert!(known.contains(&value), "no {part} {value}: {expression}");
                }
            }
        }
    }
}

#[test]
fn the_guide_lists_every_metric() {
    for metric in METRICS {
        let labels = metric.labels.join(",");
        let listed = format!("`{}{{{labels}}}`", metric.exported_name());
        assert!(GUIDE.contains(&listed), "{listed} is not in the guide");
    }
}
