//! Names of the metrics that speak of nights and messages: what is exported under them is the coordinator's, what is asked of them is in `deploy/prometheus`.

/// A metric, as it stands in `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name; of a counter without `_total`, which the exposition appends.
    pub name: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Whether it only grows.
    pub is_counter: bool,
    /// What it says.
    pub help: &'static str,
}

impl Metric {
    /// As a query names it.
    #[must_use]
    pub fn exported_name(&self) -> String {
        if self.is_counter {
            format!("{}_total", self.name)
        } else {
            self.name.to_owned()
        }
    }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric {
        name,
        labels,
        is_counter: false,
        help,
    }
}

/// Open alarms.
pub const ALARMS: Metric = gauge(
    "batchstep_nightly_alarms",
    &["schedule", "kind"],
    "Alarms that are open and not acknowledged",
);
/// When something last ended well.
pub const LAST_NIGHT: Metric = gauge(
    "batchstep_nightly_last_night_timestamp_seconds",
    &["schedule"],
    "When the last night ended that measured something, or before the first the schedule was enabled, Unix time",
);
/// The newest night.
pub const NIGHT_STATE: Metric = gauge(
    "batchstep_nightly_night_state",
    &["schedule", "state"],
    "1 for the state of the newest night, 0 for the others",
);
/// Verdicts of the newest night.
pub const SERIES: Metric = gauge(
    "batchstep_nightly_series",
    &["schedule", "verdict"],
    "Series of the newest judged night by verdict",
);
/// Deliveries.
pub const MESSAGES: Metric = Metric {
    name: "batchstep_messages",
    labels: &["channel", "outcome"],
    is_counter: true,
    help: "Messages by what became of a delivery: sent, failed (it is tried again), given_up",
};
/// What waits.
pub const QUEUED: Metric = gauge(
    "batchstep_messages_queued",
    &["channel"],
    "Messages that wait for their delivery",
);

/// All of them.
pub const METRICS: [Metric; 6] = [ALARMS, LAST_NIGHT, NIGHT_STATE, SERIES, MESSAGES, QUEUED];

/// Values of `outcome`: to be there as 0 from the start, or the first increase is seen by no rate.
pub const OUTCOMES: [&str; 3] = ["sent", "failed", "given_up"];
