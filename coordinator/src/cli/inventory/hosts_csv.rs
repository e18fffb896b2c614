//! Hosts and devices for spreadsheets: one row for each GPU and MIG instance, or for a host that has none, with every field of the catalogue.

use anyhow::Result;
use batchstep_proto::inventory::{Scope, catalogue};
use serde_json::Value as Json;

use super::cells::{self, csv_value as value};
use crate::cli::text;

/// What the coordinator knows beside the fields, named as in the JSON; `ineligible` and `agents` are words separated by spaces.
const KNOWN: [&str; 11] = [
    "connected",
    "state",
    "parent_uuid",
    "ineligible",
    "first_seen",
    "last_seen",
    "snapshot_age_seconds",
    "live_values_are_fresh",
    "also_on",
    "agents",
    "nvml_state",
];

/// Prints them.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(hosts: &[Json]) -> Result<()> {
    let host_fields = catalogue::fields(Scope::Host).iter();
    let gpu_fields = catalogue::fields(Scope::Gpu).iter();
    let header: Vec<String> = KNOWN
        .iter()
        .map(|name| (*name).to_owned())
        .chain(host_fields.map(|field| format!("host_{}", field.name)))
        .chain(gpu_fields.map(|field| field.name.to_owned()))
        .chain(["absent".to_owned()])
        .collect();
    let mut rows = Vec::new();
    for host in hosts {
        let mut is_bare = true;
        for gpu in cells::objects(host, "gpus") {
            is_bare = false;
            for device in std::iter::once(gpu).chain(cells::objects(gpu, "mig_instances")) {
                if device["is_wanted"] != false {
                    rows.push(row(host, device));
                }
            }
        }
        if is_bare {
            rows.push(row(host, &Json::Null));
        }
    }
    text::print(&cells::csv(&header, rows)?)
}

fn row(host: &Json, device: &Json) -> Vec<String> {
    let of_device_or_host = |key: &str| match &device[key] {
        Json::Null => value(&host[key]),
        found => value(found),
    };
    let codes: Vec<&str> = cells::objects(device, "ineligible")
        .filter_map(|reason| reason["code"].as_str())
        .collect();
    let agents: Vec<String> = cells::objects(host, "agents")
        .filter_map(|agent| cells::text(agent, "agent_id"))
        .collect();
    let known = KNOWN.iter().map(|key| match *key {
        "connected" => value(&host["connected"]),
        "ineligible" => cells::csv_text(&codes.join(" ")),
        "also_on" => cells::csv_list(&device["also_on"]),
        "agents" => agents.join(" "),
        "nvml_state" => value(&host["nvml"]["state"]),
        "first_seen" | "last_seen" | "snapshot_age_seconds" => of_device_or_host(key),
        key => value(&device[key]),
    });
    let facts = &host["host"];
    let host_fields = catalogue::fields(Scope::Host).iter();
    let gpu_fields = catalogue::fields(Scope::Gpu).iter();
    known
        .chain(host_fields.map(|field| value(&facts[field.name])))
        .chain(gpu_fields.map(|field| value(&device[field.name])))
        .chain([absent(facts, device)])
        .collect()
}

/// Why fields are absent: `field=reason;..`.
fn absent(host: &Json, device: &Json) -> String {
    let reasons = |record: &Json, prefix: &str| -> Vec<String> {
        let object = record["absent"].as_object().into_iter().flatten();
        object
            .map(|(field, reason)| format!("{prefix}{field}={}", value(reason)))
            .collect()
    };
    let mut all = reasons(host, "host_");
    all.extend(reasons(device, ""));
    all.join(";")
}
