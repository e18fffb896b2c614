//! The task that owns the fleet's state: it takes the inputs that wait, commits what they lead to together, and only then does everything else.
//!
//! A commit costs a write that reaches the disk, whatever is in it; while one is under way further inputs gather, and share the next. Whoever
//! asks for something that is on record, or sees the state, is preceded by the commit of what waits.
//!
//! A state never runs ahead of its store: when a commit fails, callers are told to try again, every session is closed, and the state is made
//! anew from the store before the next input is taken. What was measured before that is read back while the task serves; reports that may be of it wait.

mod commands;
mod reading;

use std::{collections::HashMap, sync::Arc, time::Duration};

use batchstep_core::fleet::{
    Answer, Config, Disposition, Effect, Input, Kept, ReplyKey, SessionKey, State, SweepPlanner,
};
use batchstep_proto::causes::chain;
use jiff::Timestamp;
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Command, Engine, EngineError, INPUTS, Reply,
    batch::{Batch, Committed, Deed},
    histories::Histories,
    live::{LIVE_EVENTS, Live, LiveEvent},
    outbound::{NotTaken, Outbound},
    reply::respond,
    waiting::Waiting,
};
use crate::{
    meters::Meters,
    store::{Store, StoreError},
};

/// Inputs that share a commit at most: enough to make the disk's share of each small.
const BATCH: usize = 256;
/// No further input joins after this: what the first ones lead to waits for the last, and a plan may take milliseconds.
const BATCH_TIME: Duration = Duration::from_millis(20);
/// Time between two tries to read the state back from a failing store.
const RESTORE_PAUSE: Duration = Duration::from_secs(1);
/// Between two times that a state with daily windows is told the time of day: a clock that is set moves them within this.
const TIME_OF_DAY_PAUSE: Duration = Duration::from_secs(30);
/// Longest wait for a tick when the state machine asks for none.
const IDLE_TICK: Duration = Duration::from_secs(3600);
/// Why the session of an agent ends whose queue is full.
const NOT_READING: &str = "the agent does not read its messages";

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
        time_told: None,
        histories: None,
        waiting: Waiting::default(),
        batch: Batch::default(),
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
    /// When the state was last told the time of day.
    time_told: Option<Instant>,
    /// While something is still to be read back for the state.
    histories: Option<Histories>,
    waiting: Waiting,
    /// What inputs led to since the last commit.
    batch: Batch,
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
                    Some(command) => self.take_with(command, &mut inbox).await,
                    None => break,
                },
                history = reading::next(&mut self.histories) => self.read_back(history).await,
                // They are taken below, some after each of the others, too.
                () = std::future::ready(()), if self.may_take_waiting() => {}
                () = sleep_until(wake) => self.wake().await,
            }
            self.take_waiting().await;
        }
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn next_wake(&self) -> Instant {
        match &self.state {
            None => self.restore_at,
            Some(state) => {
                let tick = state.next_tick().map(|at| self.epoch + at);
                let latest = Instant::now() + IDLE_TICK;
                tick.unwrap_or(latest)
                    .min(self.tells_time_at().unwrap_or(latest))
            }
        }
    }

    /// When the state is to be told the time of day next; `None`: it does not need it.
    fn tells_time_at(&self) -> Option<Instant> {
        let needed = self.state.as_ref().is_some_and(State::needs_time_of_day);
        let due = |told: Instant| told + TIME_OF_DAY_PAUSE;
        needed.then(|| self.time_told.map_or_else(Instant::now, due))
    }

    /// Tells the state the time of day where that is due; true when it was.
    fn tell_time(&mut self) -> bool {
        let is_due = self.tells_time_at().is_some_and(|at| at <= Instant::now());
        if is_due {
            self.time_told = Some(Instant::now());
            self.step(Input::TimeOfDay(Timestamp::now()));
        }
        is_due
    }

    async fn wake(&mut self) {
        if self.tell_time() {
            self.flush().await;
        } else if self.state.is_some() {
            self.step(Input::Tick);
            self.flush().await;
        } else if let Err(error) = self.restore().await {
            tracing::error!(error = chain(&error), "The store still cannot be read.");
            self.restore_at = Instant::now() + RESTORE_PAUSE;
        }
    }

    /// Takes a command and those that wait behind it, up to [`BATCH`], with one commit.
    async fn take_with(&mut self, command: Command, inbox: &mut mpsc::Receiver<Command>) {
        self.tell_time();
        self.take(command).await;
        let begun = Instant::now();
        for _ in 1..BATCH {
            if begun.elapsed() > BATCH_TIME {
                break;
            }
            let Ok(command) = inbox.try_recv() else { break };
            self.take(command).await;
        }
        // However much comes in, what is read back has its turn.
        self.take_histories();
        self.flush().await;
    }

    /// Hands one input to the state machine. What follows from it waits for [`Actor::flush`].
    fn step(&mut self, input: Input) {
        let now = self.now();
        match &mut self.state {
            Some(state) => self.batch.add(state.handle(now, input)),
            None => self.refuse_all(),
        }
    }

    /// Commits what waits, then carries out everything else of it.
    async fn flush(&mut self) {
        // An agent that does not read is found when it is sent to, which is news in itself.
        while !self.batch.is_empty() {
            match std::mem::take(&mut self.batch)
                .commit(&*self.store, &self.meters)
                .await
            {
                Ok(committed) => {
                    for session in self.carry_out(committed) {
                        self.step(Input::Disconnected {
                            session,
                            reason: NOT_READING.to_owned(),
                        });
                    }
                }
                Err(error) => self.fail(&error).await,
            }
        }
    }

    /// Does in order what the store allows now. Answers with the sessions that take no messages.
    fn carry_out(&mut self, committed: Committed) -> Vec<SessionKey> {
        let at = committed.at;
        let mut stuck = Vec::new();
        for deed in committed.deeds {
            match deed {
                Deed::Show(event) => self.show(event),
                Deed::CarryOut(Effect::Show(event)) => self.show(LiveEvent { seq: 0, at, event }),
                Deed::CarryOut(Effect::Persist(_)) => {}
                Deed::CarryOut(Effect::Send { session, message }) => {
                    let sent = self
                        .sessions
                        .get(&session)
                        .map(|outbound| outbound.send(*message));
                    // An agent that does not read is as good as gone.
                    if let Some(Err(NotTaken)) = sent
                        && let Some(outbound) = self.sessions.remove(&session)
                    {
                        outbound.close(NOT_READING.to_owned(), false);
                        stuck.push(session);
                    }
                }
                Deed::CarryOut(Effect::Close {
                    session,
                    reason,
                    permanent,
                }) => {
                    if let Some(outbound) = self.sessions.remove(&session) {
                        outbound.close(reason, permanent);
                    }
                }
                Deed::CarryOut(Effect::Reply { reply, answer }) => {
                    if answer == Answer::Reported(Disposition::Duplicate) {
                        self.meters.answered_duplicate();
                    }
                    if let Some(reply) = self.replies.remove(&reply) {
                        respond(reply, Ok(answer));
                    }
                }
            }
        }
        stuck
    }

    fn show(&self, event: LiveEvent) {
        // Nobody may be watching.
        let _ = self.live.send(Live::Event(Arc::new(event)));
    }

    /// A commit failed: nothing the state believes since then is true.
    async fn fail(&mut self, error: &StoreError) {
        self.meters.failed();
        tracing::error!(
            error = chain(error),
            "A change could not be recorded; the state is read back from the store."
        );
        self.state = None;
        self.histories = None;
        self.batch = Batch::default();
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
        let kept = Kept {
            sweeps: self.store.open_sweeps().await?,
            restrictions: self.store.restrictions().await?,
        };
        let active = kept.sweeps.len();
        let (state, effects) = State::restore(config, SweepPlanner, kept, self.now());
        let mut batch = Batch::default();
        batch.add(effects);
        let committed = batch.commit(&*self.store, &self.meters).await?;
        self.state = Some(state);
        self.time_told = None;
        self.read_histories(Duration::ZERO);
        // Nobody is connected yet, so nobody can be stuck.
        self.carry_out(committed);
        if active > 0 {
            tracing::info!(
                sweeps = active,
                "Unfinished sweeps go on where they stopped."
            );
        }
        Ok(())
    }

    fn refuse_all(&mut self) {
        while let Some(report) = self.waiting.next() {
            if let Command::Report { reply, .. } = report {
                respond(reply, Err(EngineError::StoreFailed));
            }
        }
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
