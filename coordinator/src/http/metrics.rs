//! The fleet's inventory as metrics: one for every number of the catalogue, in base units, and what the coordinator knows beside it. A value that is absent is
//! left out, never 0; live ones are left out once they are old.

use std::collections::BTreeMap;

use batchstep_core::inventory::{
    DeviceView, Finding, HostView, Severity, State, clock_events as events,
};
use batchstep_proto::inventory::{Class, Field, Kind, Record, Scope, Unit, Value, catalogue};
use jiff::Timestamp;

use super::exposition::{Exposition, Labels};

/// How many findings of each severity there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct FindingCounts([usize; Severity::ALL.len()]);

impl FindingCounts {
    pub(super) fn of(findings: &[Finding]) -> Self {
        let count = |severity| {
            let alike = findings.iter().filter(|it| it.severity == severity);
            alike.count()
        };
        Self(Severity::ALL.map(count))
    }
}

/// All metrics of a fleet; hosts that are away for good have none.
pub(super) fn add(
    out: &mut Exposition,
    hosts: &[HostView],
    changes: u64,
    found: FindingCounts,
    now: Timestamp,
) {
    let hosts: Vec<&HostView> = hosts.iter().filter(|view| !view.is_retired(now)).collect();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for view in &hosts {
        *names.entry(view.hostname()).or_default() += 1;
    }
    for view in &hosts {
        let mut labels = label("host", view.hostname());
        if names.get(&view.hostname()).is_some_and(|count| *count > 1) {
            // Else the numbers of one would be told as those of the other.
            labels.push(("machine_id".to_owned(), view.host.machine_id.clone()));
        }
        host(out, view, &labels, now);
        for gpu in &view.devices {
            device(out, view, &labels, gpu, None, now);
            for instance in &gpu.instances {
                device(out, view, &labels, instance, Some(gpu), now);
            }
        }
    }
    for (severity, count) in Severity::ALL.into_iter().zip(found.0) {
        out.gauge(
            "batchstep_inventory_findings",
            "Findings of `batchstep inventory --health`",
            &label("severity", severity.word()),
            count as f64,
        );
    }
    out.counter(
        "batchstep_inventory_changes",
        "Entries of the inventory's history",
        &Labels::new(),
        changes as f64,
    );
}

fn host(out: &mut Exposition, view: &HostView, labels: &Labels, now: Timestamp) {
    let mut info = labels.clone();
    let is_new = |(name, _): &(String, String)| labels.iter().all(|(known, _)| known != name);
    info.extend(texts(&view.facts, Scope::Host).filter(is_new));
    out.gauge(
        "batchstep_host_info",
        "The host's fields that are texts",
        &info,
        1.0,
    );
    for (field, value) in numbers(&view.facts) {
        let metric = Metric::of(field);
        let name = format!("batchstep_host_{}", metric.name);
        out.gauge(&name, field.about, labels, value * metric.factor);
    }
    for (id, agent) in &view.agents {
        let mut labels = labels.clone();
        labels.push(("agent_id".to_owned(), id.to_string()));
        let is_connected = agent.session.is_some();
        out.gauge(
            "batchstep_agent_connected",
            "1 while the agent has a session",
            &labels,
            flag(is_connected),
        );
    }
    if let Some(read_at) = view.read_at {
        let age = now.duration_since(read_at).as_secs_f64().max(0.0);
        out.gauge(
            "batchstep_inventory_snapshot_age_seconds",
            "Time since the host's hardware was last read",
            labels,
            age,
        );
    }
}

fn device(
    out: &mut Exposition,
    host: &HostView,
    of_host: &Labels,
    view: &DeviceView,
    parent: Option<&DeviceView>,
    now: Timestamp,
) {
    if view.is_retired(now) {
        return;
    }
    let mut labels = of_host.clone();
    labels.push(("uuid".to_owned(), view.device.uuid.clone()));
    labels.push(("model".to_owned(), view.model()));
    if view.state != State::Unknown {
        out.gauge(
            "batchstep_gpu_present",
            "1: it is there and answers; 0: it is lost or has vanished; left out while nobody can tell",
            &labels,
            flag(view.state == State::Present),
        );
    }
    if view.state == State::Vanished {
        return;
    }
    let mut info = labels.clone();
    info.extend(texts(&view.gpu.facts, Scope::Gpu));
    if let Some(driver) = host.facts.get(catalogue::host::DRIVER_VERSION) {
        info.push(("driver".to_owned(), driver));
    }
    if let Some(parent) = parent {
        info.push(("parent_uuid".to_owned(), parent.device.uuid.clone()));
    }
    out.gauge(
        "batchstep_gpu_info",
        "The device's fields that are texts",
        &info,
        1.0,
    );
    let is_live = view.is_live(now);
    for (field, value) in numbers(&view.gpu.facts) {
        if field.class == Class::Live && !is_live {
            continue;
        }
        let metric = Metric::of(field);
        let name = metric.name.strip_prefix("gpu_").unwrap_or(&metric.name);
        let name = format!("batchstep_gpu_{name}");
        let mut labels = labels.clone();
        labels.extend(metric.labels);
        if metric.is_counter {
            out.counter(&name, metric.help, &labels, value * metric.factor);
        } else {
            out.gauge(&name, metric.help, &labels, value * metric.factor);
        }
    }
    if is_live {
        clock_events(out, view, &labels);
    }
    // Of a host that is away nobody can tell.
    if view.state == State::Lost || host.is_connected() {
        eligibility(out, view, &labels);
    }
}

