//! Series: one workload of a sweep on one device, from its first plan to its end.

use std::time::Duration;

use batchstep_proto::{
    domain::AttemptOutcome,
    ids::{AttemptId, SeriesId},
    wire,
};

use super::{Record, SeriesState, SeriesSummary, State, lanes::Turn};
use crate::sweep::{History, Next, RoundRecord, SeriesPlan};

/// One series of an active sweep.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub plan: SeriesPlan,
    pub turn: Turn,
    /// Rounds that are over.
    pub history: History,
    /// The round after those, once the planner wants one; on record from its first attempt on.
    pub open: Option<RoundRecord>,
    /// Attempts of each round, by number; the open round's are last.
    pub tries: Vec<Vec<AttemptId>>,
    /// How and why it ended.
    pub over: Option<(SeriesState, String)>,
    pub summary: SeriesSummary,
    /// Device time it will still take at most.
    pub remaining: Duration,
}

impl Series {
    pub fn new(plan: SeriesPlan, turn: Turn) -> Self {
        Self {
            plan,
            turn,
            history: History::default(),
            open: None,
            tries: Vec::new(),
            over: None,
            summary: SeriesSummary::default(),
            remaining: Duration::ZERO,
        }
    }

    /// A round that is not over, by index or among the history.
    pub fn round_mut(&mut self, index: u32) -> Option<&mut RoundRecord> {
        let index = index as usize;
        if index == self.history.rounds.len() {
            self.open.as_mut()
        } else {
            self.history.rounds.get_mut(index)
        }
    }

    /// A round, whether it is over or not.
    pub fn round(&self, index: u32) -> Option<&RoundRecord> {
        let index = index as usize;
        if index == self.history.rounds.len() {
            self.open.as_ref()
        } else {
            self.history.rounds.get(index)
        }
    }

    /// True when an attempt was ever given out.
    pub fn has_started(&self) -> bool {
        self.tries.iter().any(|tries| !tries.is_empty())
    }
}

impl State {
    /// Asks the planner for the next round of a series that has none. The caller settles the sweep afterwards.
    pub(super) fn advance(&mut self, id: SeriesId) {
        let Some(series) = self.series.get_mut(&id) else {
            return;
        };
        if series.over.is_some() || series.open.is_some() {
            return;
        }
        series.remaining = self.planner.remaining(&series.plan, &series.history);
        match self.planner.next(&series.plan, &series.history) {
            Next::Round(round) => {
                self.dirty.insert(series.plan.device.id.clone());
                series.open = Some(RoundRecord::new(round));
                series.tries.push(Vec::new());
            }
            Next::Done(why) => self.end_series(id, SeriesState::Done, why.message),
            Next::Failed(message) => self.end_series(id, SeriesState::Failed, message),
        }
    }

    /// Moves a series' open round into its history, for good.
    pub(super) fn end_round(&mut self, id: SeriesId) {
        let Some(series) = self.series.get_mut(&id) else {
            return;
        };
        let Some(record) = series.open.take() else {
            return;
        };
        let round = record.round.id;
        series.history.rounds.push(record);
        series.summary.rounds_done += 1;
        if series.over.is_none() {
            series.remaining = self.planner.remaining(&series.plan, &series.history);
        }
        self.persist(Record::RoundEnded { round });
    }

    /// A round has reported: tells watchers and goes on to the next.
    pub(super) fn round_reported(
        &mut self,
        id: SeriesId,
        outcome: AttemptOutcome,
        message: String,
    ) {
        self.end_round(id);
        let Some(series) = self.series.get(&id) else {
            return;
        };
        let sweep = series.plan.sweep;
        let event = wire::event::Kind::RoundEnded(wire::RoundEnded {
            series_id: id.to_string(),
            device_id: series.plan.device.id.clone(),
            round: series.summary.rounds_done.saturating_sub(1),
            outcome: outcome.to_wire(),
            message,
            series: Some(self.series_view(series)),
        });
        self.journal(Some(sweep), event);
        self.advance(id);
        if self
            .series
            .get(&id)
            .is_some_and(|series| series.over.is_some())
        {
            self.settle_sweep(sweep);
        }
    }

    /// Ends a series that cannot go on, with its round.
    pub(super) fn give_up(&mut self, id: SeriesId, message: String) {
        self.end_round(id);
        self.end_series(id, SeriesState::Failed, message);
        if let Some(series) = self.series.get(&id) {
            let sweep = series.plan.sweep;
            self.settle_sweep(sweep);
        }
    }

    /// Ends a series; its open round stays while an attempt of it is out. The caller settles the sweep afterwards.
    pub(super) fn end_series(&mut self, id: SeriesId, state: SeriesState, message: String) {
        let Some(series) = self.series.get_mut(&id) else {
            return;
        };
        if series.over.is_some() {
            return;
        }
        series.over = Some((state, message.clone()));
        series.remaining = Duration::ZERO;
        let turn = series.turn;
        let summary = series.summary;
        let sweep = series.plan.sweep;
        let device = series.plan.device.id.clone();
        self.lane(&device).queue.remove(&turn);
        self.dirty.insert(device);
        self.persist(Record::SeriesEnded {
            series: id,
            state,
            message: message.clone(),
            summary,
        });
        if let Some(series) = self.series.get(&id) {
            let series = Some(self.series_view(series));
            self.journal(
                Some(sweep),
                wire::event::Kind::SeriesEnded(wire::SeriesEnded { series, message }),
            );
        }
    }

    /// Ends the round of a series that is over already, and lets go of its sweep once no attempt of it is open. False: the series goes on.
    pub(super) fn close_out(&mut self, id: SeriesId) -> bool {
        let Some(series) = self.series.get(&id) else {
            return true;
        };
        if series.over.is_none() {
            return false;
        }
        let sweep = series.plan.sweep;
        self.end_round(id);
        self.forget_settled_sweep(sweep);
        true
    }
}
