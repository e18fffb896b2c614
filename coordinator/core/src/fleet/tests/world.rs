//! Simulated agents, a scripted plan, and the wire between them and the state: every message can be delivered, withheld or repeated by the test.

use std::{collections::BTreeMap, time::Duration};

use batchstep_proto::{
    domain::{AttemptOutcome, AttemptReport, HostFacts, Ineligibility, SweepSpec},
    ids::{AgentId, AttemptId, RequestId, SeriesId, SweepId},
    wire,
};

use super::{
    agent::Agent,
    fixtures::{Held, Script, report, uuid},
    ledger::{Histories, Ledger},
};
use crate::fleet::{
    Answer, Config, Disposition, Effect, Enrolled, HeldAttempt, HeldState, Hello, Input, Planner,
    ReplyKey, SessionKey, State, ToAgent, Verdict,
};

pub struct World {
    pub state: State,
    pub ledger: Ledger,
    /// What was on record at the last restart.
    pub before: Histories,
    pub now: Duration,
    pub script: Script,
    pub agents: Vec<Agent>,
    pub keys: u64,
    /// How often agents were told to stop each attempt.
    pub stops: BTreeMap<AttemptId, u32>,
    blocks: u64,
}

impl World {
    /// A coordinator and one disconnected agent for each list of device ids; `CPU-..` are processors, everything else GPUs.
    pub fn new(rounds: usize, hosts: &[&[&str]]) -> Self {
        let script = Script {
            rounds,
            fails: false,
            settles: false,
        };
        let agents = (1..)
            .zip(hosts)
            .map(|(number, devices)| Agent::new(number, devices))
            .collect();
        Self {
            state: State::new(Config::default(), script),
            ledger: Ledger::default(),
            before: Histories::default(),
            now: Duration::from_secs(1),
            script,
            agents,
            keys: 0,
            stops: BTreeMap::new(),
            blocks: 0,
        }
    }

    pub fn key(&mut self) -> u64 {
        self.keys += 1;
        self.keys
    }

    /// Hands one input over, carries the effects out, and checks all that must always hold.
    pub fn feed(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.state.handle(self.now, input);
        self.carry_out(&effects);
        effects
    }

