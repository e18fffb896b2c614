//! The task that owns the fleet's state: one input at a time, commit first, then everything else.
//!
//! A state never runs ahead of its store: when a commit fails, callers are told to try again, every session is closed, and the state is made
//! anew from the store before the next input is taken.

use std::{collections::HashMap, sync::Arc, time::Duration};

use batchstep_core::fleet::{
    Answer, Config, Disposition, Effect, Event, Input, Record, Refusal, ReplyKey, SessionKey,
    State, SweepPlanner,
};
use batchstep_proto::{causes::chain, domain::SweepSpec, ids::SweepId};
use jiff::Timestamp;
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Command, Engine, EngineError, INPUTS, Reply,
    live::{LIVE_EVENTS, Live, LiveEvent},
    outbound::{NotTaken, Outbound},
};
use crate::{
    meters::Meters,
    store::{Store, StoreError},
};

/// Time between two tries to read the state back from a failing store.
const RESTORE_PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for a tick when the state machine asks for none.
const IDLE_TICK: Duration = Duration::from_secs(3600);

/// Starts the task on what the store holds. It closes all sessions when `shutdown` is set, and ends when `stop` is.
///
/// # Errors
/// When the store cannot be read.
pub async fn start<S: Store>(
    store: Arc<S>,
    config: Config,
    meters: Arc<Meters>,
    shutdown: CancellationToken,
    stop: CancellationToken,
) -> Result<(Engine, impl Future<Output = ()> + Send), StoreError> {
    let (commands, inbox) = mpsc::channel(INPUTS);
    let (live, _) = broadcast::channel(LIVE_EVENTS);
    let engine = Engine {
        commands,
        live: live.clone(),
        sessions: Arc::default(),
    };
    let mut actor = Actor {
        store,
        config,
        meters,
        epoch: Instant::now(),
        state: None,
        restore_at: Instant::now(),
        sessions: HashMap::new(),
        replies: HashMap::new(),
        next_reply: 0,
        live,
        closing: false,
    };
    actor.restore().await?;
    Ok((engine, actor.run(inbox, shutdown, stop)))
}

struct Actor<S> {
    store: Arc<S>,
    config: Config,
    meters: Arc<Meters>,
    /// The state machine's time is counted from here.
    epoch: Instant,
    /// `None` from a failed commit until the store can be read again.
    state: Option<State>,
    restore_at: Instant,
    sessions: HashMap<SessionKey, Outbound>,
    replies: HashMap<ReplyKey, Reply>,
    next_reply: u64,
    live: broadcast::Sender<Live>,
    /// No session may open any more.
    closing: bool,
}

