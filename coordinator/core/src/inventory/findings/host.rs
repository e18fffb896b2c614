//! Findings about a host and its agents.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_proto::inventory::{NvmlState, catalogue};
use jiff::Timestamp;

use super::VALUES_HOLD;
use super::rules::{
    AGENT_OFFLINE, Finding, NO_INVENTORY, NVML_FAILED, NVML_HUNG, NVML_VERSION_MISMATCH, PROBLEM,
    SHARED_HOSTNAME, SHARED_MACHINE_ID, STALE_SNAPSHOT,
};
use super::words::since;
use crate::inventory::{
    severity::Severity,
    view::{HostView, LIVE_FOR},
};

/// The machine ids of each host name.
pub(super) type Hostnames = BTreeMap<String, Vec<String>>;

/// Which names there are among the hosts that are there, or may come back.
pub(super) fn hostnames(hosts: &[HostView], now: Timestamp) -> Hostnames {
    let mut names = Hostnames::new();
    for view in hosts.iter().filter(|view| !view.is_retired(now)) {
        let machines = names.entry(view.hostname()).or_default();
        machines.push(view.host.machine_id.clone());
    }
    names
}

pub(super) fn findings(
    view: &HostView,
    hostnames: &Hostnames,
    now: Timestamp,
    found: &mut Vec<Finding>,
) {
    let mut add = |finding: Finding| found.push(finding.on(view));
    let name = view.hostname();
    if !view.is_connected() {
        let away = since(now.duration_since(view.last_seen));
        add(Finding::new(
            &AGENT_OFFLINE,
            format!("no agent of {name} is connected; last heard of {away} ago"),
        ));
        if now.duration_since(view.last_seen) > VALUES_HOLD {
            return;
        }
    } else if let Some(read_at) = view.read_at {
        let age = now.duration_since(read_at);
        if age > LIVE_FOR {
            add(Finding::new(
                &STALE_SNAPSHOT,
                format!("the hardware of {name} was last read {} ago", since(age)),
            ));
        }
    }
    let machines = hostnames.get(&name).map_or(&[][..], Vec::as_slice);
    // Told once, of the first.
    if machines.len() > 1 && machines.first() == Some(&view.host.machine_id) {
        add(Finding::new(
            &SHARED_HOSTNAME,
            format!("machines {} are all called {name}", machines.join(" and ")),
        ));
    }
    for (id, agent) in &view.agents {
        if agent.session.is_some() && agent.snapshot.is_none() {
            add(Finding::new(
                &NO_INVENTORY,
                format!("agent {id} on {name} has sent no inventory"),
            ));
        }
    }
    if view.read_at.is_some() {
        nvml(view, &mut add);
    }
    let hostnames: BTreeSet<String> = view
        .agents
        .iter()
        .filter(|(_, agent)| agent.session.is_some())
        .filter_map(|(_, agent)| {
            let snapshot = agent.snapshot.as_ref()?;
            snapshot.document.host.get(catalogue::host::HOSTNAME)
        })
        .collect();
    if hostnames.len() > 1 {
        let names: Vec<String> = hostnames.into_iter().collect();
        add(Finding::new(
            &SHARED_MACHINE_ID,
            format!(
                "hosts {} have the same machine id {}",
                names.join(" and "),
                view.host.machine_id
            ),
        ));
    }
    for problem in &view.problems {
        add(Finding::new(&PROBLEM, format!("{name}: {problem}")));
    }
}

fn nvml(view: &HostView, add: &mut impl FnMut(Finding)) {
    let message = view.nvml.message.clone().unwrap_or_default();
    let rule = match view.nvml.state {
        NvmlState::Running | NvmlState::NoDriver => return,
        NvmlState::Hung => &NVML_HUNG,
        NvmlState::Failed if message.to_lowercase().contains("mismatch") => &NVML_VERSION_MISMATCH,
        NvmlState::Failed => &NVML_FAILED,
    };
    let what = match view.nvml.state {
        NvmlState::Hung => "a call of NVML does not come back",
        _ => "NVML does not work",
    };
    let name = view.hostname();
    let sentence = if message.is_empty() {
        format!("{what} on {name}")
    } else {
        format!("{what} on {name}: {message}")
    };
    let mut finding = Finding::new(rule, sentence);
    if rule.code == NVML_FAILED.code && view.devices.is_empty() {
        // A library without a GPU, as on a login node: nothing is out of work.
        finding.severity = Severity::Warning;
    }
    add(finding);
}
