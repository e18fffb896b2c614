//! Hosts with their GPUs and MIG instances, for people.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::Value as Json;

use super::cells::{self, ABSENT};
use crate::cli::{args::Format, text};

const HEADER: [&str; 11] = [
    "host",
    "GPU",
    "model",
    "memory",
    "used",
    "driver",
    "PCIe",
    "limit",
    "temperature",
    "processes",
    "state",
];

/// Prints them.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(hosts: &[Json], format: Format) -> Result<()> {
    let mut table = cells::table(format);
    table.set_header(HEADER);
    let mut remarks = Vec::new();
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for host in hosts {
        let name = host["hostname"].as_str().unwrap_or_default();
        *names.entry(name).or_default() += 1;
    }
    for host in hosts {
        let mut name = cells::shown(host, "hostname");
        let bare = host["hostname"].as_str().unwrap_or_default();
        if names.get(bare).is_some_and(|count| *count > 1) {
            name = format!("{name} ({})", cells::shown(host, "machine_id"));
        }
        remark(host, &name, &mut remarks);
        let mut first = true;
        for gpu in cells::objects(host, "gpus") {
            for row in rows(host, gpu, &name, &mut remarks) {
                // The name of the host once, as a heading.
                let shown = if first || format == Format::Markdown {
                    name.clone()
                } else {
                    String::new()
                };
                first = false;
                let row = std::iter::once(shown).chain(row);
                table.add_row(row.map(|text| cells::cell(format, text)));
            }
        }
        if first {
            let row = without_gpu(host, name);
            table.add_row(row.map(|text| cells::cell(format, text)));
        }
    }
    let mut out = cells::finished(&table);
    if format == Format::Table && !remarks.is_empty() {
        out.push_str("\n\n");
        out.push_str(&remarks.join("\n"));
    }
    text::print_line(&out)
}

/// A GPU and its instances.
fn rows(host: &Json, gpu: &Json, hostname: &str, remarks: &mut Vec<String>) -> Vec<[String; 10]> {
    let index = cells::scalar(&gpu["index"]).unwrap_or_else(|| ABSENT.to_owned());
    let mut rows = vec![row(host, gpu, index.clone(), cells::shown(gpu, "model"))];
    // A GPU that has vanished has no number.
    let what = match index.as_str() {
        ABSENT => cells::shown(gpu, "uuid"),
        number => format!("GPU {number}"),
    };
    explain(gpu, &format!("{what} on {hostname}"), remarks);
    // Instances come and go by somebody's will: those that are gone are in the JSON and the history.
    let there =
        cells::objects(gpu, "mig_instances").filter(|instance| instance["state"] != "vanished");
    for (position, instance) in there.enumerate() {
        let profile = cells::text(instance, "mig_profile");
        let label = profile.unwrap_or_else(|| cells::shown(instance, "model"));
        let name = format!("  MIG {label}");
        rows.push(row(host, instance, format!("  {index}:{position}"), name));
        let what = format!("MIG instance {index}:{position} on {hostname}");
        explain(instance, &what, remarks);
    }
    rows
}

fn row(host: &Json, gpu: &Json, index: String, model: String) -> [String; 10] {
    let is_fresh = gpu["live_values_are_fresh"] == true && gpu["state"] == "present";
    let live = |shown: Option<String>| {
        shown
            .filter(|_| is_fresh)
            .unwrap_or_else(|| ABSENT.to_owned())
    };
    let watts = |key: &str| gpu[key].as_f64().map(|watts| format!("{watts:.0} W"));
    let generation = cells::scalar(&gpu["pcie_generation_max"]);
    let pcie = match (generation, cells::scalar(&gpu["pcie_width"])) {
        (Some(generation), Some(width)) => format!("{generation} x{width}"),
        (None, Some(width)) => format!("x{width}"),
        _ => ABSENT.to_owned(),
    };
    let processes = gpu["processes"].as_array().map(Vec::len);
    let temperature = gpu["temperature_celsius"].as_f64();
    [
        index,
        model,
        cells::bytes(gpu, "memory_total_bytes").unwrap_or_else(|| ABSENT.to_owned()),
        live(cells::bytes(gpu, "memory_used_bytes")),
        cells::shown(&host["host"], "driver_version"),
        pcie,
        // Laptops tell only the limit in force.
        watts("power_limit_watts")
            .or_else(|| watts("power_limit_enforced_watts"))
            .unwrap_or_else(|| ABSENT.to_owned()),
        live(temperature.map(|celsius| format!("{celsius:.0} degC"))),
        live(processes.map(|count| count.to_string())),
        state(host, gpu),
    ]
}

