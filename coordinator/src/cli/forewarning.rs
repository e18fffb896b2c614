//! What `sweep run --preset article` asks of a coordinator's devices, told before it is submitted: in time where such a device has measured the
//! network before, else in iterations. Called by `sweep`; submits nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::Result;
use batchstep_core::steptable::{DetailedRow, Table};
use batchstep_proto::{
    domain::{DeviceKind, DeviceSelector, SweepSpec},
    wire,
    workload::WorkloadSpec,
};
use batchstep_report::cells;

use super::{
    article,
    endpoint::{Client, refusal},
    tables,
};

/// What is to be known before the whole experiment is submitted.
pub(super) struct Forewarning {
    /// For people.
    pub text: String,
    /// True where CPUs would measure it, or may: that takes hours or days.
    pub on_cpu: bool,
}

/// Asks the coordinator which devices would measure `spec`, and what is known of their speed.
///
/// # Errors
/// When the coordinator refuses.
pub(super) async fn of(client: &mut Client, spec: &SweepSpec) -> Result<Forewarning> {
    let answer = client
        .list_agents(wire::ListAgentsRequest {})
        .await
        .map_err(refusal)?;
    let agents = answer.into_inner().agents;
    let request = wire::GetTableRequest {
        workload: spec.workloads.first().map(|one| one.name().to_owned()),
        detailed: true,
        ..Default::default()
    };
    let table = tables::fetch(client, request).await?;
    Ok(forewarning(spec, &agents, &table))
}

fn forewarning(spec: &SweepSpec, agents: &[wire::Agent], table: &Table) -> Forewarning {
    let sizes = article::sizes(spec).len() as u64;
    let iterations = article::iterations(spec);
    let mut text = format!(
        "The article's experiment has {iterations} iterations at each of {sizes} batch sizes: {} in all, on every device.",
        sizes * u64::from(iterations)
    );
    let cpus = cpus(&spec.devices, agents);
    for model in &cpus {
        let time = rows_of(spec, model, table)
            // More threads are nearer to all cores, which is what a sweep without --threads uses.
            .max_by_key(|row| row.row.threads)
            .and_then(|row| {
                let points: BTreeMap<u32, f64> = row
                    .points
                    .iter()
                    .map(|point| (point.batch_size, point.seconds))
                    .collect();
                article::time_by(&points, spec)
            });
        // Writing to a string cannot fail.
        let _ = match time {
            Some(time) => write!(
                text,
                "\n  {model}: about {}, by what was measured there before",
                cells::long_duration(time.as_secs_f64())
            ),
            None => write!(
                text,
                "\n  {model}: a CPU, which takes hours or days; how long is not known before it has measured cnn"
            ),
        };
    }
    // Whoever connects later gets the sweep, too.
    let unknown =
        agents.is_empty() && matches!(spec.devices, DeviceSelector::All | DeviceSelector::Cpu);
    if unknown {
        text.push_str("\n  No agent is connected yet; on a CPU it takes hours or days.");
    }
    Forewarning {
        text,
        on_cpu: unknown || !cpus.is_empty(),
    }
}

/// The models of the CPUs that a selector means: `all` means those of hosts that have nothing else.
fn cpus<'a>(selector: &DeviceSelector, agents: &'a [wire::Agent]) -> BTreeSet<&'a str> {
    let is_cpu = |device: &wire::Device| device.kind() == wire::DeviceKind::Cpu;
    agents
        .iter()
        .flat_map(|agent| {
            let only_cpus = agent.devices.iter().all(is_cpu);
            agent.devices.iter().filter(move |device| {
                is_cpu(device)
                    && match selector {
                        DeviceSelector::All => only_cpus,
                        DeviceSelector::Cpu => true,
                        DeviceSelector::Gpu => false,
                        DeviceSelector::Listed(ids) => ids.contains(&device.id),
                    }
            })
        })
        .map(|device| device.model.as_str())
        .collect()
}

