//! Plain HTTP on the coordinator's port: what monitoring scrapes. Asks no agent and no hardware: everything comes from the newest snapshots.

mod exposition;
mod metrics;

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use jiff::Timestamp;

use crate::{inventory::Inventories, store::Store};

/// As the OpenMetrics specification names it; Prometheus reads it as well as its own older format.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is answered beside the services.
pub(crate) fn router<S: Store>(inventories: Arc<Inventories<S>>) -> Router {
    Router::new()
        .route("/metrics", get(scrape::<S>))
        .with_state(inventories)
}

async fn scrape<S: Store>(State(inventories): State<Arc<Inventories<S>>>) -> Response {
    let (fleet, changes) = (inventories.fleet(), inventories.changes());
    let made =
        tokio::task::spawn_blocking(move || metrics::of(&fleet, changes, Timestamp::now())).await;
    match made {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Response {
    tracing::error!(%error, "The metrics could not be written.");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "the metrics could not be written; the coordinator's log says more\n",
    )
        .into_response()
}
