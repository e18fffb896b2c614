//! Series: one workload of a sweep on one device, or on several that share it, from its first plan to its end.
//!
//! Several of its rounds may be out at a time: on each device the one that runs, and the one that waits behind it so that the device never does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use batchstep_proto::{
    domain::{AttemptOutcome, Round},
    ids::{AttemptId, SeriesId},
    wire,
};

use super::{Record, SeriesState, SeriesSummary, State, attempts::Attempt, lanes::Turn};
use crate::sweep::{Ahead, History, Next, RoundRecord, SeriesPlan};

/// Rounds that are taken to be wanted whatever the ones before them bring, as long as every visit of those is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Foreseen {
    /// The index of one of them, which is planned; all are like it.
    pub like: u32,
    /// The index behind the last.
    pub end: u32,
}

/// One series of an active sweep.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub plan: SeriesPlan,
    pub turn: Turn,
    /// Rounds that are over.
    pub history: History,
    /// Rounds that are planned and not over, by index; on record from their first attempt on.
    pub open: BTreeMap<u32, RoundRecord>,
    /// Attempts of each round, by index and number.
    pub tries: Vec<Vec<AttemptId>>,
    /// What the planner wants whatever comes; `None` where it did not say so.
    pub foreseen: Option<Foreseen>,
    /// What follows the rounds that are out is not known before one of them is over.
    pub must_wait: bool,
    /// How and why it ended.
    pub over: Option<(SeriesState, String)>,
    /// While it is unread, of its rounds that are over only the number.
    pub summary: SeriesSummary,
    /// Device time it will still take at most; follows every change of the history, see [`State::look_at_budget`].
    pub remaining: Duration,
}

impl Series {
    pub fn new(plan: SeriesPlan, turn: Turn) -> Self {
        Self {
            plan,
            turn,
            history: History::default(),
            open: BTreeMap::new(),
            tries: Vec::new(),
            foreseen: None,
            must_wait: false,
            over: None,
            summary: SeriesSummary::default(),
            remaining: Duration::ZERO,
        }
    }

    /// A round, whether it is over or not.
    pub fn round(&self, index: u32) -> Option<&RoundRecord> {
        self.open.get(&index).or_else(|| {
            let position = self.position(index).ok()?;
            self.history.rounds.get(position)
        })
    }

    /// A round, whether it is over or not.
    pub fn round_mut(&mut self, index: u32) -> Option<&mut RoundRecord> {
        let position = self.position(index);
        match self.open.get_mut(&index) {
            Some(record) => Some(record),
            None => self.history.rounds.get_mut(position.ok()?),
        }
    }

    /// Where a round is among those that are over, or would be.
    fn position(&self, index: u32) -> Result<usize, usize> {
        let rounds = &self.history.rounds;
        rounds.binary_search_by_key(&index, |record| record.round.index)
    }

    /// Attempts of a round, by number.
    pub fn tries_of(&self, index: u32) -> &[AttemptId] {
        self.tries.get(index as usize).map_or(&[], Vec::as_slice)
    }

    /// Makes room for a round that the planner wants.
    pub fn plan_round(&mut self, round: Round) {
        self.set_tries(round.index, Vec::new());
        self.open.insert(round.index, RoundRecord::new(round));
    }

    /// True when a round that is over changes nothing: it brought all it was asked for, and one that is open is wanted whatever it brought, unless what is left of the
    /// budget would not pay for as many rounds as long as this one.
    fn goes_on_after(&self, index: u32) -> bool {
        let (Some(record), Some(foreseen)) = (self.round(index), self.foreseen) else {
            return false;
        };
        let left = foreseen.end.saturating_sub(index + 1);
        let mut open = self.open.keys();
        record.is_as_foreseen(left, self.remaining) && open.any(|index| *index < foreseen.end)
    }

    /// Has every device of it asked for what follows: that is known now, or may be.
    fn wake(&mut self, dirty: &mut BTreeSet<String>) {
        self.must_wait = false;
        dirty.extend(self.plan.devices().map(ToOwned::to_owned));
    }

    /// The round to repeat for the next index, and that index, where that one is foreseen.
    fn repeats(&self) -> Option<(&Round, u32)> {
        let index = u32::try_from(self.history.rounds.len() + self.open.len()).ok()?;
        let foreseen = self.foreseen.filter(|it| index < it.end)?;
        Some((&self.round(foreseen.like)?.round, index))
    }

