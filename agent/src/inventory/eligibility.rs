//! Whether trials may start on a GPU, decided from its inventory before any of them does. Pure.
//!
//! What lasts comes before what passes: the first reason is the one that an assignment is declined with.

use std::collections::BTreeSet;

use batchstep_proto::{
    causes::chain,
    domain::Ineligibility,
    inventory::{Gpu, GpuProcess, NvmlState, catalogue::gpu},
};

use super::{
    compatibility::{capability_numbers, carries, too_old},
    host::Described,
};
use crate::{device::Description, own_workers, worker_path::WorkerNotFound};

/// Free memory without which not even the smallest workload fits beside libtorch's kernels.
const LEAST_FREE_BYTES: u64 = 1 << 30;
/// Processes that are named in a message.
const NAMED: usize = 3;

/// What is known beside the GPU itself.
pub(super) struct Circumstances<'a> {
    pub(super) worker: Result<(), &'a WorkerNotFound>,
    pub(super) described: &'a Described,
    /// NVIDIA driver.
    pub(super) driver: Option<&'a str>,
    pub(super) nvml: NvmlState,
    /// Process ids are the host's.
    pub(super) sees_host_pids: bool,
    /// Others on a GPU are no reason.
    pub(super) share_gpus: bool,
}

/// Why no trial may start on a GPU or MIG instance now; `own`: this agent's workers on it.
pub(super) fn judge(
    gpu: &Gpu,
    own: &BTreeSet<u32>,
    circumstances: &Circumstances<'_>,
) -> Vec<Ineligibility> {
    let mut reasons = Vec::new();
    let mut because = |code: &str, message: String| {
        reasons.push(Ineligibility {
            code: code.to_owned(),
            message,
        });
    };
    if let Err(error) = circumstances.worker {
        because("no_worker", error.to_string());
    }
    if let Some(Err(error)) = circumstances.described {
        because(
            "worker_broken",
            format!(
                "the worker cannot run here: {}; see `batchstep-agent doctor`",
                chain(error)
            ),
        );
    }
    let facts = &gpu.facts;
    if gpu.is_lost() {
        because(
            "lost",
            "it does not answer any more: it fell off the bus or needs a reset; see `dmesg | grep Xid`".to_owned(),
        );
        return reasons;
    }
    if circumstances.nvml == NvmlState::Hung {
        because(
            "nvml_hung",
            "a call into the NVIDIA driver does not come back; see `dmesg | grep -i nvrm`, reset the GPU or reboot".to_owned(),
        );
    }
    if gpu.uuid().starts_with("PCI-") {
        because(
            "no_uuid",
            "it does not tell its UUID, by which alone a worker can be given it; look at `problems`, reset the GPU or update its driver".to_owned(),
        );
    }
    if facts.get(gpu::MIG_ENABLED) == Some(true) {
        because(
            "mig_parent",
            match gpu.instances.len() {
                0 => "it is divided by MIG and has no instance; make one with `nvidia-smi mig -cgi`, or end MIG with `nvidia-smi -mig 0`".to_owned(),
                1 => "it is divided by MIG; its instance is measured in its place".to_owned(),
                count => format!("it is divided by MIG; its {count} instances are measured in its place"),
            },
        );
        return reasons;
    }
    if let Some(description) = described(circumstances) {
        software(gpu, description, circumstances.driver, &mut because);
    }
    if facts.get(gpu::ROW_REMAP_FAILED) == Some(true) {
        because(
            "row_remap_failed",
            "its memory has a broken row and no spare one left; replace the board".to_owned(),
        );
    }
    if facts.get(gpu::ROW_REMAP_PENDING) == Some(true) {
        because(
            "row_remap_pending",
            "a broken row of its memory waits to be replaced; stop the agent and reset the GPU with `nvidia-smi -r`, or reboot".to_owned(),
        );
    }
    let mode = facts.get(gpu::COMPUTE_MODE);
    // What was seen before NVML failed says nothing of now.
    let is_current = circumstances.nvml == NvmlState::Running;
    let foreign = if is_current {
        foreign(&gpu.processes, own, circumstances.sees_host_pids)
    } else {
        0
    };
    match mode.as_deref() {
        Some("prohibited") => because(
            "compute_mode",
            "its compute mode forbids all work; allow it with `nvidia-smi -c 0`".to_owned(),
        ),
        Some("exclusive_process" | "exclusive_thread") if foreign > 0 => because(
            "exclusive_mode",
            "its compute mode gives it to one process, and another one has it; wait, or share it with `nvidia-smi -c 0`".to_owned(),
        ),
        _ => {}
    }
    if foreign > 0 && !circumstances.share_gpus {
        because(
            "foreign_process",
            format!(
                "{} on it; wait until nobody does",
                computing(&gpu.processes, foreign)
            ),
        );
    }
    if is_current
        && own.is_empty()
        && let Some(free) = facts.get(gpu::MEMORY_FREE_BYTES)
        && free < LEAST_FREE_BYTES
    {
        because(
            "not_enough_memory",
            format!(
                "{:.2} GiB of its memory are free, and trials need 1 GiB at least; end what holds it",
                free as f64 / LEAST_FREE_BYTES as f64
            ),
        );
    }
    reasons
}

