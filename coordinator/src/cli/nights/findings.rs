//! Alarms and nights as one answer: whether it is good news.

use anyhow::Result;
use batchstep_judge::{Kind, Verdict};
use batchstep_proto::wire::get_night_request::Which;
use jiff::Timestamp;

use super::ask;
use crate::{
    cli::{Exit, endpoint::Nights},
    nightly::{
        alarms::NIGHT_MISSED,
        document::{AlarmRow, AlarmState, AlarmsDocument, Labels, NightDocument},
        kind,
    },
};

/// Alarms with the nights that they are seen from.
pub(in crate::cli) struct Findings {
    /// Alarms, oldest first.
    pub alarms: Vec<AlarmRow>,
    /// The newest night of each schedule, or the one that is shown.
    pub nights: Vec<NightDocument>,
}

impl Findings {
    /// Asks for alarms that are open, or were since a time, and for the newest night of each schedule. The document is as the coordinator gave it.
    ///
    /// # Errors
    /// When the coordinator refuses.
    pub(in crate::cli) async fn ask(
        client: &mut Nights,
        schedule: Option<&str>,
        since: Option<Timestamp>,
    ) -> Result<(Self, AlarmsDocument)> {
        let document = ask::alarms(client, schedule, since).await?;
        let mut nights = Vec::new();
        for night in &document.nights {
            let which = Some(Which::Number(night.number));
            nights.push(ask::night(client, Some(&night.schedule), which).await?);
        }
        let findings = Self {
            alarms: document.alarms.clone(),
            nights,
        };
        Ok((findings, document))
    }

    /// The same of one night.
    pub(in crate::cli) fn of_night(night: NightDocument) -> Self {
        Self {
            alarms: night.alarms.clone(),
            nights: vec![night],
        }
    }

    /// What a command that was asked for them ends with; the gravest counts.
    pub(in crate::cli) fn exit(&self, strict: bool) -> Exit {
        if self.alarms.iter().any(is_failing) {
            Exit::BadNews
        } else if self.alarms.iter().any(is_absent_unanswered)
            || self.nights.iter().any(|night| self.is_incomplete(night))
        {
            Exit::Incomplete
        } else if strict && self.nights.iter().any(is_ambiguous) {
            Exit::Ambiguous
        } else {
            Exit::Done
        }
    }

    /// Says on stderr why a command ends as [`Findings::exit`] has it.
    pub(in crate::cli) fn explain(exit: Exit) {
        let why = match exit {
            Exit::BadNews => {
                "an alarm is open that nobody has acknowledged, other than missing and night missed"
            }
            Exit::Incomplete => {
                "a night did not happen or is not over, or something is missing, and nobody has acknowledged it"
            }
            Exit::Ambiguous => "only the next night decides about some series",
            Exit::Done | Exit::Usage => return,
        };
        eprintln!("Ends with {}: {why}.", exit as u8);
    }

    fn is_incomplete(&self, document: &NightDocument) -> bool {
        let night = &document.night;
        let answered = |subject: &dyn Fn(&AlarmRow) -> bool| {
            self.alarms.iter().any(|alarm| {
                alarm.schedule == night.schedule
                    && is_absence(alarm)
                    && alarm.state == AlarmState::Acknowledged
                    && subject(alarm)
            })
        };
        let is_lost = |verdict: &Verdict| {
            matches!(verdict.kind, Kind::Missing | Kind::Invalid) && !verdict.is_silenced
        };
        let state_says_so = night.state != "done" && !answered(&|alarm| alarm.kind == NIGHT_MISSED);
        state_says_so
            || document.series.iter().any(|row| {
                row.verdicts.iter().any(is_lost)
                    && !answered(&|alarm| row.about.is_of(&alarm.subject))
            })
    }
}

/// Whether an alarm says that something was not measured, and not how it was.
pub(in crate::cli) fn is_absence(alarm: &AlarmRow) -> bool {
    alarm.kind == NIGHT_MISSED || alarm.kind == kind(Kind::Missing)
}

/// Whether an alarm is bad news that nobody has answered.
pub(in crate::cli) fn is_failing(alarm: &AlarmRow) -> bool {
    alarm.state == AlarmState::Open && !is_absence(alarm)
}

fn is_absent_unanswered(alarm: &AlarmRow) -> bool {
    alarm.state == AlarmState::Open && is_absence(alarm)
}

fn is_ambiguous(document: &NightDocument) -> bool {
    let verdicts = document.series.iter().flat_map(|row| &row.verdicts);
    let is_open = |verdict: &Verdict| {
        matches!(verdict.kind, Kind::Provisional | Kind::Unstable) && !verdict.is_silenced
    };
    verdicts.into_iter().any(is_open)
}

/// How many alarms were right, of those that somebody labelled.
pub(in crate::cli) fn precision(labels: &Labels) -> String {
    let Labels {
        right,
        wrong,
        unlabelled,
    } = labels;
    let said = right + wrong;
    if said == 0 {
        return format!(
            "No alarm is labelled yet; unlabelled: {unlabelled}. `batchstep regressions label ID true` or false tells the precision."
        );
    }
    let share = f64::from(*right) / f64::from(said);
    format!(
        "Precision {share:.2}: {right} of {said} labelled alarms were right; unlabelled: {unlabelled}."
    )
}
