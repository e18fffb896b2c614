//! The models of the lab: how many, where, with which software, and in what their devices differ.

use anyhow::Result;
use serde_json::Value as Json;

use super::cells::{self, ABSENT};
use crate::cli::{args::Format, text};

/// Hosts in a cell.
const HOSTS_SHOWN: usize = 6;

/// Prints them.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn print(models: &[Json], format: Format) -> Result<()> {
    if format == Format::Csv {
        return csv(models);
    }
    let mut table = cells::table(format);
    table.set_header([
        "model",
        "count",
        "hosts",
        "memory",
        "capability",
        "SMs",
        "driver",
        "VBIOS",
    ]);
    for model in models {
        let hosts = cells::list(&model["hostnames"]);
        let row = [
            label(model),
            count(model),
            text::list(&hosts, HOSTS_SHOWN),
            cells::bytes(model, "memory_total_bytes").unwrap_or_else(|| ABSENT.to_owned()),
            cells::shown(model, "compute_capability"),
            cells::scalar(&model["sm_count"]).unwrap_or_else(|| ABSENT.to_owned()),
            counts(&model["driver_versions"]),
            counts(&model["vbios_versions"]),
        ];
        table.add_row(row.map(|text| cells::cell(format, text)));
    }
    let mut out = cells::finished(&table);
    let differ = models
        .iter()
        .any(|model| model["skew"] != Json::Array(Vec::new()));
    if differ {
        out.push('\n');
    }
    for skew in models
        .iter()
        .flat_map(|model| cells::objects(model, "skew"))
    {
        let mark = if skew["severity"] == "warning" {
            "warning: "
        } else {
            ""
        };
        let message = skew["message"].as_str().unwrap_or_default();
        let message = cells::sentence(message);
        out.push_str(&format!("\n{mark}{message}"));
    }
    text::print_line(&out)
}

fn label(model: &Json) -> String {
    let name = cells::shown(model, "name");
    match cells::text(model, "mig_profile") {
        Some(profile) if !name.contains(&profile) => format!("{name} MIG {profile}"),
        _ => name,
    }
}

fn count(model: &Json) -> String {
    cells::scalar(&model["count"]).unwrap_or_else(|| ABSENT.to_owned())
}

/// "580.95.05 (5), 570.86.10 (3)"; the value alone where there is only one.
fn counts(values: &Json) -> String {
    let object = values.as_object();
    let mut entries: Vec<(u64, String)> = object
        .into_iter()
        .flatten()
        .map(|(value, count)| (count.as_u64().unwrap_or(0), cells::plain(value)))
        .collect();
    entries.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| b.1.cmp(&a.1)));
    match entries.as_slice() {
        [] => ABSENT.to_owned(),
        [(_, value)] => value.clone(),
        several => several
            .iter()
            .map(|(count, value)| format!("{value} ({count})"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// One row for each model; lists are separated by spaces, differences by semicolons.
fn csv(models: &[Json]) -> Result<()> {
    const HEADER: [&str; 11] = [
        "name",
        "mig_profile",
        "count",
        "memory_total_bytes",
        "compute_capability",
        "sm_count",
        "pci_device_id",
        "hostnames",
        "driver_versions",
        "vbios_versions",
        "skew",
    ];
    let rows = models.iter().map(|model| {
        let keys = |key: &str| {
            let object = model[key].as_object().into_iter().flatten();
            let keys: Vec<&str> = object.map(|(value, _)| value.as_str()).collect();
            cells::csv_text(&keys.join(" "))
        };
        HEADER
            .iter()
            .map(|key| match *key {
                "hostnames" => cells::csv_list(&model["hostnames"]),
                "driver_versions" | "vbios_versions" => keys(key),
                "skew" => cells::objects(model, "skew")
                    .filter_map(|skew| cells::text(skew, "field"))
                    .collect::<Vec<_>>()
                    .join(";"),
                key => cells::csv_value(&model[key]),
            })
            .collect()
    });
    text::print(&cells::csv(&HEADER.map(ToOwned::to_owned), rows)?)
}