/// In a word: whether it is there, and whether trials may start on it.
fn state(host: &Json, gpu: &Json) -> String {
    let state = cells::shown(gpu, "state");
    let codes: Vec<String> = cells::objects(gpu, "ineligible")
        .filter_map(|reason| cells::text(reason, "code"))
        .collect();
    match state.as_str() {
        "present" if codes.is_empty() => "ready".to_owned(),
        "present" => codes.join(", "),
        "unknown" if host["connected"] == true => "unknown".to_owned(),
        "unknown" => "offline".to_owned(),
        other => other.to_owned(),
    }
}

fn without_gpu(host: &Json, name: String) -> [String; 11] {
    let facts = &host["host"];
    let cpu = cells::shown(facts, "cpu_model");
    let state = match (&host["connected"], &host["has_inventory"]) {
        (Json::Bool(true), Json::Bool(false)) => "no inventory".to_owned(),
        (Json::Bool(true), _) => match cells::text(&host["nvml"], "state").as_deref() {
            Some("no_driver") => "no NVIDIA driver".to_owned(),
            Some("running") | None => "no GPU".to_owned(),
            Some(other) => format!("NVML {other}"),
        },
        _ => "offline".to_owned(),
    };
    let ram = cells::bytes(facts, "memory_bytes").unwrap_or_else(|| ABSENT.to_owned());
    let absent = || ABSENT.to_owned();
    [
        name,
        "none".to_owned(),
        cpu,
        ram,
        absent(),
        cells::shown(facts, "driver_version"),
        absent(),
        absent(),
        absent(),
        absent(),
        state,
    ]
}

/// What there is to say about a host.
fn remark(host: &Json, name: &str, remarks: &mut Vec<String>) {
    let age = host["snapshot_age_seconds"].as_f64();
    if host["connected"] != true {
        let last = cells::shown(host, "last_seen");
        let last = crate::cli::sweep_view::when(&last);
        remarks.push(format!(
            "{name}: no agent is connected; last heard of {last}"
        ));
    } else if host["has_inventory"] == false {
        let version = cells::shown(&host["host"], "agent_version");
        remarks.push(format!(
            "{name}: its agent (version {version}) has sent no inventory; update it"
        ));
    } else if let Some(age) = age.filter(|age| *age >= 120.0) {
        remarks.push(format!("{name}: its hardware was read {}", cells::ago(age)));
    }
    if let Some(message) = host["nvml"]["message"].as_str()
        && host["has_inventory"] == true
        && host["nvml"]["state"] != "no_driver"
    {
        remarks.push(format!("{name}: {}", cells::sentence(message)));
    }
    for problem in cells::list(&host["problems"]) {
        remarks.push(format!("{name}: {problem}"));
    }
}

/// What there is to say about a device.
fn explain(gpu: &Json, what: &str, remarks: &mut Vec<String>) {
    for reason in cells::objects(gpu, "ineligible") {
        let message = reason["message"].as_str().unwrap_or_default();
        remarks.push(format!("{what}: {}", cells::sentence(message)));
    }
    for problem in cells::list(&gpu["problems"]) {
        remarks.push(format!("{what}: {problem}"));
    }
    let others = cells::list(&gpu["also_on"]);
    if !others.is_empty() {
        let uuid = cells::shown(gpu, "uuid");
        remarks.push(format!(
            "{what}: {uuid} is also reported by {}",
            others.join(", ")
        ));
    }
    if let Some(state @ ("lost" | "vanished")) = gpu["state"].as_str() {
        let last = crate::cli::sweep_view::when(&cells::shown(gpu, "last_seen"));
        let slot = cells::text(gpu, "pci_bus_id")
            .map_or_else(String::new, |slot| format!(", slot {slot}"));
        let uuid = cells::shown(gpu, "uuid");
        remarks.push(format!("{what}: {state}; {uuid}{slot}, last seen {last}"));
    }
}
