//! The task that begins nights and brings them forward. All that it knows between two looks is in the store.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use batchstep_core::{
    fleet::SweepState,
    nightly::{Due, Input, Missed, Night, Phase, Step, due},
};
use batchstep_proto::{
    causes::chain,
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
    people::NightlyError,
    telling::Teller,
};
use crate::{
    engine::{Engine, EngineError},
    inventory::Inventories,
    store::{
        AlarmsWanted, NightState, NightlyRecord, NightlyStore as _, NightsWanted, Store,
        StoreError, StoredNight,
    },
};

/// How often the clock is looked at, and sweeps that are out.
const LOOK: Duration = Duration::from_secs(1);
/// Steps of a night within one look; a night that asks for more goes on at the next one.
const STEPS: usize = 16;

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
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = looks.tick() => {}
                () = self.wake.notified() => {}
            }
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look() => looked,
            };
            match looked {
                Ok(()) => failing = false,
                // What is not written is tried again at the next look; once is enough in the log.
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(
                        error = chain(&error),
                        "Nights cannot be kept at the moment."
                    );
                }
                Err(_) => {}
            }
        }
    }

    /// Looks at every schedule once.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn look(&self) -> Result<(), NightlyError> {
        let _changing = self.changing.lock().await;
        for stored in self.store.nightly().schedules().await? {
            let kept = match Kept::read(&stored) {
                Ok(kept) => kept,
                Err(error) => {
                    tracing::error!(
                        schedule = stored.name,
                        error = chain(&error),
                        "A schedule cannot be read, and has no nights."
                    );
                    continue;
                }
            };
            let wanted = NightsWanted {
                schedule: Some(stored.name.clone()),
                under_way: true,
                limit: 1,
                ..NightsWanted::default()
            };
            match self.store.nightly().nights(&wanted).await?.pop() {
                Some(night) => self.advance(&kept, night).await?,
                None => self.begin_if_due(kept).await?,
            }
        }
        Ok(())
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
                if !was_behind {
                    tracing::warn!(schedule = %schedule.name, %passed, ?by, "The clock went back; no night begins before it is there again.");
                }
                Ok(())
            }
            Due::Run {
                planned, missed, ..
            } => {
                let note = missed.map(|missed| missed.sentence(&schedule.timetable));
                self.begin(kept, planned, now, note.unwrap_or_default())
                    .await?;
                Ok(())
            }
            Due::Missed { missed, .. } => self.miss(kept, missed, now).await,
        }
    }

    /// Begins a night; answers with its number.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub(super) async fn begin(
        &self,
        mut kept: Kept,
        planned: Timestamp,
        now: Timestamp,
        note: String,
    ) -> Result<u32, NightlyError> {
        let number = self.next_number(kept.schedule.name.as_str()).await?;
        let life = Night::begin(&kept.schedule, number.into(), planned);
        kept.settled_until = kept.settled_until.max(planned);
        let row = StoredNight {
            schedule: kept.schedule.name.to_string(),
            number,
            date: kept
                .schedule
                .timetable
                .zone
                .wall(planned)
                .date()
                .to_string(),
            planned_at: planned,
            started_at: Some(now),
            finished_at: None,
            state: NightState::Measuring,
            note,
            life: to_json(&life),
            summary: to_json(&Summary::default()),
        };
        tracing::info!(schedule = %kept.schedule.name, night = number, note = row.note, "A night begins.");
        let records = [
            NightlyRecord::Schedule(kept.row()),
            NightlyRecord::Night(row.clone()),
        ];
        self.write(&records).await?;
        self.advance(&kept, row).await?;
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
            schedule: name,
            number,
            date: kept
                .schedule
                .timetable
                .zone
                .wall(missed.last)
                .date()
                .to_string(),
            planned_at: missed.last,
            started_at: None,
            finished_at: Some(now),
            state: NightState::Missed,
            note,
            life: to_json(&life),
            summary: to_json(&Summary::default()),
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
    ) -> Result<(), NightlyError> {
        let mut life = kept::life(&row)?;
        for _ in 0..STEPS {
            let before = life.clone();
            life.handle(self.settings.clock.now(), Input::Tick);
            for sweep in out(&life) {
                if let Some(part) = life.part_of(sweep)
                    && self.is_over(sweep).await?
                {
                    life.handle(self.settings.clock.now(), Input::Ended { part });
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
            Step::Submit { part, request } => self.submit(kept, life, part, request).await?,
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
                let now = self.settings.clock.now();
                life.handle(now, input);
                if *life.phase() == Phase::Done {
                    return self.finish(kept, row, life, judged).await;
                }
                return self.save(row, life).await;
            }
        };
        if life.handle(self.settings.clock.now(), input) {
            self.save(row, life).await?;
        }
        Ok(())
    }

    async fn submit(
        &self,
        kept: &Kept,
        life: &Night,
        part: u32,
        request: RequestId,
    ) -> Result<Input, NightlyError> {
        let parts = usize::try_from(part)
            .ok()
            .and_then(|at| life.parts().get(at));
        let spec = parts.and_then(|it| it.spec(part, &kept.schedule.sweep));
        let Some(spec) = spec else {
            let reason = "the schedule has no such workload".to_owned();
            return Ok(Input::Refused { part, reason });
        };
        match self.engine.submit(request, spec).await {
            Ok(sweep) => {
                tracing::info!(schedule = %life.schedule(), night = life.number(), part, %sweep, "A night's sweep is out.");
                Ok(Input::Submitted { part, sweep })
            }
            Err(EngineError::Refused(refusal)) => {
                let reason = refusal.to_string();
                tracing::warn!(schedule = %life.schedule(), night = life.number(), part, reason, "A night's sweep was refused.");
                Ok(Input::Refused { part, reason })
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

    async fn is_over(&self, sweep: SweepId) -> Result<bool, NightlyError> {
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

/// Two sentences for people, either of which may be empty.
pub(super) fn join(one: &str, other: &str) -> String {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other.to_owned(),
        (_, true) => one.to_owned(),
        _ if one.contains(other) => one.to_owned(),
        _ => format!("{one}; {other}"),
    }
}
