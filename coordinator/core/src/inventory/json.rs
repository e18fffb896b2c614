//! The views as published JSON: what `batchstep inventory --format json` and the services hand out. Fields are added, never renamed.

use batchstep_proto::inventory::{Value, catalogue};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json, json};

use super::{
    change::{Change, Told},
    findings::Finding,
    model::Model,
    skew,
    view::{DeviceView, HostView},
};

impl HostView {
    /// One host with its devices.
    #[must_use]
    pub fn to_json(&self, now: Timestamp) -> Json {
        let age = |read_at: Option<Timestamp>| read_at.map(|at| seconds(now.duration_since(at)));
        let agents: Vec<Json> = self
            .agents
            .iter()
            .map(|(id, agent)| {
                let read_at = agent
                    .snapshot
                    .as_ref()
                    .map(super::rows::Snapshot::last_read);
                json!({
                    "agent_id": id.to_string(),
                    "connected": agent.session.is_some(),
                    "has_inventory": agent.snapshot.is_some(),
                    "snapshot_age_seconds": age(read_at),
                })
            })
            .collect();
        let gpus: Vec<Json> = self.devices.iter().map(|gpu| gpu.to_json(now)).collect();
        json!({
            "machine_id": self.host.machine_id,
            "hostname": self.hostname(),
            "connected": self.is_connected(),
            "has_inventory": self.read_at.is_some(),
            "retired": self.is_retired(now),
            "first_seen": self.host.first_seen.to_string(),
            "last_seen": self.last_seen.to_string(),
            "snapshot_age_seconds": age(self.read_at),
            "agents": agents,
            "host": self.facts.to_json(),
            "nvml": self.nvml,
            "problems": self.problems,
            "gpus": gpus,
        })
    }
}

impl DeviceView {
    fn to_json(&self, now: Timestamp) -> Json {
        let mut object: Map<String, Json> = self.gpu.to_json();
        let instances: Vec<Json> = self.instances.iter().map(|it| it.to_json(now)).collect();
        let previous: Vec<Json> = self
            .device
            .stays
            .iter()
            .filter(|stay| stay.until.is_some())
            .map(|stay| {
                json!({
                    "machine_id": stay.machine_id,
                    "hostname": stay.hostname,
                    "since": stay.since.to_string(),
                    "until": stay.until.map(|until| until.to_string()),
                })
            })
            .collect();
        let age = self.read_at.map(|at| seconds(now.duration_since(at)));
        for (key, value) in [
            ("mig_instances", instances.into()),
            ("model", self.model().into()),
            ("parent_uuid", self.device.parent.clone().into()),
            ("state", self.state.word().into()),
            ("retired", self.is_retired(now).into()),
            ("first_seen", self.device.first_seen.to_string().into()),
            ("last_seen", self.last_seen.to_string().into()),
            ("snapshot_age_seconds", age.into()),
            ("live_values_are_fresh", self.is_live(now).into()),
            ("previous_hosts", previous.into()),
            ("also_on", self.also_on.clone().into()),
            ("is_wanted", self.is_wanted.into()),
        ] {
            object.insert(key.to_owned(), value);
        }
        object.into()
    }
}

/// One entry of the history.
#[must_use]
pub fn change_json(seq: u64, at: Timestamp, change: &Change) -> Json {
    let side = |told: &Option<Told>| match told {
        None => (Json::Null, Json::Null),
        Some(Told::Value(value)) => (value_json(value), Json::Null),
        Some(Told::Absent(reason)) => (Json::Null, reason.word().into()),
    };
    let (before, before_absent) = side(&change.before);
    let (after, after_absent) = side(&change.after);
    let previous = change.previous_host.as_ref();
    json!({
        "seq": seq,
        "at": at.to_string(),
        "kind": change.kind.word(),
        "machine_id": change.machine_id,
        "hostname": change.hostname,
        "uuid": change.uuid,
        "model": change.model,
        "field": change.field,
        "before": before,
        "before_absent": before_absent,
        "after": after,
        "after_absent": after_absent,
        "previous_machine_id": previous.map(|(machine_id, _)| machine_id),
        "previous_hostname": previous.map(|(_, hostname)| hostname),
    })
}

/// One finding.
#[must_use]
pub fn finding_json(finding: &Finding) -> Json {
    json!({
        "code": finding.code,
        "severity": finding.severity.word(),
        "machine_id": finding.machine_id,
        "hostname": finding.hostname,
        "uuid": finding.uuid,
        "model": finding.model,
        "message": finding.message,
        "action": finding.action,
    })
}

/// One model with its devices and their differences.
#[must_use]
pub fn model_json(model: &Model) -> Json {
    let counts = |field| {
        let values = model.values(field);
        let object: Map<String, Json> = values
            .into_iter()
            .map(|(value, count)| (value, count.into()))
            .collect();
        Json::Object(object)
    };
    let devices: Vec<Json> = model
        .members
        .iter()
        .map(|member| {
            json!({
                "uuid": member.uuid,
                "machine_id": member.machine_id,
                "hostname": member.hostname,
                "state": member.state.word(),
            })
        })
        .collect();
    let skew: Vec<Json> = skew::of(model)
        .iter()
        .map(|skew| {
            let values: Vec<Json> = skew
                .values
                .iter()
                .map(|(value, members)| {
                    let uuids: Vec<&str> = members.iter().map(|odd| odd.uuid.as_str()).collect();
                    json!({"value": value, "count": members.len(), "uuids": uuids})
                })
                .collect();
            json!({
                "field": skew.field.name,
                "severity": skew.severity.word(),
                "values": values,
                "message": skew.sentence(&model.label()),
            })
        })
        .collect();
    json!({
        "name": model.name,
        "mig_profile": model.mig_profile,
        "memory_total_bytes": model.memory_total_bytes,
        "pci_device_id": model.pci_device_id,
        "compute_capability": model.compute_capability,
        "sm_count": model.sm_count,
        "count": model.members.len(),
        "hostnames": model.hostnames(),
        "driver_versions": counts(catalogue::host::DRIVER_VERSION.field()),
        "vbios_versions": counts(catalogue::gpu::VBIOS_VERSION.field()),
        "devices": devices,
        "skew": skew,
    })
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Number(number) => (*number).into(),
        Value::Flag(flag) => (*flag).into(),
    }
}

/// To the millisecond; never negative.
fn seconds(age: SignedDuration) -> f64 {
    (age.as_secs_f64().max(0.0) * 1000.0).round() / 1000.0
}
