//! The task that begins nights and brings them forward. All that it knows between two looks is in the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use batchstep_core::{
    fleet::SweepState,
    nightly::{Due, Input, Missed, Night, Phase, Step, due},
};
use batchstep_proto::{
    causes::chain,
    domain::DeviceSelector,
    ids::{RequestId, SweepId},
};
use jiff::Timestamp;
use tokio::{
    sync::{Mutex, Notify},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Settings,
    alarms::{self, Wanted, Wants},
    document::{Detail, Summary},
    kept::{self, Kept, to_json},
    letters,
    people::NightlyError,
    presence::Patience,
    telling::Teller,
};
use crate::{
    engine::{Engine, EngineError},
    inventory::Inventories,
    store::{
        AlarmsWanted, NightState, NightlyRecord, NightlyStore as _, NightsWanted, Store,
        StoreError, StoredNight, StoredSchedule,
    },
};

/// How often the clock is looked at, and sweeps that are out.
const LOOK: Duration = Duration::from_secs(1);
/// Steps of a night within one look; a night that asks for more goes on at the next one.
const STEPS: usize = 16;
/// How long a schedule is left alone whose nights cannot be kept.
const FAILED_PAUSE: Duration = Duration::from_secs(30);
/// A clock that shows what is over by so much makes nights fail, which somebody should know.
const LONG_BEHIND: Duration = Duration::from_hours(6);

/// Scheduled sweeps. One task and the service share it.
pub struct Nightly<S: Store> {
    pub(super) store: Arc<S>,
    pub(super) engine: Engine,
    pub(super) inventories: Arc<Inventories<S>>,
    pub(super) settings: Settings,
    pub(super) teller: Arc<Teller<S>>,
    /// Held while nights change, by the task or by a person.
    pub(super) changing: Mutex<()>,
    /// Somebody asked for what should not wait for the next look.
    pub(super) wake: Notify,
    /// Schedules whose clock went back, so that it is said once.
    behind: Mutex<BTreeSet<String>>,
    /// Schedules whose nights cannot be kept, and when that is tried again.
    failing: Mutex<BTreeMap<String, Instant>>,
    pub(super) patience: Patience,
}

