//! The state itself: what is known, and the one entrance. Each noun's behaviour lives in its own file.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use batchstep_proto::{
    ids::{AgentId, AttemptId, SeriesId, SweepId},
    wire,
};

use super::{
    Answer, Config, Effect, Event, Input, Planner, Record, ReplyKey, Restriction, SessionKey,
    ToAgent,
    agents::Agent,
    attempts::Attempt,
    gates::WallClock,
    lanes::Lane,
    restrictions::Failing,
    series::Series,
    sweeps::Sweep,
    timers::{Timer, Timers},
};

/// All that is known about the fleet and its active sweeps.
pub struct State {
    pub(super) config: Config,
    pub(super) planner: Box<dyn Planner>,
    /// The latest time handed in.
    pub(super) now: Duration,
    pub(super) incarnation: u64,
    pub(super) agents: BTreeMap<AgentId, Agent>,
    /// Also of agents that have not said hello yet.
    pub(super) restrictions: BTreeMap<AgentId, Restriction>,
    /// Agents whose last attempts measured nothing.
    pub(super) failing: BTreeMap<AgentId, Failing>,
    /// Agents with an open stream.
    pub(super) sessions: BTreeMap<SessionKey, AgentId>,
    /// By device id.
    pub(super) lanes: BTreeMap<String, Lane>,
    /// Sweeps that are not over, or over with attempts that are still open.
    pub(super) sweeps: BTreeMap<SweepId, Sweep>,
    pub(super) sweeps_seen: u64,
    pub(super) series: BTreeMap<SeriesId, Series>,
    /// Of them, those whose rounds that were over at the start are on record and not here yet.
    pub(super) unread: BTreeSet<SeriesId>,
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    /// Open attempts by agent, also of agents that are not known (yet).
    pub(super) open: BTreeMap<AgentId, BTreeSet<AttemptId>>,
    pub(super) timers: Timers,
    /// The time of day, once it was told.
    pub(super) wall: Option<WallClock>,
    /// Devices that may be able to start something.
    pub(super) dirty: BTreeSet<String>,
    pub(super) out: Vec<Effect>,
}

impl State {
    /// A fleet of which nothing is known. `planner` decides what each series measures.
    #[must_use]
    pub fn new(config: Config, planner: impl Planner + 'static) -> Self {
        Self {
            incarnation: config.first_incarnation,
            config,
            planner: Box::new(planner),
            now: Duration::ZERO,
            agents: BTreeMap::new(),
            restrictions: BTreeMap::new(),
            failing: BTreeMap::new(),
            sessions: BTreeMap::new(),
            lanes: BTreeMap::new(),
            sweeps: BTreeMap::new(),
            sweeps_seen: 0,
            series: BTreeMap::new(),
            unread: BTreeSet::new(),
            attempts: BTreeMap::new(),
            open: BTreeMap::new(),
            timers: Timers::new(),
            wall: None,
            dirty: BTreeSet::new(),
            out: Vec::new(),
        }
    }

    /// Takes in one thing that happened at `now`, a time on any clock that never goes back. The effects are to be carried out in order, after all
    /// records among them are committed together.
    pub fn handle(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        self.now = self.now.max(now);
        match input {
            Input::Hello { session, hello } => self.hello(session, *hello),
            Input::Disconnected { session, reason } => self.disconnected(session, &reason),
            Input::Heartbeat {
                session,
                sequence,
                draining,
                changed,
            } => self.heartbeat(session, sequence, draining, changed),
            Input::Accepted { session, attempt } => self.accepted(session, attempt),
            Input::Declined {
                session,
                attempt,
                reason,
            } => self.declined(session, attempt, &reason),
            Input::Progress { session, progress } => self.progress(session, progress),
            Input::Report {
                reply,
                agent,
                report,
                digest,
            } => self.report(reply, agent, *report, digest),
            Input::Submit {
                reply,
                request,
                sweep,
                spec,
            } => self.submit(reply, request, sweep, *spec),
            Input::Cancel {
                reply,
                sweep,
                reason,
            } => self.cancel(reply, sweep, &reason),
            Input::Drain {
                reply,
                agent,
                drain,
                reason,
                enrolled,
            } => self.drain(reply, agent, drain.then_some(reason), enrolled.as_ref()),
            Input::Remove {
                reply,
                agent,
                replaced,
                enrolled,
            } => self.remove(reply, agent, replaced, enrolled),
            Input::HistoryRead { series, rounds } => self.history_read(series, rounds),
            Input::TimeOfDay(told) => self.time_of_day(told),
            Input::Tick => {}
        }
        self.settle()
    }

    /// Does what the time and the last input made possible, and hands over all effects.
    pub(super) fn settle(&mut self) -> Vec<Effect> {
        self.fire_timers();
        self.assign_ready();
        std::mem::take(&mut self.out)
    }

    pub(super) fn persist(&mut self, record: Record) {
        self.out.push(Effect::Persist(Box::new(record)));
    }

    pub(super) fn journal(&mut self, sweep: Option<SweepId>, kind: wire::event::Kind) {
        self.persist(Record::Event(Event { sweep, kind }));
    }

    pub(super) fn send(&mut self, session: SessionKey, message: ToAgent) {
        let message = Box::new(message);
        self.out.push(Effect::Send { session, message });
    }

    pub(super) fn reply(&mut self, reply: ReplyKey, answer: Answer) {
        self.out.push(Effect::Reply { reply, answer });
    }

    pub(super) fn lane(&mut self, device: &str) -> &mut Lane {
        self.lanes.entry(device.to_owned()).or_default()
    }

    pub(super) fn set_timer(&mut self, at: Duration, timer: Timer) {
        self.timers.insert((at, timer));
    }
}
