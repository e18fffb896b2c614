//! Alarms as JUnit XML, which CI systems show as test results: a suite for each schedule's newest night, a case for each series. What fails here is what the
//! exit code 1 stands for. A night that did not happen, and what is missing while nobody knows of it, is an error; what else says nothing is skipped.

use std::fmt::Write as _;

use batchstep_judge::{Kind, Verdict};

use crate::{
    cli::nights::{
        alarm::{Told, words},
        findings::{Findings, is_absence, is_failing},
        night::{heading, said},
    },
    nightly::{
        alarms::NIGHT_MISSED,
        document::{AlarmRow, AlarmState, NightDocument, SeriesRow},
        setting,
    },
};

/// How a case ended.
enum End {
    /// As usual, or better.
    Passed,
    /// Why nothing is said of it.
    Skipped(String),
    /// Kind, sentence, and all that is known.
    Failed(String, String, String),
    /// Kind and sentence of what did not happen, or is missing.
    Error(String, String),
}

struct Case {
    class: String,
    name: String,
    end: End,
}

/// The document, with its line's end.
pub(super) fn suites(findings: &Findings) -> String {
    let suites: Vec<(&NightDocument, Vec<Case>)> = findings
        .nights
        .iter()
        .map(|night| (night, cases(findings, night)))
        .collect();
    let all = || suites.iter().flat_map(|(_, cases)| cases);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a string cannot fail.
    let _ = writeln!(out, "<testsuites name=\"batchstep\" {}>", counts(all()));
    for (document, cases) in &suites {
        let night = &document.night;
        let mut suite = format!(
            "  <testsuite name=\"{}\" {}",
            escape(&night.schedule),
            counts(cases.iter())
        );
        if let Some(began) = &night.started_at {
            let _ = write!(suite, " timestamp=\"{}\"", escape(began));
        }
        let _ = writeln!(out, "{suite}>");
        for case in cases {
            write_case(&mut out, case);
        }
        let _ = writeln!(
            out,
            "    <system-out>{}</system-out>\n  </testsuite>",
            escape_text(&heading(night))
        );
    }
    out.push_str("</testsuites>\n");
    out
}

fn counts<'a>(cases: impl Iterator<Item = &'a Case>) -> String {
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    for case in cases {
        tests += 1;
        match case.end {
            End::Passed => {}
            End::Skipped(_) => skipped += 1,
            End::Failed(..) => failures += 1,
            End::Error(..) => errors += 1,
        }
    }
    format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\"")
}

fn write_case(out: &mut String, case: &Case) {
    let begin = format!(
        "    <testcase classname=\"{}\" name=\"{}\"",
        escape(&case.class),
        escape(&case.name)
    );
    let inner = match &case.end {
        End::Passed => None,
        End::Skipped(why) => Some(format!("<skipped message=\"{}\"/>", escape(why))),
        End::Failed(kind, sentence, text) => Some(format!(
            "<failure type=\"{}\" message=\"{}\">{}</failure>",
            escape(kind),
            escape(sentence),
            escape_text(text)
        )),
        End::Error(kind, why) => Some(format!(
            "<error type=\"{}\" message=\"{}\"/>",
            escape(kind),
            escape(why)
        )),
    };
    let _ = match inner {
        None => writeln!(out, "{begin}/>"),
        Some(inner) => writeln!(out, "{begin}>\n      {inner}\n    </testcase>"),
    };
}

fn cases(findings: &Findings, document: &NightDocument) -> Vec<Case> {
    let night = &document.night;
    let alarms: Vec<&AlarmRow> = findings
        .alarms
        .iter()
        .filter(|alarm| alarm.schedule == night.schedule && alarm.state != AlarmState::Resolved)
        .collect();
    let mut cases = Vec::new();
    if night.state != "done" {
        cases.push(Case {
            class: night.schedule.clone(),
            name: format!("night of {}", night.date),
            end: End::Error(night.state.clone(), heading(night)),
        });
    }
    cases.extend(document.series.iter().map(|row| of_series(&alarms, row)));
    // What is told by no case so far: models, and what is open from before.
    let is_told = |alarm: &AlarmRow| {
        if alarm.kind == NIGHT_MISSED {
            return night.state != "done" && alarm.night == night.number;
        }
        document.series.iter().any(|row| is_told_by(alarm, row))
    };
    let others = alarms.iter().filter(|alarm| !is_told(alarm));
    cases.extend(others.map(|alarm| Case {
        class: night.schedule.clone(),
        name: format!("{}: {}", words(&alarm.kind), setting(&alarm.subject)),
        end: of_alarm(alarm),
    }));
    cases
}

