//! Plain HTTP on the coordinator's port: what monitoring scrapes and what load balancers ask. Asks no agent and no hardware: everything comes from the newest
//! snapshots.

mod exposition;
mod health;
mod metrics;
mod nights;
mod process;

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use batchstep_core::inventory::{HostView, Wanted, findings};
use batchstep_proto::causes::chain;
use jiff::{SignedDuration, Timestamp};

use self::{exposition::Exposition, metrics::FindingCounts, nights::Nights};
use crate::{
    health::Health, inventory::Inventories, meters::Meters, nightly::Nightly, store::Store,
};

/// As the OpenMetrics specification names it; Prometheus reads it as well as its own older format.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long findings are told again before they are looked for again: in a large lab that is more work than all the rest of a scrape.
const FINDINGS_LAST: SignedDuration = SignedDuration::from_secs(30);

/// What scrapes have in common.
struct Scrapes<S: Store> {
    inventories: Arc<Inventories<S>>,
    nightly: Arc<Nightly<S>>,
    findings: Mutex<Option<(Timestamp, FindingCounts)>>,
    health: Health,
    meters: Arc<Meters>,
    store: Arc<S>,
}

/// What is answered beside the services.
pub(crate) fn router<S: Store>(
    inventories: Arc<Inventories<S>>,
    nightly: Arc<Nightly<S>>,
    health: Health,
    meters: Arc<Meters>,
    store: Arc<S>,
) -> Router {
    let scrapes = Scrapes {
        inventories,
        nightly,
        findings: Mutex::new(None),
        health: health.clone(),
        meters,
        store,
    };
    let metrics = Router::new()
        .route("/metrics", get(scrape::<S>))
        .with_state(Arc::new(scrapes));
    Router::new()
        .route("/healthz", get(health::healthz))
        .with_state(health)
        .merge(metrics)
}

impl<S: Store> Scrapes<S> {
    fn findings(&self, hosts: &[HostView], now: Timestamp) -> FindingCounts {
        let mut kept = self.findings.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, counts)) = &*kept
            && now.duration_since(*at).abs() < FINDINGS_LAST
        {
            return *counts;
        }
        let counts = FindingCounts::of(&findings(hosts, now));
        *kept = Some((now, counts));
        counts
    }
}

async fn scrape<S: Store>(State(scrapes): State<Arc<Scrapes<S>>>) -> Response {
    let figures = scrapes.nightly.figures().await.unwrap_or_else(|error| {
        // What cannot be read is not told; the rest is.
        tracing::warn!(
            error = chain(&error),
            "Nights cannot be told as metrics at the moment."
        );
        Vec::new()
    });
    let teller = scrapes.nightly.teller();
    let nights = Nights {
        figures,
        queued: teller.queued(),
        outcomes: teller.outcomes().clone(),
    };
    // A store that does not answer is told by its own metrics, and is no reason to tell nothing.
    let size = scrapes.store.size().await.ok().flatten();
    let made = tokio::task::spawn_blocking(move || {
        let (fleet, changes) = (scrapes.inventories.fleet(), scrapes.inventories.changes());
        let now = Timestamp::now();
        let hosts: Vec<_> = fleet.hosts(now, &Wanted::default()).collect();
        let mut out = Exposition::default();
        nights.add(&mut out);
        process::add(&mut out, &scrapes.health, &scrapes.meters, size);
        let found = scrapes.findings(&hosts, now);
        metrics::add(&mut out, &hosts, changes, found, now);
        out.text()
    })
    .await;
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
