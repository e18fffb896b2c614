//! The task that brings nights forward. All that it knows between two looks is in the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use batchstep_core::{
    fleet::SweepState,
    nightly::{Input, Night, Phase, Step},
};
use batchstep_proto::{
    causes::chain,
    domain::DeviceSelector,
    ids::{RequestId, SweepId},
};
use tokio::{
    sync::{Mutex, Notify},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{
    Settings,
    kept::{self, Kept, to_json},
    people::NightlyError,
    presence::Patience,
    telling::Teller,
};
use crate::{
    engine::{Engine, EngineError},
    inventory::Inventories,
    store::{
        NightState, NightlyRecord, NightlyStore as _, NightsWanted, Store, StoreError, StoredNight,
        StoredSchedule,
    },
};

/// How often the clock is looked at, and sweeps that are out.
const LOOK: Duration = Duration::from_secs(1);
/// Steps of a night within one look; a night that asks for more goes on at the next one.
const STEPS: usize = 16;
/// How long a schedule is left alone whose nights cannot be kept.
const FAILED_PAUSE: Duration = Duration::from_secs(30);

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
    pub(super) behind: Mutex<BTreeSet<String>>,
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
                    && self.has_ended(sweep).await?
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

/// Two sentences for people, either of which may be empty.
pub(super) fn join(one: &str, other: &str) -> String {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other.to_owned(),
        (_, true) => one.to_owned(),
        _ if one.contains(other) => one.to_owned(),
        _ => format!("{one}; {other}"),
    }
}