/// Whether the case of a series tells an alarm: its own, or of what is missing also its device's or its host's.
fn is_told_by(alarm: &AlarmRow, row: &SeriesRow) -> bool {
    if is_absence(alarm) {
        let is_missing = |verdict: &Verdict| verdict.kind == Kind::Missing;
        row.verdicts.iter().any(is_missing) && row.about.is_of(&alarm.subject)
    } else {
        alarm.subject == row.series
    }
}

fn of_series(alarms: &[&AlarmRow], row: &SeriesRow) -> Case {
    let about = &row.about;
    let mut own: Vec<&&AlarmRow> = alarms
        .iter()
        .filter(|alarm| is_told_by(alarm, row))
        .collect();
    // What fails, then what is missing, before what somebody knows of.
    own.sort_by_key(|alarm| {
        (
            !is_failing(alarm),
            alarm.state != AlarmState::Open,
            alarm.id,
        )
    });
    let says_nothing = |verdict: &&Verdict| {
        matches!(
            verdict.kind,
            Kind::Missing | Kind::Invalid | Kind::Learning | Kind::Incomparable
        )
    };
    let end = match (own.first(), row.verdicts.iter().find(says_nothing)) {
        (Some(alarm), _) => of_alarm(alarm),
        (None, Some(_)) => End::Skipped(said(row)),
        (None, None) => End::Passed,
    };
    Case {
        class: format!("{}.{}", about.hostname, about.group().model),
        name: format!(
            "{} {}",
            about.device,
            setting(&about.setting(&about.workload))
        ),
        end,
    }
}

fn of_alarm(alarm: &AlarmRow) -> End {
    let told = Told::of(alarm, "");
    if is_failing(alarm) {
        End::Failed(
            alarm.kind.clone(),
            told.sentence.clone(),
            told.paragraph(None),
        )
    } else if alarm.state == AlarmState::Open {
        End::Error(alarm.kind.clone(), told.sentence)
    } else {
        End::Skipped(format!("{}: {}", told.answered, told.sentence))
    }
}

/// Text as it may stand between tags, with its lines.
fn escape_text(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escape).collect();
    lines.join("\n")
}

/// Text as it may stand in an attribute: what XML reserves is escaped, what it has no way to write is replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // As characters they would be read as blanks within an attribute.
            '\n' | '\r' | '\t' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_well_formed_and_read_as_it_was() {
        let odd = "a<b>&\"c'\n\t]]> ü 漢 \u{1f600} \u{7f}\u{85}\u{202e}";
        let xml = format!("<a b=\"{}\">{}</a>", escape(odd), escape_text(odd));
        let read = roxmltree::Document::parse(&xml).unwrap();
        assert_eq!(read.root_element().attribute("b"), Some(odd));
        assert_eq!(read.root_element().text(), Some(odd));
    }

    #[test]
    fn what_xml_cannot_say_is_replaced() {
        assert_eq!(
            escape("\u{0}\u{1b}[31m\u{ffff}"),
            "\u{fffd}\u{fffd}[31m\u{fffd}"
        );
        for c in (0..0x11_0000).filter_map(char::from_u32) {
            if c < '\u{100}' || ('\u{fff0}'..'\u{1_0010}').contains(&c) {
                let xml = format!("<a b=\"{}\"/>", escape(&c.to_string()));
                assert!(roxmltree::Document::parse(&xml).is_ok(), "{c:?}");
            }
        }
    }
}