    fn carry_out(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Persist(record) = effect {
                self.ledger.apply((**record).clone());
            }
        }
        self.ledger.check();
        self.ledger.check_known(&self.state);
        for series in self.state.series.values().filter(|it| it.over.is_none()) {
            let ready = self.state.ready_round(series);
            assert!(!series.must_wait || ready.is_none(), "a round waits");
            let remaining = self.script.remaining(&series.plan, &series.history);
            assert_eq!(series.remaining, remaining, "of an older history");
            let view = self.state.series_view(series);
            let runs = view.state() == wire::SeriesState::Running;
            assert!(runs || !view.explanation.is_empty(), "no reason: {view:?}");
            for device in self.state.sharing_devices(series) {
                let is_explained = device.round.is_some() || !device.explanation.is_empty();
                assert!(is_explained, "no reason: {device:?}");
            }
        }
        for effect in effects {
            match effect {
                Effect::Send { session, message } => self.deliver(*session, message),
                Effect::Close {
                    session, permanent, ..
                } => {
                    for agent in &mut self.agents {
                        if agent.session == Some(*session) {
                            agent.session = None;
                            agent.closed = Some(*permanent);
                        }
                    }
                }
                Effect::Persist(_) | Effect::Show(_) | Effect::Reply { .. } => {}
            }
        }
    }

    fn deliver(&mut self, session: SessionKey, message: &ToAgent) {
        let mut agents = self.agents.iter();
        let Some(index) = agents.position(|agent| agent.session == Some(session)) else {
            return;
        };
        let agent = &mut self.agents[index];
        match message {
            ToAgent::Assign {
                attempt,
                round,
                prefetched,
            } => {
                let order = agent.given;
                agent.given += 1;
                let is_behind = agent
                    .held
                    .values()
                    .any(|held| held.round.device_id == round.device_id);
                assert!(
                    is_behind || !prefetched,
                    "nothing is before a prefetched round"
                );
                let held = Held {
                    round: (**round).clone(),
                    state: HeldState::Accepted,
                    recorded: false,
                    order,
                    parts: 0,
                    last: None,
                };
                assert!(agent.held.insert(*attempt, held).is_none());
            }
            ToAgent::Recorded(attempt) => {
                if let Some(held) = agent.held.get_mut(attempt) {
                    held.recorded = true;
                }
            }
            ToAgent::Stop { attempt, .. } => {
                *self.stops.entry(*attempt).or_default() += 1;
                self.end(index, *attempt, AttemptOutcome::Stopped, 0);
            }
            ToAgent::Welcome { verdicts, .. } => {
                for (attempt, verdict) in verdicts {
                    if *verdict == Verdict::Stop {
                        self.end(index, *attempt, AttemptOutcome::Stopped, 0);
                    }
                }
            }
            ToAgent::Drain { .. } => {
                for attempt in agent.waiting() {
                    self.end(index, attempt, AttemptOutcome::Stopped, 0);
                }
            }
            ToAgent::HeartbeatAck(_) => {}
        }
        // Like the real one after every message.
        self.start(index);
    }

    /// Starts what may start at an agent with a coordinator: one attempt for each device, in the order in which they came.
    fn start(&mut self, index: usize) {
        let agent = &mut self.agents[index];
        for id in agent.begin() {
            let restriction = self.ledger.restrictions.get(&agent.id);
            assert_eq!(restriction, None, "{id} begins at a restricted agent");
        }
    }

    /// Ends what an agent holds, and has it go on with what waits behind that.
    pub fn finish(
        &mut self,
        agent: usize,
        attempt: AttemptId,
        outcome: AttemptOutcome,
        blocks: usize,
    ) {
        self.end(agent, attempt, outcome, blocks);
        self.start(agent);
    }

    /// Ends what an agent holds: its final report is spooled.
    fn end(&mut self, agent: usize, attempt: AttemptId, outcome: AttemptOutcome, blocks: usize) {
        let Some(held) = self.agents[agent].held.get_mut(&attempt) else {
            return;
        };
        if held.state == HeldState::Spooled {
            return;
        }
        held.state = HeldState::Spooled;
        held.last = Some(report(
            attempt,
            held,
            Some(outcome),
            blocks,
            &mut self.blocks,
        ));
    }

    pub fn connect(&mut self, agent: usize) -> Vec<Effect> {
        let session = SessionKey(self.key());
        let agent = &mut self.agents[agent];
        agent.session = Some(session);
        agent.closed = None;
        let hello = Hello {
            agent: agent.id,
            boot: agent.boot,
            protocol: 1,
            host: HostFacts {
                hostname: host_of(agent.id),
                physical_cores: Some(2),
                software: agent.software.clone(),
                ..HostFacts::default()
            },
            devices: agent.devices.clone(),
            held: agent
                .held
                .iter()
                .map(|(attempt, held)| HeldAttempt {
                    attempt: *attempt,
                    state: held.state,
                })
                .collect(),
            draining: agent.draining,
        };
        let hello = Box::new(hello);
        self.feed(Input::Hello { session, hello })
    }

    pub fn disconnect(&mut self, agent: usize) {
        if let Some(session) = self.agents[agent].session.take() {
            let reason = "reset".to_owned();
            self.feed(Input::Disconnected { session, reason });
        }
    }

    /// The stream breaks, and the coordinator does not notice.
    pub fn cut(&mut self, agent: usize) {
        self.agents[agent].session = None;
    }

    pub fn heartbeat(&mut self, agent: usize) {
        if let Some(session) = self.agents[agent].session {
            self.feed(Input::Heartbeat {
                session,
                sequence: 1,
                draining: self.agents[agent].draining,
                changed: Vec::new(),
            });
        }
    }

    /// What is on record of an agent that need not have connected.
    pub fn enrolled(&self, agent: usize) -> Enrolled {
        let agent = &self.agents[agent];
        Enrolled {
            hostname: host_of(agent.id),
            devices: agent.devices.iter().map(|it| it.id.clone()).collect(),
        }
    }

    /// Cordons an agent as if it had failed at everything.
    pub fn cordon(&mut self, agent: AgentId) {
        self.state.cordon(agent, "everything is broken");
        let effects = self.state.settle();
        self.carry_out(&effects);
    }

    pub fn submit(&mut self, spec: SweepSpec) -> (SweepId, Answer) {
        let number = self.key();
        let sweep = uuid(1_000 + number);
        let effects = self.feed(Input::Submit {
            reply: ReplyKey(number),
            request: uuid::<RequestId>(2_000 + number),
            sweep,
            spec: Box::new(spec),
        });
        (sweep, answer(&effects))
    }

    pub fn cancel(&mut self, sweep: SweepId) -> Answer {
        let reply = ReplyKey(self.key());
        let reason = "enough".to_owned();
        let effects = self.feed(Input::Cancel {
            reply,
            sweep,
            reason,
        });
        answer(&effects)
    }

    pub fn send_report(&mut self, agent: AgentId, report: AttemptReport) -> Answer {
        let reply = ReplyKey(self.key());
        let digest = AttemptReport::digest(&report.clone().into());
        let is_ours = self
            .ledger
            .is_of_a_sweep_that_goes_on(agent, report.attempt);
        let effects = self.feed(Input::Report {
            reply,
            agent,
            report: Box::new(report),
            digest,
        });
        let answer = answer(&effects);
        assert!(!is_ours || answer != QUARANTINED, "taken for a stranger's");
        answer
    }

    /// The coordinator is killed and comes back from its store, which it reads to the end; every stream is gone.
    pub fn restart(&mut self) {
        self.restart_unread();
        self.read_all();
    }

    /// The same with nothing read but what must be known at once.
    pub fn restart_unread(&mut self) {
        for agent in &mut self.agents {
            agent.session = None;
        }
        // Another process has another clock.
        self.now = Duration::from_secs(5);
        let (state, effects) =
            State::restore(Config::default(), self.script, self.ledger.kept(), self.now);
        self.state = state;
        self.before = self.ledger.histories();
        self.carry_out(&effects);
    }

    /// What a series had measured before the restart is read back: as it is now, or as it was then.
    pub fn read(&mut self, series: SeriesId, as_before: bool) -> Vec<Effect> {
        let rounds = if as_before {
            self.before.of(series)
        } else {
            self.ledger.histories().of(series)
        };
        let rounds = Ok(rounds);
        self.feed(Input::HistoryRead { series, rounds })
    }

    /// It turns out that what a series had measured cannot be read.
    pub fn fail_to_read(&mut self, series: SeriesId) {
        self.ledger.damaged.insert(series);
        let rounds = Err("a block that cannot be read".to_owned());
        self.feed(Input::HistoryRead { series, rounds });
    }

    pub fn read_all(&mut self) {
        for unread in self.state.unread() {
            self.read(unread.series, false);
        }
    }

    /// The next thing a behaving agent does; false: it has nothing to do.
    pub fn step(&mut self, agent: usize) -> bool {
        let Some(session) = self.agents[agent].session else {
            self.connect(agent);
            return true;
        };
        let id = self.agents[agent].id;
        let waits = |attempt| self.state.may_be_unread(attempt);
        let Some(attempt) = self.agents[agent].acts_on(waits) else {
            return false;
        };
        let held = self.agents[agent].held.get_mut(&attempt).unwrap();
        match held.state {
            HeldState::Accepted => {
                self.feed(Input::Accepted { session, attempt });
            }
            HeldState::Running if held.parts == 0 => {
                let mut part = report(attempt, held, None, 1, &mut self.blocks);
                part.facts.clone_from(&self.agents[agent].facts);
                self.send_report(id, part);
            }
            HeldState::Running => self.finish(agent, attempt, AttemptOutcome::Finished, 1),
            HeldState::Spooled => {
                let last = held.last.clone().unwrap();
                match self.send_report(id, last) {
                    Answer::Reported(_) => self.agents[agent].held.remove(&attempt),
                    other => panic!("{other:?}"),
                };
            }
        }
        true
    }

    /// An agent declines what it was offered last, if anything.
    pub fn decline(&mut self, agent: usize) {
        let Some(session) = self.agents[agent].session else {
            return;
        };
        let held = &mut self.agents[agent].held;
        let mut held_now = held.iter();
        let offered = held_now.find(|(_, held)| held.state == HeldState::Accepted);
        let Some(attempt) = offered.map(|(attempt, _)| *attempt) else {
            return;
        };
        held.remove(&attempt);
        let reason = Ineligibility {
            code: "busy".to_owned(),
            message: "busy".to_owned(),
        };
        self.feed(Input::Declined {
            session,
            attempt,
            reason,
        });
    }

    /// Lets everyone act in turn until nobody has anything to do.
    pub fn run(&mut self) {
        for _ in 0..10_000 {
            let mut acted = false;
            for agent in 0..self.agents.len() {
                acted |= self.step(agent);
            }
            if !acted {
                return;
            }
        }
        panic!("the fleet does not come to rest");
    }

    /// Time passes with heartbeats of everyone connected.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = (self.now + Duration::from_secs(5)).min(until);
            for agent in 0..self.agents.len() {
                self.heartbeat(agent);
            }
            self.feed(Input::Tick);
        }
    }

    /// The attempt that an agent holds, the first of them.
    pub fn held(&self, agent: usize) -> AttemptId {
        let held = self.agents[agent].held.iter();
        *held.min_by_key(|(_, held)| held.order).unwrap().0
    }

    pub fn explanation(&self, sweep: SweepId, series: usize) -> String {
        let sweep = self.state.sweep(sweep).unwrap();
        sweep.series[series].explanation.clone()
    }
}

fn host_of(agent: AgentId) -> String {
    format!("host-{agent}")
}

/// The one answer among the effects.
pub fn answer(effects: &[Effect]) -> Answer {
    let mut answers = effects.iter().filter_map(|effect| match effect {
        Effect::Reply { answer, .. } => Some(answer.clone()),
        _ => None,
    });
    let first = answers.next().unwrap();
    assert_eq!(answers.next(), None, "answered twice");
    first
}

pub const ACCEPTED: Answer = Answer::Reported(Disposition::Accepted);
pub const DUPLICATE: Answer = Answer::Reported(Disposition::Duplicate);
pub const QUARANTINED: Answer = Answer::Reported(Disposition::Quarantined);
pub const SUPERSEDED: Answer = Answer::Reported(Disposition::Superseded);
