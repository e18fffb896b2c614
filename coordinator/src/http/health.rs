//! `/healthz`: whether the coordinator can do its work, for load balancers and people with `curl`. Says what [`Health`] says.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use batchstep_core::fleet::Census;
use serde_json::{Map, Value, json};

use super::state_word;
use crate::health::Health;

pub(super) async fn healthz(State(health): State<Health>) -> Response {
    let (status, body) = match health.verdict() {
        Ok(census) => (StatusCode::OK, well(&health, &census)),
        Err(ailment) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "unavailable", "reason": ailment.to_string()}),
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
        .map(|(state, count)| (state_word(*state).to_owned(), json!(count)))
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