    /// Forgets the rounds that nobody but the planner knows of, which are the last ones.
    fn forget_planned(&mut self) {
        self.foreseen = None;
        while let Some(last) = self.open.last_entry() {
            let index = *last.key() as usize;
            if self.tries.get(index).is_some_and(|it| !it.is_empty()) {
                break;
            }
            last.remove();
            self.tries.truncate(index);
        }
    }

    /// Says what the attempts of a round are; of rounds before it none are known where nobody said.
    pub fn set_tries(&mut self, index: u32, tries: Vec<AttemptId>) {
        let place = index as usize;
        if self.tries.len() <= place {
            self.tries.resize_with(place + 1, Vec::new);
        }
        self.tries[place] = tries;
    }

    /// True when an attempt was ever given out.
    pub fn has_started(&self) -> bool {
        self.summary.rounds_done > 0 || self.tries.iter().any(|tries| !tries.is_empty())
    }
}

impl State {
    /// Asks the planner how a series goes on, with what its rounds that are over have shown. While those are not all here it is not asked. The caller settles the
    /// sweep afterwards.
    pub(super) fn advance(&mut self, id: SeriesId) {
        let is_over = |series: &Series| series.over.is_some();
        if self.series.get(&id).is_none_or(is_over) {
            return;
        }
        self.end_remnants(id);
        if self.unread.contains(&id) {
            return;
        }
        let Some(series) = self.series.get_mut(&id) else {
            return;
        };
        series.forget_planned();
        match self.planner.next(&series.plan, &series.history) {
            Next::Round(round) => {
                series.wake(&mut self.dirty);
                if series.open.is_empty() {
                    series.plan_round(round);
                }
            }
            Next::Done(why) => self.conclude(id, SeriesState::Done, why.message),
            Next::Failed(message) => self.conclude(id, SeriesState::Failed, message),
        }
    }

    /// Asks again whether a round that came back unmeasured is still wanted.
    pub(super) fn reconsider(&mut self, id: SeriesId) {
        self.advance(id);
        if let Some(series) = self.series.get(&id) {
            let sweep = series.plan.sweep;
            self.settle_sweep(sweep);
        }
    }

    /// Ends a series once none of its rounds is out: what is out is called back first, and what it still brings is weighed again.
    fn conclude(&mut self, id: SeriesId, state: SeriesState, message: String) {
        self.withdraw(id, false, "nothing more is wanted of the series");
        let is_settled = self
            .series
            .get(&id)
            .is_some_and(|series| series.open.is_empty());
        if is_settled {
            self.end_series(id, state, message);
        }
    }

    /// The round that an idle device may be given: one that is planned and not out, the first of them. Of a shared series nothing was measured of it yet.
    pub(super) fn ready_round(&self, series: &Series) -> Option<u32> {
        let mut open = series.open.keys().copied();
        open.find(|index| self.out(series, *index).is_none())
    }

    /// The attempt at a round that is out.
    pub(super) fn out(&self, series: &Series, index: u32) -> Option<AttemptId> {
        let last = *series.tries_of(index).last()?;
        self.attempts
            .get(&last)
            .is_some_and(Attempt::is_open)
            .then_some(last)
    }

    /// Plans a further round of a series whose rounds are all out; false: what follows is not known yet.
    pub(super) fn plan_ahead(&mut self, id: SeriesId) -> bool {
        let Some(series) = self.series.get_mut(&id) else {
            return false;
        };
        if series.over.is_some() || series.must_wait || self.unread.contains(&id) {
            return false;
        }
        if let Some((round, index)) = series.repeats() {
            let round = self.planner.repeated(&series.plan, round, index);
            series.plan_round(round);
            return true;
        }
        let open: Vec<&RoundRecord> = series.open.values().collect();
        match self.planner.ahead(&series.plan, &series.history, &open) {
            Some(Ahead { round, further }) => {
                let (like, end) = (round.index, round.index.saturating_add(further + 1));
                if further > 0 {
                    series.foreseen = Some(Foreseen { like, end });
                }
                series.plan_round(round);
            }
            None => series.must_wait = true,
        }
        !series.must_wait
    }

