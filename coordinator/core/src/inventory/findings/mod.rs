//! What somebody should look at, by the newest values: each finding with a stable code, how bad it is, where, what is wrong and what to do.
//!
//! `rules` says which findings there are; `device` and `host` say when. Nothing is remembered: what is mended is gone.

mod device;
mod host;
mod rules;
mod words;

use jiff::Timestamp;

pub use rules::{Finding, RULES, Rule};

use super::{model::models, view::HostView};

/// Everything to look at among the hosts that were asked for: the worst first, then by host and device.
#[must_use]
pub fn findings(hosts: &[HostView], now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    for view in hosts {
        host::findings(view, now, &mut found);
        for gpu in &view.devices {
            device::findings(view, gpu, now, &mut found);
            for instance in &gpu.instances {
                device::findings(view, instance, now, &mut found);
            }
        }
    }
    for model in models(hosts) {
        device::of_model(&model, &mut found);
    }
    found.sort_by(|a, b| {
        (a.severity, &a.hostname, &a.uuid, a.code).cmp(&(b.severity, &b.hostname, &b.uuid, b.code))
    });
    found
}
