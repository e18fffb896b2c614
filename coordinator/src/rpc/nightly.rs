//! `NightlyService`: scheduled sweeps, what they say, and what people answer.

use std::sync::Arc;

use batchstep_proto::{
    domain::InvalidField,
    wire::{
        self, ActOnAlarmsRequest, ActOnAlarmsResponse, AddScheduleRequest, AddScheduleResponse,
        AlarmAction, CompareRequest, EnableScheduleRequest, EnableScheduleResponse,
        GetHistoryRequest, GetNightRequest, ListActionsRequest, ListAlarmsRequest,
        ListNightsRequest, ListSchedulesRequest, ListSchedulesResponse, NightlyDocument,
        RemoveScheduleRequest, RemoveScheduleResponse, RunScheduleRequest, RunScheduleResponse,
        TestMessagesRequest, TestMessagesResponse, get_night_request::Which,
        nightly_service_server::NightlyService,
    },
};
use batchstep_report::Histories;
use jiff::Timestamp;
use serde::Serialize;
use tonic::{Request, Response, Status};

use super::{invalid, models, reason, store_failed};
use crate::{
    nightly::{Answer, HistoryWanted, Nightly, NightlyError, Person, Side, WhichNight},
    pki::Caller,
    store::Store,
};

/// Next runs of one schedule at most.
const UPCOMING: u32 = 100;
/// Longest name of a person, bytes.
const USER_BYTES: usize = 64;

/// The service over the task that keeps nights.
pub struct Nights<S: Store> {
    nightly: Arc<Nightly<S>>,
    store: Arc<S>,
}

impl<S: Store> Nights<S> {
    /// The service.
    #[must_use]
    pub const fn new(nightly: Arc<Nightly<S>>, store: Arc<S>) -> Self {
        Self { nightly, store }
    }
}

#[tonic::async_trait]
impl<S: Store> NightlyService for Nights<S> {
    async fn add_schedule(
        &self,
        request: Request<AddScheduleRequest>,
    ) -> Result<Response<AddScheduleResponse>, Status> {
        let (person, request) = person(request, |request| &request.user)?;
        let missing = || invalid(InvalidField::new("schedule", "is missing"));
        let schedule = request.schedule.ok_or_else(missing)?;
        if let Some(sweep) = schedule.sweep.clone() {
            models::require(self.store.models(), &sweep.try_into().map_err(invalid)?)?;
        }
        let name = schedule.name.clone();
        self.nightly.add(schedule, person).await?;
        let added = self.nightly.schedules(Some(&name), 5).await?.pop();
        Ok(Response::new(AddScheduleResponse { schedule: added }))
    }

    async fn list_schedules(
        &self,
        request: Request<ListSchedulesRequest>,
    ) -> Result<Response<ListSchedulesResponse>, Status> {
        let request = request.into_inner();
        let upcoming = request.upcoming.min(UPCOMING) as usize;
        let name = request.name.as_deref();
        let schedules = self.nightly.schedules(name, upcoming).await?;
        Ok(Response::new(ListSchedulesResponse { schedules }))
    }

    async fn enable_schedule(
        &self,
        request: Request<EnableScheduleRequest>,
    ) -> Result<Response<EnableScheduleResponse>, Status> {
        let (person, request) = person(request, |request| &request.user)?;
        let enabled = request.enabled;
        self.nightly.enable(&request.name, enabled, person).await?;
        Ok(Response::new(EnableScheduleResponse {}))
    }

    async fn remove_schedule(
        &self,
        request: Request<RemoveScheduleRequest>,
    ) -> Result<Response<RemoveScheduleResponse>, Status> {
        let (person, request) = person(request, |request| &request.user)?;
        self.nightly.remove(&request.name, person).await?;
        Ok(Response::new(RemoveScheduleResponse {}))
    }

    async fn run_schedule(
        &self,
        request: Request<RunScheduleRequest>,
    ) -> Result<Response<RunScheduleResponse>, Status> {
        let (person, request) = person(request, |request| &request.user)?;
        let night = self.nightly.run_now(&request.name, person).await?;
        Ok(Response::new(RunScheduleResponse { night }))
    }

    async fn list_nights(
        &self,
        request: Request<ListNightsRequest>,
    ) -> Result<Response<NightlyDocument>, Status> {
        let request = request.into_inner();
        let nights = self.nightly.nights(request.schedule, request.limit).await?;
        document(&nights)
    }

    async fn get_night(
        &self,
        request: Request<GetNightRequest>,
    ) -> Result<Response<NightlyDocument>, Status> {
        let request = request.into_inner();
        let which = match request.which {
            None => WhichNight::Newest,
            Some(Which::Number(number)) => WhichNight::Number(number),
            Some(Which::Date(date)) => {
                let date: jiff::civil::Date = date.parse().map_err(|_| {
                    let problem = format!("{date:?} is not a date such as 2026-11-26");
                    invalid(InvalidField::new("date", problem))
                })?;
                WhichNight::Date(date.to_string())
            }
        };
        document(&self.nightly.night(request.schedule, which).await?)
    }

