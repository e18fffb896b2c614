//! Sweeps: submitted, expanded into series, cancelled, ended, and forgotten.

use std::time::Duration;

use batchstep_proto::{
    domain::{SweepSpec, VisitOrder},
    ids::{RequestId, SeriesId, SweepId},
    wire,
};
use jiff::Timestamp;

use super::{
    Answer, Record, Refusal, ReplyKey, SeriesState, State, SweepState,
    gates::Gate,
    lanes::Turn,
    pools::plans,
    selection::{Candidate, Candidates, select},
    series::Series,
};
use crate::{calendar, sweep::SeriesPlan};

/// A sweep that is not over, or whose last attempts are still out.
#[derive(Debug, Clone)]
pub(super) struct Sweep {
    pub request: RequestId,
    pub spec: SweepSpec,
    /// Place among the sweeps, by submission.
    pub sequence: u64,
    /// By ordinal; their set is fixed once there is one.
    pub series: Vec<SeriesId>,
    /// How many of its series are not over.
    pub going: usize,
    /// How many attempts at its rounds are open.
    pub out: usize,
    pub state: SweepState,
    /// Its daily window; `None` without one, and before the time of day is known.
    pub gate: Option<Gate>,
}

impl State {
    pub(super) fn submit(
        &mut self,
        reply: ReplyKey,
        request: RequestId,
        id: SweepId,
        spec: SweepSpec,
    ) {
        let same = self
            .sweeps
            .iter()
            .find(|(known, sweep)| **known == id || sweep.request == request);
        if let Some((known, _)) = same {
            let known = *known;
            self.reply(reply, Answer::Submitted(known));
            return;
        }
        if spec.scheduling.share_across_model && spec.visit_order == VisitOrder::Ascending {
            let message = "field `scheduling.share_across_model`: devices that share a series are compared by its reference visits, and visit_order ascending has none; leave one of the two out";
            let refusal = Refusal::Invalid(message.to_owned());
            self.reply(reply, Answer::Refused(refusal));
            return;
        }
        if let Some(window) = &spec.scheduling.only_between
            && let Err(error) = calendar::look(window, Timestamp::UNIX_EPOCH)
        {
            let refusal = Refusal::Invalid(error.to_string());
            self.reply(reply, Answer::Refused(refusal));
            return;
        }
        let plans = match select(&spec, &self.candidates()) {
            Ok(chosen) => plans(id, &spec, &chosen),
            Err(refusal) => {
                self.reply(reply, Answer::Refused(refusal));
                return;
            }
        };
        self.persist(Record::SweepSubmitted {
            sweep: id,
            request,
            spec: spec.clone(),
        });
        self.journal(
            Some(id),
            wire::event::Kind::SweepSubmitted(wire::SweepSubmitted {}),
        );
        self.add_sweep(id, request, spec, SweepState::Active);
        self.reply(reply, Answer::Submitted(id));
        self.expand(id, plans);
    }

    pub(super) fn add_sweep(
        &mut self,
        id: SweepId,
        request: RequestId,
        spec: SweepSpec,
        state: SweepState,
    ) {
        let sequence = self.sweeps_seen;
        self.sweeps_seen += 1;
        self.sweeps.insert(
            id,
            Sweep {
                request,
                spec,
                sequence,
                series: Vec::new(),
                going: 0,
                out: 0,
                state,
                gate: None,
            },
        );
        self.look_at_gate(id);
    }