fn described<'a>(circumstances: &Circumstances<'a>) -> Option<&'a Description> {
    match circumstances.described {
        Some(Ok(description)) => Some(description),
        _ => None,
    }
}

/// Driver, CUDA and libtorch.
fn software(
    gpu: &Gpu,
    description: &Description,
    driver: Option<&str>,
    because: &mut impl FnMut(&str, String),
) {
    let version = &description.libtorch_built;
    let cuda = description.cuda.as_deref();
    let old = driver
        .zip(cuda)
        .and_then(|(driver, cuda)| Some((driver, cuda, too_old(driver, cuda)?)));
    // NVIDIA's forward compatibility lets an older driver serve a newer CUDA: then CUDA has nothing to complain of.
    let is_served = description.cuda_problem.is_none() && is_visible(gpu, description);
    if let Some((driver, cuda, least)) = old.filter(|_| !is_served) {
        because(
            "driver_too_old",
            format!(
                "driver {driver} is too old for libtorch {version} with CUDA {cuda}; install driver {least} or newer, or give LIBTORCH built for an older CUDA"
            ),
        );
    } else if let Some(problem) = &description.cuda_problem {
        because("cuda_unreachable", problem.clone());
    } else if cuda.is_none() && description.cuda_architectures.is_none() {
        because(
            "cuda_unreachable",
            format!(
                "libtorch {version} is here without its CUDA part; install the complete one with `make libtorch`, or point LD_LIBRARY_PATH at it"
            ),
        );
    } else if !is_visible(gpu, description) {
        because(
            "cuda_not_visible",
            if description.devices.is_empty() {
                "CUDA shows no GPU to this agent; see whether libcuda.so.1 is there, CUDA_VISIBLE_DEVICES, and the devices of the container"
            } else {
                "CUDA does not show it to this agent; see CUDA_VISIBLE_DEVICES, and the devices of the container"
            }
            .to_owned(),
        );
    }
    let capability = gpu.facts.get(gpu::COMPUTE_CAPABILITY);
    if let Some((capability, architectures)) = capability
        .as_deref()
        .zip(description.cuda_architectures.as_deref())
        && let Some(numbers) = capability_numbers(capability)
        && !architectures.iter().any(|it| carries(it, numbers))
    {
        because(
            "compute_capability",
            format!(
                "libtorch {version} has no code for compute capability {capability}, only for {}; give LIBTORCH built for it, or measure another GPU",
                architectures.join(", ")
            ),
        );
    }
}

/// CUDA counts MIG instances in its own way, and does not know what stands in for a UUID.
fn is_visible(gpu: &Gpu, description: &Description) -> bool {
    let uuid = gpu.uuid();
    if description.devices.is_empty() {
        return false;
    }
    !uuid.starts_with("GPU-")
        || gpu.facts.get(gpu::MIG_ENABLED) == Some(true)
        || description.devices.iter().any(|device| device.uuid == uuid)
}

/// Processes of others that compute.
fn foreign(processes: &[GpuProcess], own: &BTreeSet<u32>, sees_host_pids: bool) -> usize {
    let pids: Vec<u32> = processes
        .iter()
        .filter(|process| process.kind == "compute")
        .map(|process| process.pid)
        .collect();
    own_workers::foreign(&pids, own, sees_host_pids)
}

