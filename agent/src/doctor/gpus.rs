//! The checks of GPUs: whether NVML answers, and for each GPU whether trials may start. What the inventory has decided, told as checks.

use batchstep_proto::{
    domain::Ineligibility,
    inventory::{
        Document, Gpu, NvmlState,
        catalogue::{gpu, host},
    },
};

use super::{Check, Status};
use crate::device::Description;

/// Reasons that go away by themselves, or when somebody else is done.
const PASSING: [&str; 3] = ["foreign_process", "exclusive_mode", "not_enough_memory"];
/// No fault: the instances are measured.
const DIVIDED: &str = "mig_parent";

/// One check for NVML, then one for each GPU and MIG instance.
pub(super) fn checks(document: &Document, description: Option<&Description>) -> Vec<Check> {
    let driver = document
        .host
        .get(host::DRIVER_VERSION)
        .unwrap_or_else(|| "of unknown version".to_owned());
    let nvml = match document.nvml.state {
        NvmlState::NoDriver => {
            return vec![Check::ok(
                "gpu",
                "no NVIDIA driver; the processors are measured",
            )];
        }
        NvmlState::Running if document.gpus.is_empty() => {
            return vec![Check::fail(
                "gpu",
                format!("driver {driver} is there and NVML finds no GPU"),
                "check `nvidia-smi` and `lspci | grep -i nvidia`; in a container, pass the GPUs to it; or measure the processors with --devices cpu",
            )];
        }
        NvmlState::Running => Check::ok("nvml", format!("driver {driver}")),
        NvmlState::Failed | NvmlState::Hung => {
            let message = document.nvml.message.as_deref().unwrap_or_default();
            let (found, mend) = halves(message);
            match description {
                Some(Description {
                    cuda_problem: None,
                    devices,
                    ..
                }) if !devices.is_empty() => Check::warn(
                    "nvml",
                    format!(
                        "{found}; CUDA reaches the GPUs, and they are measured without being watched"
                    ),
                    mend,
                ),
                _ => Check::fail("nvml", found, mend),
            }
        }
    };
    let mut checks = vec![nvml];
    let devices = || {
        document
            .gpus
            .iter()
            .flat_map(|gpu| std::iter::once(gpu).chain(&gpu.instances))
    };
    let some_may = devices().any(|gpu| gpu.ineligible.is_empty());
    checks.extend(devices().map(|gpu| check(gpu, some_may)));
    checks
}

/// A GPU that cannot be used stops trials only where there is no other one.
fn check(gpu: &Gpu, some_may: bool) -> Check {
    let name = gpu
        .facts
        .get(gpu::NAME)
        .unwrap_or_else(|| "a GPU without a name".to_owned());
    let called = format!("{name} {}", gpu.uuid());
    let Some(Ineligibility { code, message }) = gpu.ineligible.first() else {
        return Check::ok("gpu", format!("{called}: trials may start"));
    };
    let (found, mend) = halves(message);
    let others = match gpu.ineligible.len() - 1 {
        0 => String::new(),
        more => format!(" (and {more} more: `batchstep-agent inventory`)"),
    };
    let found = format!("{called}: {found}{others}");
    let status = if code == DIVIDED && !gpu.instances.is_empty() {
        Status::Ok
    } else if some_may || PASSING.contains(&code.as_str()) {
        Status::Warn
    } else {
        Status::Fail
    };
    Check {
        name: "gpu",
        status,
        found,
        mend: (status != Status::Ok).then_some(mend),
    }
}

/// What is wrong, and what to do: messages are written so.
fn halves(message: &str) -> (String, String) {
    match message.split_once("; ") {
        Some((found, mend)) => (found.to_owned(), mend.to_owned()),
        None => (
            message.to_owned(),
            "`nvidia-smi` may say more; or measure the processors with --devices cpu".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use batchstep_proto::inventory::{Nvml, Record, Scope};

    use super::*;

    fn document(state: NvmlState, gpus: Vec<Gpu>) -> Document {
        let mut machine = Record::new(Scope::Host);
        machine.set(host::DRIVER_VERSION, Ok("590.48.01".to_owned()));
        Document {
            host: machine,
            nvml: Nvml {
                state,
                message: (state == NvmlState::Failed).then(|| "versions differ; reboot".to_owned()),
            },
            gpus,
            problems: Vec::new(),
        }
    }

    fn card(codes: &[&str]) -> Gpu {
        let mut facts = Record::new(Scope::Gpu);
        facts.set(gpu::UUID, Ok("GPU-1".to_owned()));
        facts.set(gpu::NAME, Ok("NVIDIA H200".to_owned()));
        Gpu {
            ineligible: codes
                .iter()
                .map(|code| Ineligibility {
                    code: (*code).to_owned(),
                    message: "it is so; do that".to_owned(),
                })
                .collect(),
            ..Gpu::new(facts)
        }
    }

    fn statuses(document: &Document, description: Option<&Description>) -> Vec<Status> {
        let checks = checks(document, description);
        checks.iter().map(|check| check.status).collect()
    }

    #[test]
    fn a_host_without_gpus_is_told_from_one_that_lost_them() {
        assert_eq!(
            statuses(&document(NvmlState::NoDriver, vec![]), None),
            [Status::Ok]
        );
        assert_eq!(
            statuses(&document(NvmlState::Running, vec![]), None),
            [Status::Fail]
        );
    }

    #[test]
    fn nvml_that_fails_stops_trials_unless_cuda_works() {
        let failed = document(NvmlState::Failed, vec![]);
        let check = &checks(&failed, None)[0];
        assert_eq!(
            (check.status, check.found.as_str(), check.mend.as_deref()),
            (Status::Fail, "versions differ", Some("reboot"))
        );
        let reached = serde_json::from_str(
            r#"{"libtorch_built":"2.11.0","libtorch_loaded":"2.11.0","devices":[{"uuid":"GPU-1","name":"A","multiprocessors":1,"memory_bytes":1,"compute_capability":"9.0"}]}"#,
        )
        .unwrap();
        assert_eq!(statuses(&failed, Some(&reached)), [Status::Warn]);
    }

    #[test]
    fn a_gpu_stops_trials_only_where_there_is_no_better_one() {
        let one =
            |codes: &[&str]| statuses(&document(NvmlState::Running, vec![card(codes)]), None)[1];
        assert_eq!(one(&[]), Status::Ok);
        assert_eq!(one(&["compute_capability"]), Status::Fail);
        assert_eq!(one(&["foreign_process"]), Status::Warn);
        let both = document(
            NvmlState::Running,
            vec![card(&["compute_capability", "foreign_process"]), card(&[])],
        );
        let found = checks(&both, None);
        assert_eq!(found[1].status, Status::Warn);
        assert!(found[1].found.contains("and 1 more"), "{}", found[1].found);
    }

    #[test]
    fn instances_stand_for_a_divided_gpu() {
        let mut divided = card(&["mig_parent"]);
        assert_eq!(
            statuses(&document(NvmlState::Running, vec![divided.clone()]), None)[1],
            Status::Fail
        );
        divided.instances = vec![card(&[])];
        assert_eq!(
            statuses(&document(NvmlState::Running, vec![divided]), None)[1..],
            [Status::Ok, Status::Ok]
        );
    }
}
