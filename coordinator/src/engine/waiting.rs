//! Reports of attempts that the state machine may know once everything is read back. They wait here until then. Used by the task only.

use std::collections::VecDeque;

use super::{Command, EngineError, INPUTS, reply::respond};

/// Calls that wait, in order.
#[derive(Default)]
pub(super) struct Waiting {
    reports: VecDeque<Command>,
}

impl Waiting {
    /// Lets a report wait; where too many do it is told to come again.
    pub(super) fn add(&mut self, report: Command) {
        if self.reports.len() >= INPUTS {
            self.reports.retain(|waiting| !is_given_up(waiting));
        }
        if self.reports.len() < INPUTS {
            self.reports.push_back(report);
        } else if let Command::Report { reply, .. } = report {
            respond(reply, Err(EngineError::StillReading));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// The first of them whose caller still waits.
    pub(super) fn next(&mut self) -> Option<Command> {
        while let Some(report) = self.reports.pop_front() {
            if !is_given_up(&report) {
                return Some(report);
            }
        }
        None
    }
}

/// True of a call whose caller has hung up, and comes again.
fn is_given_up(waiting: &Command) -> bool {
    matches!(waiting, Command::Report { reply, .. } if reply.is_closed())
}