/// "python3 (4711) and 2 other processes compute".
fn computing(processes: &[GpuProcess], count: usize) -> String {
    let names: Vec<String> = processes
        .iter()
        .filter(|process| process.kind == "compute" && !process.own)
        .take(NAMED.min(count))
        .map(|process| {
            let name = process.name.as_deref().unwrap_or("process");
            format!("{name} ({})", process.pid)
        })
        .collect();
    match (names.len(), count - names.len().min(count)) {
        (0, _) => format!("{count} other processes compute"),
        (1, 0) => format!("{} computes", names[0]),
        (_, 0) => format!("{} compute", names.join(", ")),
        (_, more) => format!("{} and {more} more compute", names.join(", ")),
    }
}

/// Why a worker could not be asked, for a document's problems.
pub(super) fn worker_problem(described: &Described) -> Option<String> {
    match described {
        Some(Err(error)) => Some(format!("libtorch is not known: {}", chain(error))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use batchstep_proto::inventory::{Absent, Key, Record, Scope, Typed};

    use super::*;

    const H200: &str = r#"{"libtorch_built":"2.11.0","libtorch_loaded":"2.11.0","cuda":"13.0",
        "cuda_architectures":["7.5","8.0","8.6","9.0","10.0","12.0"],
        "devices":[{"uuid":"GPU-1","name":"NVIDIA H200","multiprocessors":132,"memory_bytes":1,"compute_capability":"9.0"}]}"#;

    fn card() -> Gpu {
        let mut facts = Record::new(Scope::Gpu);
        facts.set(gpu::UUID, Ok("GPU-1".to_owned()));
        facts.set(gpu::COMPUTE_CAPABILITY, Ok("9.0".to_owned()));
        facts.set(gpu::COMPUTE_MODE, Ok("default".to_owned()));
        facts.set(gpu::MEMORY_FREE_BYTES, Ok(100 << 30));
        Gpu::new(facts)
    }

    fn with<T: Typed>(key: Key<T>, value: T) -> Gpu {
        let mut card = card();
        card.facts.set(key, Ok(value));
        card
    }

    fn compute(pid: u32) -> GpuProcess {
        GpuProcess {
            pid,
            kind: "compute".to_owned(),
            name: Some("python3".to_owned()),
            used_memory_bytes: None,
            own: false,
        }
    }

    fn codes_with(
        gpu: &Gpu,
        own: &[u32],
        description: &str,
        driver: &str,
        nvml: NvmlState,
    ) -> Vec<String> {
        let described = Some(Ok(serde_json::from_str(description).unwrap()));
        let circumstances = Circumstances {
            worker: Ok(()),
            described: &described,
            driver: Some(driver),
            nvml,
            sees_host_pids: true,
            share_gpus: false,
        };
        judge(gpu, &own.iter().copied().collect(), &circumstances)
            .into_iter()
            .map(|reason| reason.code)
            .collect()
    }

    fn codes(gpu: &Gpu) -> Vec<String> {
        codes_with(gpu, &[], H200, "590.48.01", NvmlState::Running)
    }

    #[test]
    fn a_free_gpu_of_a_known_kind_is_eligible() {
        assert_eq!(codes(&card()), [""; 0]);
        assert_eq!(
            codes(&with(gpu::COMPUTE_MODE, "exclusive_process".to_owned())),
            [""; 0]
        );
    }

    #[test]
    fn hardware_that_libtorch_carries_no_code_for_is_named() {
        assert_eq!(
            codes(&with(gpu::COMPUTE_CAPABILITY, "7.0".to_owned())),
            ["compute_capability"]
        );
        // Code for 8.6 runs on 8.9, that for 12.0 on 12.1.
        for fits in ["8.9", "12.1", "10.3"] {
            assert_eq!(
                codes(&with(gpu::COMPUTE_CAPABILITY, fits.to_owned())),
                [""; 0]
            );
        }
        assert_eq!(
            codes(&with(gpu::COMPUTE_CAPABILITY, "15.0".to_owned())),
            ["compute_capability"]
        );
        let silent = H200.replace(
            r#""cuda_architectures":["7.5","8.0","8.6","9.0","10.0","12.0"],"#,
            "",
        );
        let old = with(gpu::COMPUTE_CAPABILITY, "7.0".to_owned());
        assert_eq!(
            codes_with(&old, &[], &silent, "590.1", NvmlState::Running),
            [""; 0]
        );
    }

    #[test]
    fn the_driver_must_fit_the_cuda_of_libtorch() {
        let refused = H200.replace(
            r#""cuda":"#,
            r#""cuda_problem":"no device is reached","cuda":"#,
        );
        let by_driver = |driver| codes_with(&card(), &[], &refused, driver, NvmlState::Running);
        assert_eq!(by_driver("570.86.10"), ["driver_too_old"]);
        assert_eq!(by_driver("580.65.06"), ["cuda_unreachable"]);
        let compatible = codes_with(&card(), &[], H200, "570.86.10", NvmlState::Running);
        assert_eq!(compatible, [""; 0], "CUDA has nothing to complain of");
    }

    #[test]
    fn what_cuda_does_not_reach_is_told() {
        let hidden = H200.replace("GPU-1", "GPU-2");
        assert_eq!(
            codes_with(&card(), &[], &hidden, "590.1", NvmlState::Running),
            ["cuda_not_visible"]
        );
        let broken = H200.replace(
            r#""cuda":"#,
            r#""cuda_problem":"no fabric manager","cuda":"#,
        );
        assert_eq!(
            codes_with(&card(), &[], &broken, "590.1", NvmlState::Running),
            ["cuda_unreachable"]
        );
    }

    #[test]
    fn others_and_states_that_pass_are_told() {
        let mut busy = card();
        busy.processes = vec![compute(7), compute(8)];
        assert_eq!(codes(&busy), ["foreign_process"]);
        let with_own = |own: &[u32]| codes_with(&busy, own, H200, "590.1", NvmlState::Running);
        assert_eq!(with_own(&[7, 8]), [""; 0]);
        assert_eq!(with_own(&[7]), ["foreign_process"]);
        busy.facts
            .set(gpu::COMPUTE_MODE, Ok("exclusive_process".to_owned()));
        assert_eq!(codes(&busy), ["exclusive_mode", "foreign_process"]);
        busy.processes
            .iter_mut()
            .for_each(|process| process.kind = "graphics".to_owned());
        assert_eq!(codes(&busy), [""; 0]);
        assert_eq!(
            codes(&with(gpu::COMPUTE_MODE, "prohibited".to_owned())),
            ["compute_mode"]
        );
        assert_eq!(
            codes(&with(gpu::ROW_REMAP_PENDING, true)),
            ["row_remap_pending"]
        );
        assert_eq!(
            codes(&with(gpu::ROW_REMAP_FAILED, true)),
            ["row_remap_failed"]
        );
        let full = with(gpu::MEMORY_FREE_BYTES, 1 << 29);
        assert_eq!(codes(&full), ["not_enough_memory"]);
        assert_eq!(
            codes_with(&full, &[7], H200, "590.1", NvmlState::Running),
            [""; 0],
            "it is this agent's own worker that holds it"
        );
        assert_eq!(
            codes_with(&card(), &[], H200, "590.1", NvmlState::Hung),
            ["nvml_hung"]
        );
    }

    #[test]
    fn others_are_no_reason_where_gpus_are_shared() {
        let mut busy = card();
        busy.processes = vec![compute(7)];
        let circumstances = Circumstances {
            worker: Ok(()),
            described: &None,
            driver: None,
            nvml: NvmlState::Running,
            sees_host_pids: true,
            share_gpus: true,
        };
        assert!(judge(&busy, &BTreeSet::new(), &circumstances).is_empty());
    }

    #[test]
    fn a_divided_and_a_lost_gpu_are_told_once() {
        let mut divided = with(gpu::MIG_ENABLED, true);
        divided.processes = vec![compute(7)];
        assert_eq!(codes(&divided), ["mig_parent"]);
        let mut lost = card();
        lost.facts.set(gpu::TEMPERATURE_CELSIUS, Err(Absent::Lost));
        lost.facts.set(gpu::MIG_ENABLED, Ok(true));
        assert_eq!(codes(&lost), ["lost"]);
    }

    #[test]
    fn processes_are_named() {
        let many: Vec<GpuProcess> = (1..=5).map(compute).collect();
        assert_eq!(computing(&many[..1], 1), "python3 (1) computes");
        assert_eq!(
            computing(&many, 5),
            "python3 (1), python3 (2), python3 (3) and 2 more compute"
        );
    }
}
