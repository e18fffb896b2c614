//! Questions about nights, and what the coordinator's documents are read as. Prints nothing.

use anyhow::{Context as _, Result};
use batchstep_proto::wire::{self, get_night_request::Which};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tonic::{Response, Status};

use crate::{
    cli::endpoint::{Nights, refusal},
    nightly::document::{ActionsDocument, AlarmsDocument, NightDocument, NightsDocument},
};

/// Nights, newest first; `limit` 0 leaves their number to the coordinator.
///
/// # Errors
/// When the coordinator refuses, or answers in a form that is not known here. The same holds for all questions below.
pub(in crate::cli) async fn nights(
    client: &mut Nights,
    schedule: Option<&str>,
    limit: u32,
) -> Result<NightsDocument> {
    let request = wire::ListNightsRequest {
        schedule: schedule.map(ToOwned::to_owned),
        limit,
    };
    read(client.list_nights(request).await)
}

/// One night with its series.
///
/// # Errors
/// As [`nights`].
pub(in crate::cli) async fn night(
    client: &mut Nights,
    schedule: Option<&str>,
    which: Option<Which>,
) -> Result<NightDocument> {
    read(try_night(client, schedule, which).await)
}

/// The same with the refusal as it came, for whoever asks again.
///
/// # Errors
/// When the coordinator refuses or does not answer.
pub(in crate::cli) async fn try_night(
    client: &mut Nights,
    schedule: Option<&str>,
    which: Option<Which>,
) -> Result<Response<wire::NightlyDocument>, Status> {
    let request = wire::GetNightRequest {
        schedule: schedule.map(ToOwned::to_owned),
        which,
    };
    client.get_night(request).await
}

/// Alarms that are open, or were since a time.
///
/// # Errors
/// As [`nights`].
pub(in crate::cli) async fn alarms(
    client: &mut Nights,
    schedule: Option<&str>,
    since: Option<Timestamp>,
) -> Result<AlarmsDocument> {
    let request = wire::ListAlarmsRequest {
        schedule: schedule.map(ToOwned::to_owned),
        since: since.map(|since| since.to_string()),
    };
    read(client.list_alarms(request).await)
}

/// What people did, newest first; `limit` 0 leaves their number to the coordinator.
///
/// # Errors
/// As [`nights`].
pub(in crate::cli) async fn actions(client: &mut Nights, limit: u32) -> Result<ActionsDocument> {
    read(
        client
            .list_actions(wire::ListActionsRequest { limit })
            .await,
    )
}

/// Schedules with so many of their next runs.
///
/// # Errors
/// When the coordinator refuses: also when there is none of that name.
pub(in crate::cli) async fn schedules(
    client: &mut Nights,
    name: Option<&str>,
    upcoming: u32,
) -> Result<Vec<wire::ScheduleView>> {
    let request = wire::ListSchedulesRequest {
        upcoming,
        name: name.map(ToOwned::to_owned),
    };
    let answer = client.list_schedules(request).await.map_err(refusal)?;
    Ok(answer.into_inner().schedules)
}

/// Reads a document.
///
/// # Errors
/// When it is a refusal, or of a form that is not known here.
pub(in crate::cli) fn read<T: DeserializeOwned>(
    answer: Result<Response<wire::NightlyDocument>, Status>,
) -> Result<T> {
    let json = answer.map_err(refusal)?.into_inner().json;
    serde_json::from_slice(&json).context(
        "the coordinator's answer about nights is of a form that this batchstep does not know; it may be of another version",
    )
}
