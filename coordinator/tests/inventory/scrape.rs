//! `/metrics` as monitoring meets it: a plain HTTP request, and the text read by the rules of its format.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_coordinator::store::Memory;
use batchstep_proto::{
    domain::Ineligibility,
    inventory::{
        Absent,
        catalogue::{self, gpu},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::support::{
    Coordinator,
    lab::{connect, h200, machine, report, send},
    soon,
};

/// One GET over HTTP/1.1; head and body.
async fn get(coordinator: &Coordinator, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(coordinator.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("an answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), unchunked(head, body))
}

fn unchunked(head: &str, body: &str) -> String {
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut rest, mut out) = (body, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        out.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    out
}

#[derive(Debug)]
struct Line {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads the text, and refuses what breaks a rule of the format.
fn parse(text: &str) -> (Vec<Line>, BTreeMap<String, String>) {
    let mut lines = Vec::new();
    let mut kinds = BTreeMap::new();
    let mut helped = BTreeSet::new();
    assert!(text.ends_with("# EOF\n"));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let twice = kinds.insert(name.to_owned(), kind.to_owned());
            assert_eq!(twice, None, "{name} is declared twice");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped.insert(rest.split_once(' ').unwrap().0.to_owned());
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut rest = labels.strip_suffix('}').unwrap();
        let mut read = BTreeMap::new();
        while !rest.is_empty() {
            let (label, after) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().unwrap().1 {
                        'n' => value.push('\n'),
                        other => value.push(other),
                    },
                    (_, other) => value.push(other),
                }
            };
            assert_eq!(read.insert(label.to_owned(), value), None, "{line}");
            rest = after[end + 1..].trim_start_matches(',');
        }
        lines.push(Line {
            name: name.to_owned(),
            labels: read,
            value: value.parse().unwrap(),
        });
    }
    assert_eq!(helped, kinds.keys().cloned().collect());
    (lines, kinds)
}

fn value(lines: &[Line], name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
    let found: Vec<&Line> = lines
        .iter()
        .filter(|line| line.name == name)
        .filter(|line| {
            let mut wanted = wanted.iter();
            wanted.all(|(label, value)| line.labels.get(*label).is_some_and(|it| it == value))
        })
        .collect();
    assert!(found.len() < 2, "{name} {wanted:?}: {found:?}");
    found.first().map(|line| line.value)
}

#[tokio::test]
async fn the_whole_fleet_is_scraped_in_base_units() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let _agent = connect(&coordinator, 1, "node1").await;
    let mut document = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    document.gpus[1]
        .facts
        .set(gpu::NAME, Ok("odd \"name\"\\\n\u{1b}[31m".to_owned()));
    document.gpus[1]
        .facts
        .set(gpu::POWER_DRAW_WATTS, Err(Absent::NotSupported));
    document.gpus[1].ineligible = vec![Ineligibility {
        code: "foreign_process".to_owned(),
        message: "python3 computes on it".to_owned(),
    }];
    send(&coordinator, report(1, &document)).await.unwrap();
    // Read an hour ago, and nobody is there any more.
    let old = batchstep_proto::wire::ReportInventoryRequest {
        age_ns: 3_600_000_000_000,
        ..report(2, &machine("node2", vec![h200("GPU-c")]))
    };
    send(&coordinator, old).await.unwrap();

    let (head, text) = get(&coordinator, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("application/openmetrics-text"), "{head}");
    let (lines, kinds) = parse(&text);
    let of = |name: &str, uuid: &str| value(&lines, name, &[("uuid", uuid)]);
    let a = [
        ("uuid", "GPU-a"),
        ("host", "node1"),
        ("model", "NVIDIA H200"),
    ];
    let info = [
        a[0],
        a[1],
        a[2],
        ("driver", "580.95.05"),
        ("vbios", "96.00.AF.00.01"),
        ("pci_bus_id", "00000000:18:00.0"),
        ("compute_capability", "9.0"),
    ];
    for (name, labels, expected) in [
        ("batchstep_gpu_info", &info[..], 1.0),
        ("batchstep_gpu_memory_total_bytes", &a, 150_754_820_096.0),
        ("batchstep_gpu_memory_used_bytes", &a, 1_073_741_824.0),
        ("batchstep_gpu_power_draw_watts", &a, 75.5),
        ("batchstep_gpu_power_limit_watts", &a, 700.0),
        ("batchstep_gpu_energy_joules_total", &a, 1234.5),
        ("batchstep_gpu_temperature_celsius", &a, 35.0),
        ("batchstep_gpu_sm_clock_hertz", &a, 1.98e9),
        ("batchstep_gpu_utilization_ratio", &a, 0.5),
        ("batchstep_gpu_pcie_width", &a, 16.0),
        ("batchstep_gpu_ecc_enabled", &a, 1.0),
        ("batchstep_gpu_present", &a, 1.0),
        ("batchstep_gpu_eligible", &a, 1.0),
        ("batchstep_agent_connected", &a[1..2], 1.0),
        ("batchstep_inventory_changes_total", &[], 5.0),
        (
            "batchstep_inventory_findings",
            &[("severity", "critical")],
            0.0,
        ),
    ] {
        assert_eq!(
            value(&lines, name, labels),
            Some(expected),
            "{name}\n{text}"
        );
    }
    let ecc = |kind, since| {
        let labels = [a[0], ("type", kind), ("since", since)];
        value(&lines, "batchstep_gpu_ecc_errors_total", &labels)
    };
    assert_eq!(ecc("uncorrected", "driver_load"), Some(0.0));
    assert_eq!(ecc("corrected", "lifetime"), Some(7.0));
    assert_eq!(ecc("corrected", "driver_load"), None, "absent is not 0");
    let reason = |reason| {
        let labels = [a[0], ("reason", reason)];
        value(&lines, "batchstep_gpu_clock_event_active", &labels)
    };
    assert_eq!(reason("software_power_cap"), Some(1.0));
    assert_eq!(reason("hardware_slowdown"), Some(0.0));
    assert_eq!(reason("unknown_0x200"), Some(1.0));

    assert_eq!(of("batchstep_gpu_power_draw_watts", "GPU-b"), None);
    assert_eq!(of("batchstep_gpu_eligible", "GPU-b"), Some(0.0));
    let why = [("uuid", "GPU-b"), ("reason", "foreign_process")];
    assert_eq!(
        value(&lines, "batchstep_gpu_ineligible_info", &why),
        Some(1.0)
    );

    // Of a host that is away what lasts is told, and nothing of the moment.
    assert_eq!(of("batchstep_gpu_power_limit_watts", "GPU-c"), Some(700.0));
    assert_eq!(of("batchstep_gpu_temperature_celsius", "GPU-c"), None);
    assert_eq!(of("batchstep_gpu_present", "GPU-c"), None);
    let host = [("host", "node2")];
    let age = value(&lines, "batchstep_inventory_snapshot_age_seconds", &host).unwrap();
    assert!((3600.0..3700.0).contains(&age), "{age}");

    for (name, kind) in &kinds {
        let is_ours = name.starts_with("batchstep_");
        assert!(is_ours || name.starts_with("process_"), "{name}");
        for unit in ["_mhz", "_percent", "_ms", "_mib", "_total"] {
            assert!(!name.ends_with(unit), "{name} is in no base unit");
        }
        let samples = lines.iter().filter(|line| match kind.as_str() {
            "counter" => line.name == format!("{name}_total"),
            "histogram" => line.name == format!("{name}_count"),
            _ => line.name == *name,
        });
        assert!(samples.count() > 0, "{name} has no sample");
    }
    assert_eq!(kinds["batchstep_gpu_energy_joules"], "counter");
    coordinator.stop().await;
}

#[tokio::test]
async fn machines_of_one_name_are_told_apart_and_a_lost_gpu_is_not_eligible() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let _agent = connect(&coordinator, 1, "node1").await;
    let mut first = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    send(&coordinator, report(1, &first)).await.unwrap();
    first.gpus[1]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    send(&coordinator, report(1, &first)).await.unwrap();
    let mut second = machine("node1", vec![h200("GPU-c")]);
    second
        .host
        .set(catalogue::host::MACHINE_ID, Ok("m-other".to_owned()));
    second.host.set(catalogue::host::MEMORY_BYTES, Ok(1 << 30));
    send(&coordinator, report(2, &second)).await.unwrap();
    let (_, text) = get(&coordinator, "/metrics").await;
    let (lines, _) = parse(&text);
    for (machine_id, bytes) in [("m-node1", 64.0), ("m-other", 1.0)] {
        let labels = [("host", "node1"), ("machine_id", machine_id)];
        assert_eq!(
            value(&lines, "batchstep_host_memory_bytes", &labels),
            Some(bytes * f64::from(1 << 30)),
            "{text}"
        );
        assert_eq!(value(&lines, "batchstep_host_info", &labels), Some(1.0));
    }
    let of = |name: &str, uuid: &str| value(&lines, name, &[("uuid", uuid)]);
    assert_eq!(of("batchstep_gpu_eligible", "GPU-a"), Some(1.0));
    assert_eq!(of("batchstep_gpu_eligible", "GPU-b"), Some(0.0), "lost");
    assert_eq!(of("batchstep_gpu_eligible", "GPU-c"), None, "away");
    let info = [("uuid", "GPU-b"), ("pci_bus_id", "00000000:18:00.0")];
    assert_eq!(value(&lines, "batchstep_gpu_info", &info), Some(1.0));
    coordinator.stop().await;
}

#[tokio::test]
async fn other_paths_and_calls_go_on_as_before() {
    let coordinator = Coordinator::start(Memory::new()).await;
    let (_, text) = get(&coordinator, "/metrics").await;
    let (lines, _) = parse(&text);
    assert_eq!(
        value(&lines, "batchstep_inventory_changes_total", &[]),
        Some(0.0)
    );
    let (_, nothing) = get(&coordinator, "/").await;
    assert!(!nothing.contains("batchstep_"));
    let mut operator = coordinator.operator().await;
    let agents = operator.list_agents(batchstep_proto::wire::ListAgentsRequest {});
    assert!(agents.await.is_ok());
    coordinator.stop().await;
}