    /// Calls back all rounds of a series: what is out is told to stop and ends with its report, everything else ends now.
    pub(super) fn withdraw(&mut self, id: SeriesId, at_once: bool, reason: &str) {
        let Some(series) = self.series.get(&id) else {
            return;
        };
        let open: Vec<u32> = series.open.keys().copied().collect();
        for index in open {
            let Some(series) = self.series.get_mut(&id) else {
                return;
            };
            if series.tries_of(index).is_empty() {
                // Nobody but the planner knows of it.
                series.open.remove(&index);
                series.tries.truncate(index as usize);
            } else if let Some(attempt) = self.series.get(&id).and_then(|it| self.out(it, index)) {
                // Once is enough, unless there is more haste now.
                let is_told = self.attempts.get(&attempt).is_some_and(|it| it.stopping);
                if at_once || !is_told {
                    self.stop(attempt, at_once, reason);
                }
            } else {
                self.end_round(id, index);
            }
        }
    }

    /// Moves an open round of a series into its history, for good.
    pub(super) fn end_round(&mut self, id: SeriesId, index: u32) {
        let Some(series) = self.series.get_mut(&id) else {
            return;
        };
        let Some(record) = series.open.remove(&index) else {
            return;
        };
        let round = record.round.id;
        let (Ok(position) | Err(position)) = series.position(index);
        series.history.rounds.insert(position, record);
        series.summary.rounds_done += 1;
        self.look_at_budget(id);
        self.persist(Record::RoundEnded { round });
    }

    /// Asks what of its budget a series may still use. Nothing but its history changes that: whoever changes it asks again, once.
    pub(super) fn look_at_budget(&mut self, id: SeriesId) {
        if let Some(series) = self.series.get_mut(&id).filter(|it| it.over.is_none()) {
            series.remaining = self.planner.remaining(&series.plan, &series.history);
        }
    }

    /// A round has reported: tells watchers and goes on to the next.
    pub(super) fn round_reported(
        &mut self,
        id: SeriesId,
        index: u32,
        outcome: AttemptOutcome,
        message: &str,
    ) {
        self.end_round(id, index);
        let Some(series) = self.series.get(&id) else {
            return;
        };
        let sweep = series.plan.sweep;
        let record = series.round(index);
        let is_empty = record.is_some_and(RoundRecord::is_empty);
        let device = record.map_or_else(String::new, |record| record.round.device_id.clone());
        let event = wire::event::Kind::RoundEnded(wire::RoundEnded {
            series_id: id.to_string(),
            device_id: device.clone(),
            round: index,
            outcome: outcome.to_wire(),
            message: message.to_owned(),
            series: Some(self.series_view(series)),
        });
        self.journal(Some(sweep), event);
        if is_empty && self.look_at_failures(id, &device, message) {
            return;
        }
        let Some(series) = self.series.get_mut(&id) else {
            return;
        };
        if series.goes_on_after(index) {
            series.wake(&mut self.dirty);
        } else {
            self.reconsider(id);
        }
    }

    /// Ends a series that cannot go on, with its rounds.
    pub(super) fn give_up(&mut self, id: SeriesId, message: String) {
        self.withdraw(id, true, "the series has failed");
        self.end_series(id, SeriesState::Failed, message);
        if let Some(series) = self.series.get(&id) {
            let sweep = series.plan.sweep;
            self.settle_sweep(sweep);
        }
    }

    /// Ends a series; its open rounds stay while attempts at them are out. The caller settles the sweep afterwards.
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
        let summary = (!self.unread.contains(&id)).then_some(series.summary);
        let sweep = series.plan.sweep;
        let devices: Vec<String> = series.plan.devices().map(ToOwned::to_owned).collect();
        if let Some(sweep) = self.sweeps.get_mut(&sweep) {
            sweep.going -= 1;
        }
        for device in devices {
            self.lane(&device).leave(&turn);
            self.dirty.insert(device);
        }
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

    /// Ends a round of a series that is over already, and lets go of its sweep once no attempt of it is open. False: the series goes on.
    pub(super) fn close_out(&mut self, id: SeriesId, index: u32) -> bool {
        let Some(series) = self.series.get(&id) else {
            return true;
        };
        if series.over.is_none() {
            return false;
        }
        let sweep = series.plan.sweep;
        self.end_round(id, index);
        self.forget_settled_sweep(sweep);
        true
    }
}