    async fn list_alarms(
        &self,
        request: Request<ListAlarmsRequest>,
    ) -> Result<Response<NightlyDocument>, Status> {
        let request = request.into_inner();
        let since = request.since.map(|since| since.parse::<Timestamp>());
        let since = since
            .transpose()
            .map_err(|error| invalid(InvalidField::new("since", error.to_string())))?;
        document(&self.nightly.alarms(request.schedule, since).await?)
    }

    async fn act_on_alarms(
        &self,
        request: Request<ActOnAlarmsRequest>,
    ) -> Result<Response<ActOnAlarmsResponse>, Status> {
        let (person, request) = person(request, |request| &request.user)?;
        let answer = match request.action() {
            AlarmAction::Acknowledge => Answer::Acknowledge,
            AlarmAction::Mute => Answer::Mute,
            AlarmAction::Rebaseline => Answer::Rebaseline,
            AlarmAction::LabelTrue => Answer::Label(true),
            AlarmAction::LabelFalse => Answer::Label(false),
            AlarmAction::Unspecified => {
                return Err(invalid(InvalidField::new("action", "is missing")));
            }
        };
        let why = reason("reason", request.reason)?;
        let told = self
            .nightly
            .answer(&request.alarms, answer, &why, person)
            .await?;
        Ok(Response::new(ActOnAlarmsResponse { told }))
    }

    async fn list_actions(
        &self,
        request: Request<ListActionsRequest>,
    ) -> Result<Response<NightlyDocument>, Status> {
        document(&self.nightly.actions(request.get_ref().limit).await?)
    }

    async fn get_history(
        &self,
        request: Request<GetHistoryRequest>,
    ) -> Result<Response<NightlyDocument>, Status> {
        let request = request.into_inner();
        let wanted = HistoryWanted {
            schedule: request.schedule,
            device: request.device,
            workload: request.workload,
            nights: request.nights,
        };
        let histories = self.nightly.histories(&wanted).await?;
        document(&Histories::from(histories))
    }

    async fn compare(
        &self,
        request: Request<CompareRequest>,
    ) -> Result<Response<NightlyDocument>, Status> {
        let request = request.into_inner();
        let side = |field, text: &str| {
            let side = text.parse::<Side>();
            side.map_err(|error| invalid(InvalidField::new(field, error.to_string())))
        };
        let (a, b) = (side("a", &request.a)?, side("b", &request.b)?);
        let (device, workload) = (request.device.as_deref(), request.workload.as_deref());
        document(&self.nightly.compare(&a, &b, device, workload).await?)
    }

    async fn test_messages(
        &self,
        request: Request<TestMessagesRequest>,
    ) -> Result<Response<TestMessagesResponse>, Status> {
        let (person, request) = person(request, |request| &request.user)?;
        let channels = self
            .nightly
            .test_messages(request.channel.as_deref(), &person)
            .await?;
        Ok(Response::new(TestMessagesResponse { channels }))
    }
}

/// Who asks, and what.
fn person<T>(request: Request<T>, user: fn(&T) -> &String) -> Result<(Person, T), Status> {
    let caller = match Caller::of(&request)? {
        Caller::Local => "local",
        _ => "operator",
    };
    let request = request.into_inner();
    let user = reason("user", user(&request).clone())?;
    if user.trim().is_empty() || user.len() > USER_BYTES {
        let problem = format!("is empty, or longer than {USER_BYTES} bytes; say who does it");
        return Err(invalid(InvalidField::new("user", problem)));
    }
    let person = Person {
        user,
        caller: caller.to_owned(),
    };
    Ok((person, request))
}

fn document(document: &impl Serialize) -> Result<Response<NightlyDocument>, Status> {
    let json = serde_json::to_vec(document).map_err(|error| {
        Status::internal(format!("the answer cannot be written as JSON: {error}"))
    })?;
    Ok(Response::new(wire::NightlyDocument { json }))
}

impl From<NightlyError> for Status {
    fn from(error: NightlyError) -> Self {
        match error {
            NightlyError::Store(error) => store_failed(error),
            NightlyError::Engine(error) => error.into(),
            NightlyError::Field(_) | NightlyError::Schedule(_) | NightlyError::Question(_) => {
                Self::invalid_argument(error.to_string())
            }
            NightlyError::NotFound(_) => Self::not_found(error.to_string()),
            NightlyError::Exists(_) => Self::already_exists(error.to_string()),
            NightlyError::Conflict(_) => Self::failed_precondition(error.to_string()),
            NightlyError::Inferring | NightlyError::Json(_) => Self::internal(error.to_string()),
        }
    }
}
