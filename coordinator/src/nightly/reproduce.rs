//! The command that measures again what an alarm is about, for whoever looks into it. Pure; the same in alarms and messages.

use std::collections::BTreeSet;

use batchstep_proto::domain::SweepSpec;

use super::about::About;
use crate::shell;

/// A `batchstep sweep run` of these series as a night of `sweep` measures them; `None` without a series.
#[must_use]
pub fn reproduce(series: &[&About], sweep: &SweepSpec) -> Option<String> {
    let first = series.first()?;
    let all = |part: fn(&About) -> &String| -> BTreeSet<&str> {
        series.iter().map(|about| part(about).as_str()).collect()
    };
    let devices: Vec<&str> = all(|about| &about.device).into_iter().collect();
    let mut words = vec![
        "batchstep".to_owned(),
        "sweep".to_owned(),
        "run".to_owned(),
        "--devices".to_owned(),
        devices.join(","),
    ];
    let mut flag = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    for workload in all(|about| &about.workload_key) {
        flag("workload", workload.to_owned());
    }
    flag("batch-sizes", sweep.batch_sizes.to_string());
    flag("mode", first.mode.word().to_owned());
    flag("dtype", first.dtype.word().to_owned());
    let is_alike = series.iter().all(|about| about.threads == first.threads);
    if let Some(threads) = first.threads.filter(|_| is_alike).or(sweep.threads) {
        flag("threads", threads.to_string());
    }
    if let Some(iterations) = sweep.iterations {
        flag("iterations", iterations.to_string());
    }
    flag(
        "budget",
        humantime::format_duration(sweep.budget)
            .to_string()
            .replace(' ', ""),
    );
    let words: Vec<String> = words.iter().map(|word| shell::word(word)).collect();
    Some(words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use batchstep_proto::domain::{
        BatchSizes, DeviceKind, DeviceSelector, Dtype, Mode, Scheduling, Strategy, VisitOrder,
    };

    use super::*;

    fn about(device: &str, threads: Option<u32>) -> About {
        About {
            device: device.to_owned(),
            hostname: "node".to_owned(),
            device_model: "Example".to_owned(),
            device_kind: DeviceKind::Cuda,
            mig_profile: None,
            workload: "linear".to_owned(),
            workload_key: "linear:inputs=8".to_owned(),
            mode: Mode::Infer,
            dtype: Dtype::Bf16,
            threads,
        }
    }

    fn sweep() -> SweepSpec {
        SweepSpec {
            workloads: vec!["linear:inputs=8".parse().unwrap()],
            batch_sizes: BatchSizes::Listed(vec![1, 2, 3, 4, 8]),
            mode: Mode::Infer,
            dtype: Dtype::Bf16,
            threads: None,
            strategy: Strategy::Dense,
            budget: Duration::from_secs(90),
            precision: 0.003,
            iterations: None,
            seed: 1,
            devices: DeviceSelector::All,
            preset: None,
            visit_order: VisitOrder::Random,
            scheduling: Scheduling::default(),
        }
    }

    #[test]
    fn the_command_names_what_was_measured() {
        let (one, two) = (about("GPU-1", None), about("it's 2", None));
        assert_eq!(
            reproduce(&[&two, &one, &one], &sweep()).unwrap(),
            r"batchstep sweep run --devices 'GPU-1,it'\''s 2' --workload linear:inputs=8 --batch-sizes 1-4,8 --mode infer --dtype bf16 --budget 1m30s"
        );
        assert_eq!(reproduce(&[], &sweep()), None);
        let threads = |all: &[&About]| reproduce(all, &sweep()).unwrap();
        let (four, eight) = (about("CPU-1", Some(4)), about("CPU-2", Some(8)));
        assert!(threads(&[&four]).contains("--threads 4"));
        assert!(!threads(&[&four, &eight]).contains("--threads"));
    }

    #[test]
    fn subjects_are_recognised() {
        let about = about("GPU-1", None);
        for subject in [
            "GPU-1|linear:inputs=8|infer|bf16",
            "Example|linear:inputs=8|infer|bf16",
            "host node",
            "device GPU-1",
        ] {
            assert!(about.is_of(subject), "{subject}");
        }
        for subject in ["night", "host nod", "device GPU-11", "GPU-1", ""] {
            assert!(!about.is_of(subject), "{subject}");
        }
    }
}
