//! The coordinator itself as metrics: its build, its process, the fleet in numbers, and what its task counts. Process metrics have the names that all Prometheus
//! clients give them.

use std::{fs, time::SystemTime};

use batchstep_core::fleet::Census;
use batchstep_proto::{version, wire::AgentState};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

use super::exposition::{Exposition, Labels};
use crate::{health::Health, meters::Meters, store::StoreSize};

/// Every state that an agent can be in: one without agents is told as 0, so that graphs have no holes.
const STATES: [AgentState; 6] = [
    AgentState::Online,
    AgentState::Draining,
    AgentState::Drained,
    AgentState::Unreachable,
    AgentState::Lost,
    AgentState::Cordoned,
];

pub(super) fn add(out: &mut Exposition, health: &Health, meters: &Meters, size: Option<StoreSize>) {
    meters.register(out.registry());
    let build = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("protocol", version::PROTOCOL.to_string()),
    ];
    out.gauge(
        "batchstep_build_info",
        "The coordinator's build",
        &build.map(|(name, value)| (name.to_owned(), value)).into(),
        1.0,
    );
    let verdict = health.verdict();
    out.gauge(
        "batchstep_healthy",
        "1 while /healthz answers 200",
        &Labels::new(),
        f64::from(u8::from(verdict.is_ok())),
    );
    // Without an answer of the task there is nothing to tell: absent is never 0.
    if let Ok(census) = &verdict {
        fleet(out, census);
    }
    if let Some(size) = size {
        database(out, size);
    }
    process(out, health);
}

fn database(out: &mut Exposition, size: StoreSize) {
    out.gauge(
        "batchstep_database_bytes",
        "Size of the database's files",
        &Labels::new(),
        size.bytes as f64,
    );
    out.gauge(
        "batchstep_database_free_bytes",
        "Of these, room that is used before the files grow",
        &Labels::new(),
        size.free_bytes as f64,
    );
}

fn fleet(out: &mut Exposition, census: &Census) {
    for state in STATES {
        let count = census.agents.get(&state).copied().unwrap_or(0);
        out.gauge(
            "batchstep_agents",
            "Agents by state, of those that have said hello since the coordinator started",
            &vec![("state".to_owned(), state.word().to_owned())],
            count as f64,
        );
    }
    out.gauge(
        "batchstep_sessions",
        "Open streams of agents",
        &Labels::new(),
        census.sessions as f64,
    );
    out.gauge(
        "batchstep_sweeps_active",
        "Sweeps that are not over",
        &Labels::new(),
        census.active_sweeps as f64,
    );
    out.gauge(
        "batchstep_attempts_open",
        "Rounds that an agent has now",
        &Labels::new(),
        census.open_attempts as f64,
    );
    out.gauge(
        "batchstep_series_unread",
        "Series whose rounds before the start are still to be read back; nothing new is planned for them",
        &Labels::new(),
        census.unread_series as f64,
    );
}

fn process(out: &mut Exposition, health: &Health) {
    let none = Labels::new();
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
        out.counter(
            "process_cpu_seconds",
            "Processor time used, in user and system mode",
            &none,
            microseconds as f64 * 1e-6,
        );
    }
    if let Some(bytes) = resident_bytes() {
        out.gauge(
            "process_resident_memory_bytes",
            "Memory in use",
            &none,
            bytes,
        );
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // Less the one that reads the folder.
        let open = files.count().saturating_sub(1);
        out.gauge(
            "process_open_fds",
            "Open files and sockets",
            &none,
            open as f64,
        );
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    out.gauge(
        "process_start_time_seconds",
        "When the process started, seconds since 1970",
        &none,
        now.saturating_sub(health.uptime()).as_secs_f64(),
    );
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kibibytes * 1024) as f64)
}
