//! What somebody should look at, by the newest values: each finding with a stable code, how bad it is, where, what is wrong and what to do.
//!
//! `rules` says which findings there are; `device` and `host` say when. Nothing is remembered: what is mended is gone.

mod device;
mod host;
mod rules;
mod words;

use jiff::{SignedDuration, Timestamp};

pub use rules::{Finding, RULES, Rule};

use super::{
    model::{homes, models},
    view::HostView,
};

/// How long the values of a host that is away say something about its devices.
const VALUES_HOLD: SignedDuration = SignedDuration::from_hours(24);

/// Everything to look at among the hosts that were asked for: the worst first, then by host and device.
#[must_use]
pub fn findings(hosts: &[HostView], now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    let (homes, hostnames) = (homes(hosts), host::hostnames(hosts, now));
    let mut heard: Vec<HostView> = Vec::new();
    for view in hosts.iter().filter(|view| !view.is_retired(now)) {
        host::findings(view, &hostnames, now, &mut found);
        if !view.is_connected() && now.duration_since(view.last_seen) > VALUES_HOLD {
            continue;
        }
        heard.push(view.clone());
        let is_home = |uuid: &str| homes.get(uuid) == Some(&view.host.machine_id.as_str());
        for gpu in &view.devices {
            let at_home = is_home(&gpu.device.uuid);
            device::findings(view, gpu, None, at_home, now, &mut found);
            for instance in &gpu.instances {
                let at_home = is_home(&instance.device.uuid);
                device::findings(view, instance, Some(gpu), at_home, now, &mut found);
            }
        }
    }
    for model in models(&heard) {
        device::of_model(&model, &mut found);
    }
    found.sort_by(|a, b| {
        (a.severity, &a.hostname, &a.uuid, a.code).cmp(&(b.severity, &b.hostname, &b.uuid, b.code))
    });
    found
}