impl<S: Store> Nightly<S> {
    /// On what the store holds.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn restore(
        store: Arc<S>,
        engine: Engine,
        inventories: Arc<Inventories<S>>,
        settings: Settings,
    ) -> Result<Self, StoreError> {
        let teller = Teller::restore(Arc::clone(&store), settings.channels.clone()).await?;
        Ok(Self {
            teller: Arc::new(teller),
            store,
            engine,
            inventories,
            settings,
            changing: Mutex::new(()),
            wake: Notify::new(),
            behind: Mutex::default(),
            failing: Mutex::default(),
            patience: Patience::new(),
        })
    }

    /// Who is told.
    pub const fn teller(&self) -> &Arc<Teller<S>> {
        &self.teller
    }

    /// Writes, and tells what was written to be told.
    pub(super) async fn write(&self, records: &[NightlyRecord]) -> Result<(), NightlyError> {
        self.store.nightly().save_nightly(records).await?;
        self.teller.take(records);
        Ok(())
    }

    /// Keeps nights until `stop` is set.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        if self.settings.is_unattended {
            return;
        }
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
                () = self.wake.notified() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    /// Looks at every schedule once. One that fails is left alone for a while, and keeps no other one waiting.
    async fn look(&self) {
        let _changing = self.changing.lock().await;
        let schedules = match self.store.nightly().schedules().await {
            Ok(schedules) => schedules,
            // The coordinator's health tells of it.
            Err(error) => {
                tracing::debug!(
                    error = chain(&error),
                    "Schedules cannot be read at the moment."
                );
                return;
            }
        };
        for stored in schedules {
            let retry = self.failing.lock().await.get(&stored.name).copied();
            if retry.is_some_and(|retry| Instant::now() < retry) {
                continue;
            }
            let looked = self.look_at(&stored).await;
            let mut failing = self.failing.lock().await;
            match looked {
                Ok(()) => drop(failing.remove(&stored.name)),
                Err(error) => {
                    let retry = Instant::now() + FAILED_PAUSE;
                    if failing.insert(stored.name.clone(), retry).is_none() {
                        tracing::error!(
                            schedule = stored.name,
                            error = chain(&error),
                            "The nights of a schedule cannot be kept; this is tried again and again."
                        );
                    }
                }
            }
        }
    }

    async fn look_at(&self, stored: &StoredSchedule) -> Result<(), NightlyError> {
        let wanted = NightsWanted {
            schedule: Some(stored.name.clone()),
            under_way: true,
            limit: 1,
            ..NightsWanted::default()
        };
        let night = self.store.nightly().nights(&wanted).await?.pop();
        match (Kept::read(stored), night) {
            (Ok(kept), Some(night)) => match kept::life(&night) {
                Ok(life) => self.advance(&kept, night, life).await,
                Err(error) => self.give_up(night, &error.to_string()).await,
            },
            (Ok(kept), None) => self.begin_if_due(kept).await,
            (Err(error), night) => {
                if let Some(night) = night {
                    self.give_up(night, &error.to_string()).await?;
                }
                Err(error.into())
            }
        }
    }

    /// Ends a night that cannot be read any more.
    async fn give_up(&self, mut night: StoredNight, why: &str) -> Result<(), NightlyError> {
        let now = self.settings.clock.now();
        night.note = join(
            &night.note,
            &format!("what is stored of it cannot be read: {why}"),
        );
        night.state = NightState::Abandoned;
        night.finished_at = Some(now);
        night.life = "null".to_owned();
        tracing::error!(
            schedule = night.schedule,
            night = night.number,
            why,
            "A night was abandoned."
        );
        let mut records = self.no_night(&night, now).await?;
        records.push(NightlyRecord::Night(night));
        self.write(&records).await
    }

    async fn begin_if_due(&self, kept: Kept) -> Result<(), NightlyError> {
        let now = self.settings.clock.now();
        let schedule = &kept.schedule;
        let due = due(schedule, Some(kept.settled_until), schedule.created_at, now);
        let is_behind = matches!(due, Due::ClockBehind { .. });
        let name = schedule.name.to_string();
        let was_behind = {
            let mut behind = self.behind.lock().await;
            if is_behind {
                !behind.insert(name)
            } else {
                behind.remove(&name)
            }
        };
        match due {
            Due::Nothing { .. } => Ok(()),
            Due::ClockBehind { passed, by } => {
                if was_behind {
                    return Ok(());
                }
                tracing::warn!(schedule = %schedule.name, %passed, ?by, "The clock went back, or was ahead; no night begins before it is there again, or `batchstep schedule enable` begins anew.");
                if by < LONG_BEHIND {
                    return Ok(());
                }
                let note = format!(
                    "no night begins before {passed}, which the clock has shown before; `batchstep schedule enable {}` begins anew from now on",
                    schedule.name
                );
                let last = self
                    .store
                    .nightly()
                    .last_night(schedule.name.as_str())
                    .await?;
                let records = self.no_night(&row(&kept, last, now, note), now).await?;
                self.write(&records).await
            }
            Due::Run {
                planned, missed, ..
            } => {
                let missed = missed.map(|missed| missed.sentence(&schedule.timetable));
                let note = missed.clone().unwrap_or_default();
                self.begin(kept, planned, now, note, missed).await?;
                Ok(())
            }
            Due::Missed { missed, .. } => self.miss(kept, missed, now).await,
        }
    }

    /// Begins a night; answers with its number. What others did not happen before it is `told`.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub(super) async fn begin(
        &self,
        mut kept: Kept,
        planned: Timestamp,
        now: Timestamp,
        note: String,
        told: Option<String>,
    ) -> Result<u32, NightlyError> {
        let number = self.next_number(kept.schedule.name.as_str()).await?;
        let life = Night::begin(&kept.schedule, number.into(), planned);
        kept.settled_until = kept.settled_until.max(planned);
        let row = StoredNight {
            started_at: Some(now),
            life: to_json(&life),
            ..row(&kept, number, planned, note)
        };
        tracing::info!(schedule = %kept.schedule.name, night = number, note = row.note, "A night begins.");
        let mut records = vec![
            NightlyRecord::Schedule(kept.row()),
            NightlyRecord::Night(row.clone()),
        ];
        records.extend(
            told.map(|sentence| {
                let detail = Detail {
                    sentence: format!("schedule {}: {sentence}", row.schedule),
                    date: row.date.clone(),
                    ..Detail::default()
                };
                let (subject, kind) = (alarms::THE_NIGHT, alarms::NIGHT_MISSED);
                let message = letters::of_detail(&detail, &row, kind, subject);
                self.teller.records(&[message])
            })
            .into_iter()
            .flatten(),
        );
        self.write(&records).await?;
        self.advance(&kept, row, life).await?;
        Ok(number)
    }

    /// Puts a night that did not happen on record, with its alarm.
    async fn miss(
        &self,
        mut kept: Kept,
        missed: Missed,
        now: Timestamp,
    ) -> Result<(), NightlyError> {
        let name = kept.schedule.name.to_string();
        let number = self.next_number(&name).await?;
        let note = missed.sentence(&kept.schedule.timetable);
        tracing::warn!(schedule = name, night = number, note, "Nights were missed.");
        kept.settled_until = kept.settled_until.max(missed.last);
        let life = Night::begin(&kept.schedule, number.into(), missed.last);
        let row = StoredNight {
            finished_at: Some(now),
            state: NightState::Missed,
            life: to_json(&life),
            ..row(&kept, number, missed.last, note)
        };
        let mut records = self.no_night(&row, now).await?;
        records.push(NightlyRecord::Schedule(kept.row()));
        records.push(NightlyRecord::Night(row));
        self.write(&records).await?;
        Ok(())
    }

    /// The alarm about a night that said nothing.
    async fn no_night(
        &self,
        night: &StoredNight,
        now: Timestamp,
    ) -> Result<Vec<NightlyRecord>, NightlyError> {
        let open = AlarmsWanted {
            schedule: Some(night.schedule.clone()),
            ..AlarmsWanted::default()
        };
        let open = self.store.nightly().alarms(&open).await?;
        let mut wants = Wants::default();
        wants.alarms.push(Wanted {
            topic: (
                alarms::THE_NIGHT.to_owned(),
                alarms::NIGHT_MISSED.to_owned(),
            ),
            detail: Detail {
                sentence: format!("schedule {}: {}", night.schedule, night.note),
                date: night.date.clone(),
                ..Detail::default()
            },
        });
        let others = open
            .iter()
            .map(|alarm| (alarm.subject.clone(), alarm.kind.clone()));
        wants.silent.extend(others);
        self.turn(&open, &wants, night, now).await
    }

    async fn next_number(&self, schedule: &str) -> Result<u32, NightlyError> {
        let last = self.store.nightly().last_night(schedule).await?;
        Ok(last.saturating_add(1))
    }

    /// Does what a night needs, until it waits for something.
    pub(super) async fn advance(
        &self,
        kept: &Kept,
        mut row: StoredNight,
        mut life: Night,
    ) -> Result<(), NightlyError> {
        for _ in 0..STEPS {
            let before = life.clone();
            let now = self.time_of(&life).await;
            life.handle(now, Input::Tick);
            for sweep in out(&life) {
                if let Some(part) = life.part_of(sweep)
                    && (self.is_over(sweep).await? || self.is_left_by_all(sweep).await?)
                {
                    let now = self.time_of(&life).await;
                    life.handle(now, Input::Ended { part });
                }
            }
            if life != before {
                self.save(&mut row, &life).await?;
            }
            let before = life.clone();
            for step in life.todo() {
                if row.state.is_over() {
                    break;
                }
                self.step(kept, &mut row, &mut life, step).await?;
            }
            if life == before {
                break;
            }
        }
        Ok(())
    }

    async fn step(
        &self,
        kept: &Kept,
        row: &mut StoredNight,
        life: &mut Night,
        step: Step,
    ) -> Result<(), NightlyError> {
        let input = match step {
            Step::Submit { part, request } => match self.submit(kept, life, part, request).await? {
                Some(input) => input,
                None => return Ok(()),
            },
            Step::Cancel {
                part,
                request,
                sweep,
            } => match self.call_back(request, sweep).await? {
                true => Input::Ended { part },
                false => return Ok(()),
            },
            Step::Judge { last } => {
                let judged = self.judge(kept, row, life, last).await?;
                let input = Input::Judged {
                    last,
                    again: judged.again.clone(),
                };
                let now = self.time_of(life).await;
                life.handle(now, input);
                if *life.phase() == Phase::Done {
                    return self.finish(kept, row, life, judged).await;
                }
                return self.save(row, life).await;
            }
        };
        let now = self.time_of(life).await;
        if life.handle(now, input) {
            self.save(row, life).await?;
        }
        Ok(())
    }

    /// Submits a part's sweep; `None`: not yet.
    async fn submit(
        &self,
        kept: &Kept,
        life: &Night,
        part: u32,
        request: RequestId,
    ) -> Result<Option<Input>, NightlyError> {
        let parts = usize::try_from(part).ok();
        let wanted = parts.and_then(|at| life.parts().get(at));
        let Some(mut spec) = wanted.and_then(|it| it.spec(part, &kept.schedule.sweep)) else {
            let reason = "the schedule has no such workload".to_owned();
            return Ok(Some(Input::Refused { part, reason }));
        };
        // A crash may have come between the submission and its record, and who is connected may have changed since.
        if let Some(sweep) = self.store.find_request(request).await? {
            return Ok(Some(Input::Submitted { part, sweep }));
        }
        let connected = self.connected().await?;
        if part == 0 && !self.is_gathered(kept, &connected).await? {
            return Ok(None);
        }
        if let DeviceSelector::Listed(devices) = &mut spec.devices
            && devices.iter().any(|device| connected.contains(device))
        {
            // One host that is away is missing; it does not keep the others from measuring.
            devices.retain(|device| connected.contains(device));
        }
        match self.engine.submit(request, spec).await {
            Ok(sweep) => {
                tracing::info!(schedule = %life.schedule(), night = life.number(), part, %sweep, "A night's sweep is out.");
                Ok(Some(Input::Submitted { part, sweep }))
            }
            Err(EngineError::Refused(refusal)) => {
                let reason = refusal.to_string();
                tracing::warn!(schedule = %life.schedule(), night = life.number(), part, reason, "A night's sweep was refused.");
                Ok(Some(Input::Refused { part, reason }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Cancels a sweep; true once it is over, or where there is none.
    async fn call_back(
        &self,
        request: RequestId,
        sweep: Option<SweepId>,
    ) -> Result<bool, NightlyError> {
        let sweep = match sweep {
            Some(sweep) => Some(sweep),
            None => self.store.find_request(request).await?,
        };
        let Some(sweep) = sweep else {
            return Ok(true);
        };
        if self.is_over(sweep).await? {
            return Ok(true);
        }
        let reason = "the night's deadline has come".to_owned();
        match self.engine.cancel(sweep, reason).await {
            Ok(_) | Err(EngineError::Refused(_)) => self.is_over(sweep).await,
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn is_over(&self, sweep: SweepId) -> Result<bool, NightlyError> {
        if self.engine.sweep(sweep).await?.is_some() {
            return Ok(false);
        }
        let stored = self.store.sweep(sweep).await?;
        Ok(stored.is_none_or(|sweep| sweep.state != SweepState::Active))
    }

    /// Writes where a night is.
    async fn save(&self, row: &mut StoredNight, life: &Night) -> Result<(), NightlyError> {
        let now = self.settings.clock.now();
        row.life = to_json(life);
        let mut records = Vec::new();
        row.state = match life.phase() {
            Phase::Measuring => NightState::Measuring,
            Phase::Again | Phase::Done => NightState::Again,
            Phase::Abandoned { reason } => {
                row.note = join(&row.note, reason);
                tracing::warn!(
                    schedule = row.schedule,
                    night = row.number,
                    reason,
                    "A night was abandoned."
                );
                if life.is_over() {
                    row.finished_at = Some(now);
                    records = self.no_night(row, now).await?;
                    NightState::Abandoned
                } else {
                    NightState::Again
                }
            }
        };
        records.push(NightlyRecord::Night(row.clone()));
        self.write(&records).await?;
        Ok(())
    }
}

/// The sweeps of a night that are not over, as far as it knows.
fn out(life: &Night) -> Vec<SweepId> {
    let parts = life.parts().iter();
    parts
        .filter(|part| !part.is_over())
        .filter_map(|part| part.sweep())
        .collect()
}

/// A night that begins, or did not.
fn row(kept: &Kept, number: u32, planned: Timestamp, note: String) -> StoredNight {
    let date = kept.schedule.timetable.zone.wall(planned).date();
    StoredNight {
        schedule: kept.schedule.name.to_string(),
        number,
        date: date.to_string(),
        planned_at: planned,
        started_at: None,
        finished_at: None,
        state: NightState::Measuring,
        note,
        life: "null".to_owned(),
        summary: to_json(&Summary::default()),
    }
}

/// Two sentences for people, either of which may be empty.
pub(super) fn join(one: &str, other: &str) -> String {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other.to_owned(),
        (_, true) => one.to_owned(),
        _ if one.contains(other) => one.to_owned(),
        _ => format!("{one}; {other}"),
    }
}
