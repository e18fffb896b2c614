//! All alarms on a terminal and as Markdown. Prints nothing.

use batchstep_report::markdown_text;
use jiff::Timestamp;

use crate::{
    cli::{
        grid,
        nights::{
            alarm::{Told, words},
            cell,
            findings::{Findings, is_failing, precision},
            markdown_table, minute, night,
        },
        text,
    },
    nightly::document::{AlarmRow, AlarmState, AlarmsDocument},
};

/// Alarms in the table of Markdown: a comment on a forge may have 65,536 characters.
const LISTED: usize = 100;
/// Those of them that are told with all their commands.
const DETAILED: usize = 25;

/// Columns of the table in Markdown.
const COLUMNS: [&str; 10] = [
    "alarm", "says", "device", "host", "workload", "before", "after", "shift", "since", "changed",
];

/// What is shown.
pub(super) struct Page<'a> {
    /// Alarms and the newest nights.
    pub findings: &'a Findings,
    /// The alarms as they were told.
    pub document: &'a AlarmsDocument,
    /// From when on, where somebody asked.
    pub since: Option<Timestamp>,
    /// What a command needs to reach the same coordinator.
    pub flag: String,
}

impl Page<'_> {
    /// For a terminal.
    pub(super) fn table(&self) -> String {
        let width = grid::width();
        let mut out = format!("{}\n", grid::wrap("", &self.summary(), width));
        for alarm in self.alarms() {
            out.push('\n');
            out.push_str(&self.told(alarm).paragraph(width));
        }
        out.push('\n');
        for document in &self.findings.nights {
            for line in night::heading(&document.night).lines() {
                out.push_str(&format!("{}\n", grid::wrap("", line, width)));
            }
        }
        out.push_str(&grid::wrap("", &precision(&self.document.labels), width));
        out
    }

    /// For the summary of a CI run, and for comments.
    pub(super) fn markdown(&self) -> String {
        let mut out = format!("### {}\n", markdown_text(&self.summary()));
        let alarms = self.alarms();
        if !alarms.is_empty() {
            let rows = alarms.iter().take(LISTED).map(|alarm| {
                let told = self.told(alarm);
                vec![
                    format!("{} ({})", alarm.id, state(alarm)),
                    words(&alarm.kind),
                    told.device,
                    told.host,
                    told.workload,
                    told.before,
                    told.after,
                    told.shift,
                    told.since,
                    told.changed,
                ]
            });
            out.push_str(&format!("\n{}", markdown_table(&COLUMNS, rows)));
        }
        let open = |alarm: &&&AlarmRow| alarm.state == AlarmState::Open;
        for alarm in alarms.iter().filter(open).take(DETAILED) {
            out.push_str(&night::alarm_markdown(&self.told(alarm)));
        }
        if alarms.len() > LISTED || alarms.iter().filter(open).count() > DETAILED {
            out.push_str(&format!(
                "\nNot all of it is here: `batchstep regressions{}`\n",
                self.flag
            ));
        }
        out.push('\n');
        for document in &self.findings.nights {
            let heading = night::heading(&document.night).replace('\n', "; ");
            out.push_str(&format!("- {}\n", markdown_text(&heading)));
        }
        out.push_str(&format!("\n{}\n", precision(&self.document.labels)));
        out
    }

    fn told(&self, alarm: &AlarmRow) -> Told {
        Told::of(alarm, &self.flag)
    }

    /// What fails first, then what is open, then what somebody knows of, then what is over; by number within each.
    fn alarms(&self) -> Vec<&AlarmRow> {
        let mut alarms: Vec<&AlarmRow> = self.findings.alarms.iter().collect();
        alarms.sort_by_key(|alarm| {
            let order = match alarm.state {
                AlarmState::Open if is_failing(alarm) => 0,
                AlarmState::Open => 1,
                AlarmState::Acknowledged => 2,
                AlarmState::Resolved => 3,
            };
            (order, alarm.id)
        });
        alarms
    }

    fn summary(&self) -> String {
        let count = |state: AlarmState| {
            let alarms = self.findings.alarms.iter();
            alarms.filter(|alarm| alarm.state == state).count() as u64
        };
        let open = count(AlarmState::Open);
        let mut said = vec![format!("{} open", text::count(open, "alarm"))];
        if open == 0 {
            said = vec!["No alarm is open".to_owned()];
        }
        let known = count(AlarmState::Acknowledged);
        if known > 0 {
            said.push(format!("{known} acknowledged"));
        }
        if let Some(since) = self.since {
            let over = count(AlarmState::Resolved);
            said.push(format!("{over} over since {}", minute(&since.to_string())));
        }
        if self.findings.nights.is_empty() {
            said.push("no night is over yet".to_owned());
        }
        cell(&said.join(", "))
    }
}

const fn state(alarm: &AlarmRow) -> &'static str {
    match alarm.state {
        AlarmState::Open => "open",
        AlarmState::Acknowledged => "acknowledged",
        AlarmState::Resolved => "over",
    }
}