fn clock_events(out: &mut Exposition, view: &DeviceView, labels: &Labels) {
    if let Some(bits) = view.gpu.facts.get(catalogue::gpu::CLOCK_EVENT_REASONS) {
        const HELP: &str = "1 while this is a reason why the clocks are not higher";
        const NAME: &str = "batchstep_gpu_clock_event_active";
        let mut unknown = bits;
        for event in events::KNOWN {
            let is_set = bits & event.bit != 0;
            out.gauge(NAME, HELP, &with_reason(labels, event.word), flag(is_set));
            unknown &= !event.bit;
        }
        for bit in (0..u64::BITS).map(|shift| 1_u64 << shift) {
            if unknown & bit != 0 {
                let reason = format!("unknown_{bit:#x}");
                out.gauge(NAME, HELP, &with_reason(labels, &reason), 1.0);
            }
        }
    }
}

fn eligibility(out: &mut Exposition, view: &DeviceView, labels: &Labels) {
    let is_eligible = view.state == State::Present && view.gpu.ineligible.is_empty();
    out.gauge(
        "batchstep_gpu_eligible",
        "1 while a trial may start on it",
        labels,
        flag(is_eligible),
    );
    for reason in &view.gpu.ineligible {
        out.gauge(
            "batchstep_gpu_ineligible_info",
            "A reason why no trial may start on it",
            &with_reason(labels, &reason.code),
            1.0,
        );
    }
}

/// The numbers and flags of a record that are worth a metric; numbers that only name something are not.
fn numbers(record: &Record) -> impl Iterator<Item = (&'static Field, f64)> {
    record.iter().filter_map(|(field, reading)| {
        let is_a_name = field.class == Class::Unstable && field.unit == Unit::Count;
        if is_a_name || field.unit == Unit::Bits {
            return None;
        }
        Some((field, reading.as_ref().ok()?.as_f64()?))
    })
}

/// The texts of a record as labels: without what is a label already, and what changes by itself.
fn texts(record: &Record, scope: Scope) -> impl Iterator<Item = (String, String)> {
    record.iter().filter_map(move |(field, reading)| {
        let is_label = matches!((scope, field.name), (Scope::Host, "hostname"))
            || matches!((scope, field.name), (Scope::Gpu, "uuid" | "name"));
        if field.kind != Kind::Text || field.class == Class::Unstable || is_label {
            return None;
        }
        let Ok(Value::Text(text)) = reading else {
            return None;
        };
        let name = field.name.strip_suffix("_version").unwrap_or(field.name);
        Some((name.to_owned(), text.clone()))
    })
}

/// How a field is told: in base units, counters as such.
struct Metric {
    name: String,
    factor: f64,
    is_counter: bool,
    labels: Labels,
    help: &'static str,
}

impl Metric {
    fn of(field: &'static Field) -> Self {
        const ECC: &str =
            "Memory errors that ECC found, since the driver was loaded or in the life of the board";
        let plain = |name: &str, factor| Self {
            name: name.to_owned(),
            factor,
            is_counter: false,
            labels: Labels::new(),
            help: field.about,
        };
        if let Some(kind) = field.name.strip_prefix("ecc_")
            && field.kind == Kind::Integer
        {
            let (kind, since) = kind
                .strip_suffix("_lifetime")
                .map_or((kind, "driver_load"), |kind| (kind, "lifetime"));
            return Self {
                name: "ecc_errors".to_owned(),
                is_counter: true,
                labels: [("type", kind), ("since", since)]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                help: ECC,
                ..plain("", 1.0)
            };
        }
        match field.unit {
            Unit::Joules => Self {
                is_counter: true,
                ..plain(field.name, 1.0)
            },
            Unit::Megahertz => plain(&with_suffix(field.name, "_mhz", "_hertz"), 1e6),
            Unit::Percent => plain(&with_suffix(field.name, "_percent", "_ratio"), 0.01),
            _ => Self {
                is_counter: field.name == catalogue::gpu::PCIE_REPLAYS.field().name,
                ..plain(field.name, 1.0)
            },
        }
    }
}

fn with_suffix(name: &str, old: &str, new: &str) -> String {
    format!("{}{new}", name.strip_suffix(old).unwrap_or(name))
}

fn label(name: &str, value: impl Into<String>) -> Labels {
    vec![(name.to_owned(), value.into())]
}

fn with_reason(labels: &Labels, reason: &str) -> Labels {
    let mut labels = labels.clone();
    labels.push(("reason".to_owned(), reason.to_owned()));
    labels
}

const fn flag(flag: bool) -> f64 {
    if flag { 1.0 } else { 0.0 }
}