    /// Every device that some agent offers and is not lost, each with the host that would run it.
    pub(super) fn candidates(&self) -> Candidates<'_> {
        let mut candidates = Candidates::new();
        for (id, agent) in &self.agents {
            if agent.lost {
                continue;
            }
            for device in agent.devices.values() {
                let candidate = Candidate {
                    device,
                    host: &agent.host,
                    cordoned: self.is_cordoned(*id),
                };
                if self.owner(&device.id) == Some(*id) {
                    candidates.insert(&device.id, candidate);
                } else {
                    candidates.entry(&device.id).or_insert(candidate);
                }
            }
        }
        candidates
    }

    /// Gives sweeps without series those that the devices of today allow.
    pub(super) fn expand_waiting_sweeps(&mut self) {
        let mut waiting: Vec<(u64, SweepId)> = self
            .sweeps
            .iter()
            .filter(|(_, sweep)| sweep.state == SweepState::Active && sweep.series.is_empty())
            .map(|(id, sweep)| (sweep.sequence, *id))
            .collect();
        if waiting.is_empty() {
            return;
        }
        waiting.sort_unstable();
        let candidates = self.candidates();
        let planned: Vec<(SweepId, Vec<SeriesPlan>)> = waiting
            .into_iter()
            .filter_map(|(_, id)| Some((id, &self.sweeps.get(&id)?.spec)))
            .map(|(id, spec)| {
                // What cannot run on the devices of today waits for others.
                let chosen = select(spec, &candidates).unwrap_or_default();
                (id, plans(id, spec, &chosen))
            })
            .collect();
        for (id, plans) in planned {
            self.expand(id, plans);
        }
    }

    fn expand(&mut self, id: SweepId, plans: Vec<SeriesPlan>) {
        if plans.is_empty() {
            return;
        }
        let mut created = Vec::with_capacity(plans.len());
        for (ordinal, plan) in (0_u32..).zip(plans) {
            created.push(plan.id);
            self.persist(Record::SeriesCreated {
                plan: plan.clone(),
                ordinal,
            });
            self.add_series(id, plan, ordinal);
        }
        for series in created {
            self.advance(series);
        }
        self.settle_sweep(id);
    }

    /// Adds a series to its sweep and to the lines of its devices.
    pub(super) fn add_series(&mut self, sweep: SweepId, plan: SeriesPlan, ordinal: u32) {
        let Some(sweep) = self.sweeps.get_mut(&sweep) else {
            return;
        };
        let turn = Turn {
            sweep_sequence: sweep.sequence,
            ordinal,
            series: plan.id,
            sweep: plan.sweep,
            priority: sweep.spec.scheduling.priority,
        };
        sweep.series.push(plan.id);
        sweep.going += 1;
        for device in plan.present() {
            let lane = self.lanes.get(device);
            let least = lane.map_or(Duration::ZERO, |lane| {
                self.least_share(lane, turn.sweep, turn.priority)
            });
            self.lane(device).join(turn, least);
        }
        let id = plan.id;
        self.series.insert(id, Series::new(plan, turn));
        self.look_at_budget(id);
    }

    pub(super) fn cancel(&mut self, reply: ReplyKey, id: SweepId, reason: &str) {
        let Some(sweep) = self.sweeps.get_mut(&id) else {
            let message = format!("no active sweep {id}");
            self.reply(reply, Answer::Refused(Refusal::NotFound(message)));
            return;
        };
        if sweep.state != SweepState::Active {
            self.reply(reply, Answer::Cancelled(false));
            return;
        }
        sweep.state = SweepState::Cancelled;
        let message = if reason.is_empty() {
            "cancelled".to_owned()
        } else {
            format!("cancelled: {reason}")
        };
        for series in sweep.series.clone() {
            self.cancel_series(series, &message);
        }
        self.end_sweep(id, SweepState::Cancelled, message);
        self.reply(reply, Answer::Cancelled(true));
        self.forget_settled_sweep(id);
    }

    fn cancel_series(&mut self, id: SeriesId, message: &str) {
        if self
            .series
            .get(&id)
            .is_none_or(|series| series.over.is_some())
        {
            return;
        }
        // The last blocks of what is out are still to come: its rounds end with them.
        self.withdraw(id, true, message);
        self.end_series(id, SeriesState::Cancelled, message.to_owned());
    }

    /// Ends a sweep once all of its series are over.
    pub(super) fn settle_sweep(&mut self, id: SweepId) {
        let Some(sweep) = self.sweeps.get(&id) else {
            return;
        };
        if sweep.state != SweepState::Active || sweep.series.is_empty() || sweep.going > 0 {
            return;
        }
        let all = sweep.series.len();
        let over = |id| self.series.get(id)?.over.as_ref();
        let over = sweep.series.iter().filter_map(over);
        let done = over
            .filter(|(state, _)| *state == SeriesState::Done)
            .count();
        let (state, message) = if done == 0 {
            (SweepState::Failed, format!("none of {all} series is done"))
        } else {
            (SweepState::Done, format!("{done} of {all} series done"))
        };
        self.end_sweep(id, state, message);
        self.forget_settled_sweep(id);
    }

    fn end_sweep(&mut self, id: SweepId, state: SweepState, message: String) {
        if let Some(sweep) = self.sweeps.get_mut(&id) {
            sweep.state = state;
        }
        self.persist(Record::SweepEnded {
            sweep: id,
            state,
            message: message.clone(),
        });
        self.journal(
            Some(id),
            wire::event::Kind::SweepEnded(wire::SweepEnded {
                state: super::views::sweep_state(state) as i32,
                message,
            }),
        );
    }

    /// The sweep of a series.
    pub(super) fn sweep_of(&mut self, series: SeriesId) -> Option<&mut Sweep> {
        let id = self.series.get(&series)?.plan.sweep;
        self.sweeps.get_mut(&id)
    }

    /// Lets go of a sweep that is over and has no attempt out. The store keeps it.
    pub(super) fn forget_settled_sweep(&mut self, id: SweepId) {
        let Some(sweep) = self.sweeps.get(&id) else {
            return;
        };
        if sweep.state == SweepState::Active || sweep.out > 0 {
            return;
        }
        let series = self
            .sweeps
            .remove(&id)
            .map(|sweep| sweep.series)
            .unwrap_or_default();
        for id in series {
            self.unread.remove(&id);
            let Some(series) = self.series.remove(&id) else {
                continue;
            };
            for attempt in series.tries.iter().flatten() {
                self.attempts.remove(attempt);
            }
            for device in series.plan.devices() {
                if self.lanes.get(device).is_some_and(|lane| lane.is_unused()) {
                    self.lanes.remove(device);
                }
            }
        }
    }
}
