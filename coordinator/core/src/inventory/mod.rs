//! What the hosts of a lab and their GPUs are, were, and should be looked at for.
//!
//! [`Fleet`] keeps the newest document of every agent and what is known of each host and device. [`Fleet::observe`] compares a new document with it and
//! answers with an [`Observation`]: what became different, as rows and [`Change`]s for the store; the caller commits it and then hands it to
//! [`Fleet::apply`], so that the state never runs ahead of its store. [`Fleet::hosts`] is what people see, and what filters, findings, models and metrics are
//! computed from. Everything is driven by the catalogue of fields. No I/O and no clock: times come in.

mod census;
mod change;
pub mod clock_events;
mod filter;
mod findings;
mod fleet;
mod incoming;
mod json;
mod model;
mod observe;
mod rows;
mod severity;
mod skew;
#[cfg(test)]
mod tests;
mod version;
mod view;

pub use change::{Change, ChangeKind, Told, UnknownKind};
pub use filter::{Filter, FilterError};
pub use findings::{Finding, RULES, Rule, findings};
pub use fleet::Fleet;
pub use incoming::{Refused, agent_of_machine, document_from, machine_id, sample_from};
pub use json::{change_json, finding_json, model_json};

pub use model::{Member, Model, models};
pub use rows::{
    Agent, Device, Greeting, Host, Observation, Presence, Report, Sample, Seen, Snapshot, Stay,
};
pub use severity::Severity;
pub use skew::{Odd, Skew, of as skew};
pub use version::compare as compare_versions;
pub use view::{DeviceView, HostView, LIVE_FOR, State, Wanted};