/// What such a CPU has measured of the same network in the same way.
fn rows_of<'a>(
    spec: &'a SweepSpec,
    model: &'a str,
    table: &'a Table,
) -> impl Iterator<Item = &'a DetailedRow> {
    table.rows.iter().filter(move |detailed| {
        let row = &detailed.row;
        row.device_kind == DeviceKind::Cpu
            && row.device_model == model
            && (row.mode, row.dtype) == (spec.mode, spec.dtype)
            && (spec.threads.is_none() || row.threads == spec.threads)
            && cells::workload_spec(row)
                .parse::<WorkloadSpec>()
                .is_ok_and(|workload| spec.workloads.contains(&workload))
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::cli::args::SweepArgs;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        sweep: SweepArgs,
    }

    fn spec(flags: &[&str]) -> SweepSpec {
        let line = ["batchstep", "--preset", "article"].iter().chain(flags);
        let args = Line::parse_from(line).sweep;
        let mut spec = args.spec();
        article::apply(&mut spec, &args).unwrap();
        spec
    }

    fn agent(kinds: &[wire::DeviceKind]) -> wire::Agent {
        let device = |kind: &wire::DeviceKind| wire::Device {
            id: format!("{}-1", kind.as_str_name()),
            kind: (*kind).into(),
            model: "Some CPU".to_owned(),
            ..Default::default()
        };
        wire::Agent {
            devices: kinds.iter().map(device).collect(),
            ..Default::default()
        }
    }

    /// 10 ms per sample on `threads` threads.
    fn measured(spec: &SweepSpec, threads: u32) -> serde_json::Value {
        let parameters: BTreeMap<String, String> = spec.workloads[0]
            .parameter_map()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_string()))
            .collect();
        let point = |size: u32| {
            let seconds = 0.01 * f64::from(size);
            json!({"batch_size": size, "seconds": seconds, "low": seconds, "high": seconds, "blocks": 5, "outliers": 0})
        };
        json!({
            "device_model": "Some CPU", "device_kind": "cpu", "threads": threads, "workload": "cnn",
            "parameters": parameters, "mode": "train", "dtype": "f32", "verdict": "no_step", "other_steps": [],
            "reason": "", "recommended_batch_sizes": [], "batch_sizes_measured": 2, "blocks": 10,
            "measuring_seconds": 1.0, "devices": [], "agreeing_devices": 1, "software": {},
            "points": [point(1), point(4)], "fitted": [],
        })
    }

    fn told(flags: &[&str], agents: &[wire::Agent], threads: &[u32]) -> Forewarning {
        let spec = spec(flags);
        let rows: Vec<_> = threads
            .iter()
            .map(|&count| measured(&spec, count))
            .collect();
        let table = serde_json::from_value(json!({"schema_version": 1, "rows": rows})).unwrap();
        forewarning(&spec, agents, &table)
    }

    #[test]
    fn only_where_cpus_take_part_it_takes_long() {
        use wire::DeviceKind::{Cpu, Cuda};
        let (plain, equipped) = (agent(&[Cpu]), agent(&[Cuda, Cpu]));
        let both = [plain, equipped.clone()];
        for (flags, agents, on_cpu) in [
            (&[][..], &both[..], true),
            (&[], &[equipped][..], false),
            (&["--devices", "cpu"], &both[1..], true),
            (&["--devices", "gpu"], &both, false),
            (&["--devices", "DEVICE_KIND_CPU-1"], &both, true),
            (&["--devices", "DEVICE_KIND_CUDA-1"], &both, false),
            (&[], &[], true),
            (&["--devices", "gpu"], &[], false),
        ] {
            let forewarning = told(flags, agents, &[]);
            assert_eq!(
                forewarning.on_cpu, on_cpu,
                "{flags:?}: {}",
                forewarning.text
            );
            assert!(
                forewarning.text.contains("64000 in all"),
                "{}",
                forewarning.text
            );
        }
    }

    #[test]
    fn a_cpu_that_measured_the_network_before_tells_how_long() {
        let agents = [agent(&[wire::DeviceKind::Cpu])];
        let unknown = told(&["--batch-sizes", "1-4"], &agents, &[]).text;
        assert!(unknown.contains("not known"), "{unknown}");
        // 1000 iterations of 10 + 20 + 30 + 40 ms are 100 s, and the protocol takes 15 % more.
        let known = told(&["--batch-sizes", "1-4"], &agents, &[1, 2]).text;
        assert!(known.contains("Some CPU: about 1 min 55 s"), "{known}");
        let threads = ["--batch-sizes", "1-4", "--threads", "4"];
        assert!(told(&threads, &agents, &[1, 2]).text.contains("not known"));
    }
}