impl<S: Store> Actor<S> {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Command>,
        shutdown: CancellationToken,
        stop: CancellationToken,
    ) {
        loop {
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = shutdown.cancelled(), if !self.closing => {
                    self.closing = true;
                    self.close_all("the coordinator is stopping");
                }
                command = inbox.recv() => match command {
                    Some(command) => self.take(command).await,
                    None => break,
                },
                () = sleep_until(wake) => self.wake().await,
            }
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn next_wake(&self) -> Instant {
        match &self.state {
            None => self.restore_at,
            Some(state) => state
                .next_tick()
                .map_or_else(|| Instant::now() + IDLE_TICK, |at| self.epoch + at),
        }
    }

    async fn wake(&mut self) {
        if self.state.is_some() {
            self.step(Input::Tick).await;
        } else if let Err(error) = self.restore().await {
            tracing::error!(error = chain(&error), "The store still cannot be read.");
            self.restore_at = Instant::now() + RESTORE_PAUSE;
        }
    }

    async fn take(&mut self, command: Command) {
        match command {
            Command::Open {
                session,
                hello,
                outbound,
            } => {
                if self.closing {
                    outbound.close("the coordinator is stopping".to_owned(), false);
                } else if self.state.is_none() {
                    outbound.close("the coordinator cannot record anything".to_owned(), false);
                } else {
                    self.sessions.insert(session, outbound);
                    self.step(Input::Hello { session, hello }).await;
                }
            }
            Command::Tell(Input::Disconnected { session, reason }) => {
                // A session that the coordinator itself closed is no news.
                if self.sessions.remove(&session).is_some() {
                    self.step(Input::Disconnected { session, reason }).await;
                }
            }
            Command::Tell(input) => self.step(input).await,
            Command::Submit {
                request,
                sweep,
                spec,
                reply,
            } => match self.store.find_request(request).await {
                Ok(Some(known)) => submitted_before(&*self.store, known, &spec, reply).await,
                Ok(None) => {
                    let reply = self.expect(reply);
                    self.step(Input::Submit {
                        reply,
                        request,
                        sweep,
                        spec,
                    })
                    .await;
                }
                Err(error) => unreadable(&error, reply),
            },
            Command::Cancel {
                sweep,
                reason,
                reply,
            } => {
                let reply = self.expect(reply);
                self.step(Input::Cancel {
                    reply,
                    sweep,
                    reason,
                })
                .await;
            }
            Command::Drain {
                agent,
                drain,
                reason,
                reply,
            } => {
                let reply = self.expect(reply);
                self.step(Input::Drain {
                    reply,
                    agent,
                    drain,
                    reason,
                })
                .await;
            }
            Command::Report {
                agent,
                report,
                digest,
                reply,
            } => match self.store.report_known(report.attempt, &digest).await {
                Ok(Some(_)) => {
                    self.meters.answered_duplicate();
                    respond(reply, Ok(Answer::Reported(Disposition::Duplicate)));
                }
                Ok(None) => {
                    let reply = self.expect(reply);
                    self.step(Input::Report {
                        reply,
                        agent,
                        report,
                        digest,
                    })
                    .await;
                }
                Err(error) => unreadable(&error, reply),
            },
            // A question that is dropped reads as a failing store.
            Command::Sweep(sweep, answer) => {
                if let Some(state) = &self.state {
                    let _ = answer.send(state.sweep(sweep));
                }
            }
            Command::Sweeps(answer) => {
                if let Some(state) = &self.state {
                    let active = state.active_sweeps();
                    let _ = answer.send(
                        active
                            .into_iter()
                            .filter_map(|id| state.sweep(id))
                            .collect(),
                    );
                }
            }
            Command::Agents(answer) => {
                if let Some(state) = &self.state {
                    let _ = answer.send(state.agents());
                }
            }
            Command::Census(answer) => {
                if let Some(state) = &self.state {
                    let _ = answer.send(state.census());
                }
            }
        }
    }

    /// Numbers a call so that the state machine can answer it.
    fn expect(&mut self, reply: Reply) -> ReplyKey {
        let key = ReplyKey(self.next_reply);
        self.next_reply += 1;
        self.replies.insert(key, reply);
        key
    }

    /// Hands one input to the state machine and carries out what follows from it.
    async fn step(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let now = self.now();
            let Some(state) = &mut self.state else {
                self.refuse_all();
                return;
            };
            let effects = state.handle(now, input);
            match self.carry_out(effects).await {
                // An agent that does not read is as good as gone.
                Ok(stuck) => inputs.extend(stuck.into_iter().map(|session| Input::Disconnected {
                    session,
                    reason: "the agent does not read its messages".to_owned(),
                })),
                Err(error) => {
                    self.fail(&error).await;
                    return;
                }
            }
        }
    }

    /// Commits the records, then does the rest in order. Answers with the sessions that take no messages.
    async fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Vec<SessionKey>, StoreError> {
        let at = Timestamp::now();
        let mut records = Vec::new();
        let mut rest = Vec::new();
        for effect in effects {
            match effect {
                Effect::Persist(record) => records.push(*record),
                other => rest.push(other),
            }
        }
        if !records.is_empty() {
            let begun = Instant::now();
            let seqs = self.store.commit(at, &records).await?;
            self.meters.committed(begun.elapsed(), &records);
            let events = records.into_iter().filter_map(|record| match record {
                Record::Event(event) => Some(event),
                _ => None,
            });
            for (seq, event) in seqs.into_iter().zip(events) {
                self.show(seq, at, event);
            }
        }
        let mut stuck = Vec::new();
        for effect in rest {
            match effect {
                Effect::Persist(_) => {}
                Effect::Send { session, message } => {
                    let sent = self
                        .sessions
                        .get(&session)
                        .map(|outbound| outbound.send(*message));
                    if let Some(Err(NotTaken)) = sent
                        && let Some(outbound) = self.sessions.remove(&session)
                    {
                        outbound.close("the agent does not read its messages".to_owned(), false);
                        stuck.push(session);
                    }
                }
                Effect::Close {
                    session,
                    reason,
                    permanent,
                } => {
                    if let Some(outbound) = self.sessions.remove(&session) {
                        outbound.close(reason, permanent);
                    }
                }
                Effect::Show(event) => self.show(0, at, event),
                Effect::Reply { reply, answer } => {
                    if let Some(reply) = self.replies.remove(&reply) {
                        respond(reply, Ok(answer));
                    }
                }
            }
        }
        Ok(stuck)
    }

    fn show(&self, seq: u64, at: Timestamp, event: Event) {
        // Nobody may be watching.
        let _ = self
            .live
            .send(Live::Event(Arc::new(LiveEvent { seq, at, event })));
    }

    /// A commit failed: nothing the state believes since then is true.
    async fn fail(&mut self, error: &StoreError) {
        self.meters.failed();
        tracing::error!(
            error = chain(error),
            "A change could not be recorded; the state is read back from the store."
        );
        self.state = None;
        self.refuse_all();
        self.close_all("the coordinator cannot record anything at the moment");
        let _ = self.live.send(Live::Interrupted);
        if let Err(error) = self.restore().await {
            tracing::error!(error = chain(&error), "The store cannot be read.");
            self.restore_at = Instant::now() + RESTORE_PAUSE;
        }
    }

    async fn restore(&mut self) -> Result<(), StoreError> {
        let mut config = self.config.clone();
        // Every welcome is journalled, so the journal's length grows at least as fast as the numbers of welcomes, over all restarts.
        config.first_incarnation = self.store.last_seq().await?;
        let sweeps = self.store.open_sweeps().await?;
        let active = sweeps.len();
        let (state, effects) = State::restore(config, SweepPlanner, sweeps, self.now());
        self.carry_out(effects).await?;
        self.state = Some(state);
        if active > 0 {
            tracing::info!(
                sweeps = active,
                "Unfinished sweeps go on where they stopped."
            );
        }
        Ok(())
    }

    fn refuse_all(&mut self) {
        for (_, reply) in self.replies.drain() {
            respond(reply, Err(EngineError::StoreFailed));
        }
    }

    fn close_all(&mut self, reason: &str) {
        for (_, outbound) in self.sessions.drain() {
            outbound.close(reason.to_owned(), false);
        }
    }
}

/// Answers a request that is on record: with its sweep, unless it asks for another one now.
async fn submitted_before(store: &impl Store, known: SweepId, spec: &SweepSpec, reply: Reply) {
    match store.sweep(known).await {
        Ok(Some(stored)) if stored.spec != *spec => {
            let refusal = Refusal::Invalid(format!(
                "field `request_id`: it submitted sweep {known} with another spec before; every new sweep needs an id of its own"
            ));
            respond(reply, Ok(Answer::Refused(refusal)));
        }
        Ok(_) => respond(reply, Ok(Answer::Submitted(known))),
        Err(error) => unreadable(&error, reply),
    }
}

fn respond(reply: Reply, answer: Result<Answer, EngineError>) {
    // A caller that hung up asks again: every call is idempotent.
    let _ = reply.send(answer);
}

fn unreadable(error: &StoreError, reply: Reply) {
    tracing::error!(error = chain(error), "The store cannot be read.");
    respond(reply, Err(EngineError::StoreFailed));
}
