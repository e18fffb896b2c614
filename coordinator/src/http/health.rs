//! `/healthz`: whether the coordinator can do its work, for load balancers and people with `curl`. Says what [`Health`] says; to somebody without a token
//! only whether, for what the lab has and does is nobody's concern.

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use batchstep_core::fleet::Census;
use serde_json::{Map, Value, json};

use crate::{health::Health, pki::Caller};

pub(super) async fn healthz(
    State(health): State<Health>,
    caller: Option<Extension<Caller>>,
) -> Response {
    let may_know_more = matches!(
        caller,
        Some(Extension(
            Caller::Local | Caller::Operator | Caller::Monitor
        ))
    );
    let (status, body) = match health.verdict() {
        Ok(census) if may_know_more => (StatusCode::OK, well(&health, &census)),
        Ok(_) => (StatusCode::OK, json!({"status": "ok"})),
        Err(ailment) if may_know_more => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "unavailable", "reason": ailment.to_string()}),
        ),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "unavailable"}),
        ),
    };
    // A verdict that somebody keeps is none.
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, format!("{body}\n")).into_response()
}

fn well(health: &Health, census: &Census) -> Value {
    let agents: Map<String, Value> = census
        .agents
        .iter()
        .map(|(state, count)| (state.word().to_owned(), json!(count)))
        .collect();
    json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": health.uptime().as_secs(),
        "active_sweeps": census.active_sweeps,
        "open_attempts": census.open_attempts,
        "sessions": census.sessions,
        "agents": agents,
    })
}
