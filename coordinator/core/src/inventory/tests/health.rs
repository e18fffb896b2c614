//! Every rule of health: when it speaks, and that a healthy lab is silent.

use batchstep_proto::{
    domain::Ineligibility,
    inventory::{
        Absent, Document, NvmlState,
        catalogue::{gpu, host},
    },
};

use super::lab::{Lab, blind, h200, instance, machine};
use crate::inventory::{Finding, RULES, Severity, findings};

fn found(lab: &Lab) -> Vec<Finding> {
    findings(&lab.hosts(), lab.now)
}

fn codes(lab: &Lab) -> Vec<&'static str> {
    found(lab).iter().map(|finding| finding.code).collect()
}

/// The codes after one report of this document.
fn of(document: Document) -> Vec<&'static str> {
    let mut lab = Lab::new();
    lab.report(1, document);
    codes(&lab)
}

fn with(edit: impl Fn(&mut batchstep_proto::inventory::Record)) -> Vec<&'static str> {
    let mut document = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    for card in &mut document.gpus {
        edit(&mut card.facts);
    }
    let mut codes = of(document);
    codes.dedup();
    codes
}

#[test]
fn a_healthy_lab_is_silent() {
    assert_eq!(with(|_| {}), Vec::<&str>::new());
    assert!(of(blind("cpu-only", NvmlState::NoDriver)).is_empty());
}

#[test]
fn every_value_that_is_bad_is_told_by_its_code() {
    assert_eq!(
        with(|it| it.set(gpu::ROW_REMAP_FAILED, Ok(true))),
        ["row_remap_failed"]
    );
    assert_eq!(
        with(|it| it.set(gpu::ROW_REMAP_PENDING, Ok(true))),
        ["row_remap_pending"]
    );
    assert_eq!(
        with(|it| it.set(gpu::ECC_UNCORRECTED, Ok(1))),
        ["ecc_uncorrected"]
    );
    assert_eq!(
        with(|it| it.set(gpu::RETIRED_PAGES_PENDING, Ok(true))),
        ["retired_pages_pending"]
    );
    assert_eq!(with(|it| it.set(gpu::PCIE_WIDTH, Ok(8))), ["pcie_width"]);
    assert_eq!(
        with(|it| it.set(gpu::POWER_LIMIT_WATTS, Ok(500.0))),
        ["power_limit"]
    );
    assert_eq!(
        with(|it| it.set(gpu::ECC_PENDING, Ok(false))),
        ["ecc_pending"]
    );
    let mig = |it: &mut batchstep_proto::inventory::Record| {
        it.set(gpu::MIG_ENABLED, Ok(false));
        it.set(gpu::MIG_PENDING, Ok(true));
    };
    assert_eq!(with(mig), ["mig_pending"]);
    let links = |it: &mut batchstep_proto::inventory::Record| {
        it.set(gpu::NVLINK_COUNT, Ok(18));
        it.set(gpu::NVLINK_ACTIVE, Ok(17));
    };
    assert_eq!(with(links), ["nvlink_down"]);
    for bit in [0x8, 0x20, 0x40, 0x80] {
        assert_eq!(
            with(|it| it.set(gpu::CLOCK_EVENT_REASONS, Ok(bit))),
            ["clocks_slowed"]
        );
    }
    // A power cap, idleness and bits that nobody knows are no complaint.
    assert!(with(|it| it.set(gpu::CLOCK_EVENT_REASONS, Ok(0x4 | 0x1 | 0x8000))).is_empty());
    let hot = |it: &mut batchstep_proto::inventory::Record| {
        it.set(gpu::TEMPERATURE_SLOWDOWN_CELSIUS, Ok(90.0));
        it.set(gpu::TEMPERATURE_CELSIUS, Ok(90.0));
    };
    assert_eq!(with(hot), ["temperature"]);
}

#[test]
fn what_is_absent_is_no_finding() {
    let absent = |it: &mut batchstep_proto::inventory::Record| {
        it.lose(
            |field| field.name != "uuid" && field.name != "name",
            Absent::NotSupported,
        );
    };
    assert!(with(absent).is_empty());
}

#[test]
fn live_values_that_are_old_say_nothing_about_now() {
    let mut lab = Lab::new();
    let mut document = machine("node1", vec![h200("GPU-a")]);
    document.gpus[0]
        .facts
        .set(gpu::CLOCK_EVENT_REASONS, Ok(0x40));
    lab.report(1, document.clone());
    lab.wait(299);
    assert_eq!(codes(&lab), ["clocks_slowed"]);
    lab.wait(2);
    assert_eq!(codes(&lab), ["stale_snapshot"]);
    lab.sample(1, &document);
    assert_eq!(codes(&lab), ["clocks_slowed"]);
}

#[test]
fn hosts_and_agents_that_fail_are_told_where() {
    assert_eq!(
        of(blind("node1", NvmlState::Failed)),
        ["nvml_version_mismatch"]
    );
    let mut failed = blind("node1", NvmlState::Failed);
    failed.nvml.message = Some("libnvidia-ml.so.1 is missing".to_owned());
    assert_eq!(of(failed.clone()), ["nvml_failed"]);
    // A library where there never was a GPU is no loss; where there was one, it is.
    let mut lab = Lab::new();
    lab.report(1, failed.clone());
    assert_eq!(found(&lab)[0].severity, Severity::Warning);
    lab.report(1, machine("node1", vec![h200("GPU-a")]));
    lab.report(1, failed);
    assert_eq!(found(&lab)[0].severity, Severity::Critical);
    assert_eq!(of(blind("node1", NvmlState::Hung)), ["nvml_hung"]);
    let mut odd = machine("node1", vec![h200("GPU-a")]);
    odd.problems = vec!["a name is no UTF-8".to_owned()];
    odd.gpus[0].problems = vec!["it has -5 fans".to_owned()];
    odd.gpus[0].ineligible = vec![Ineligibility {
        code: "foreign_process".to_owned(),
        message: "python3 computes on it".to_owned(),
    }];
    let mut parent = h200("GPU-m");
    parent.ineligible = vec![Ineligibility {
        code: "mig_parent".to_owned(),
        message: "it is divided".to_owned(),
    }];
    parent.instances = vec![instance("MIG-1")];
    odd.gpus.push(parent);
    assert_eq!(of(odd), ["problem", "ineligible", "problem"]);

    let mut lab = Lab::new();
    lab.connect(1, "node1");
    assert_eq!(codes(&lab), ["no_inventory"]);
    lab.report(1, machine("node1", vec![]));
    assert!(codes(&lab).is_empty());
    lab.leave(1);
    lab.wait(7200);
    let found = found(&lab);
    assert_eq!(found[0].code, "agent_offline");
    assert!(found[0].message.contains("2 h ago"), "{}", found[0].message);
}

#[test]
fn lost_vanished_and_doubled_devices_are_told() {
    let mut lab = Lab::new();
    let mut document = machine("node1", vec![h200("GPU-a"), h200("GPU-b")]);
    lab.report(1, document.clone());
    document.gpus.pop();
    document.gpus[0]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    lab.report(1, document);
    let told = found(&lab);
    assert_eq!(
        told.iter()
            .map(|it| (it.code, it.uuid.as_deref(), it.model.as_deref()))
            .collect::<Vec<_>>(),
        [
            ("lost", Some("GPU-a"), Some("NVIDIA H200")),
            ("vanished", Some("GPU-b"), Some("NVIDIA H200"))
        ]
    );
    // After a month nobody wants to hear of it.
    lab.wait(31 * 86_400);
    assert!(!codes(&lab).contains(&"vanished"));

    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-x")]));
    lab.report(2, machine("node2", vec![h200("GPU-x")]));
    let told = found(&lab);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].code, "duplicate_uuid");
    assert!(told[0].message.contains("node1") && told[0].message.contains("node2"));
}

#[test]
fn a_lost_gpu_is_one_finding_with_its_slot_however_many_instances_it_has() {
    let mut lab = Lab::new();
    let mut document = machine("node1", vec![h200("GPU-a")]);
    document.gpus[0].instances = vec![instance("MIG-1"), instance("MIG-2")];
    lab.report(1, document.clone());
    let card = &mut document.gpus[0];
    for facts in std::iter::once(&mut card.facts).chain(
        card.instances
            .iter_mut()
            .map(|instance| &mut instance.facts),
    ) {
        facts.lose(|field| field.name != "uuid", Absent::Lost);
    }
    lab.report(1, document);
    let told = found(&lab);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        told[0].message,
        "NVIDIA H200 0 on node1, slot 00000000:18:00.0, does not answer any more"
    );
}

#[test]
fn a_gpu_that_is_to_be_divided_and_is_not_measures_nothing() {
    let mut document = machine("node1", vec![h200("GPU-m")]);
    document.gpus[0].ineligible = vec![Ineligibility {
        code: "mig_parent".to_owned(),
        message: "MIG is on".to_owned(),
    }];
    assert_eq!(of(document.clone()), ["ineligible"]);
    document.gpus[0].instances = vec![instance("MIG-1")];
    assert!(of(document).is_empty());
}

#[test]
fn of_a_host_that_is_away_only_that_is_told_and_after_a_month_nothing() {
    let mut lab = Lab::new();
    let mut document = machine("node1", vec![h200("GPU-a")]);
    document.gpus[0].facts.set(gpu::ECC_UNCORRECTED, Ok(1));
    lab.report(1, document);
    lab.leave(1);
    lab.wait(3600);
    assert_eq!(codes(&lab), ["ecc_uncorrected", "agent_offline"]);
    lab.wait(24 * 3600);
    assert_eq!(codes(&lab), ["agent_offline"]);
    assert_eq!(lab.hosts()[0].to_json(lab.now)["retired"], false);
    lab.wait(30 * 86_400);
    assert!(codes(&lab).is_empty());
    assert_eq!(lab.hosts()[0].to_json(lab.now)["retired"], true);
}

#[test]
fn machines_of_one_name_are_told_once() {
    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-a")]));
    let mut other = machine("node1", vec![h200("GPU-b")]);
    other.host.set(host::MACHINE_ID, Ok("m-other".to_owned()));
    lab.report(2, other);
    let told = found(&lab);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].code, "shared_hostname");
    assert!(told[0].message.contains("m-node1 and m-other"));
}

#[test]
fn instances_that_are_taken_down_are_nobodys_loss() {
    let mut lab = Lab::new();
    let mut document = machine("node1", vec![h200("GPU-a")]);
    document.gpus[0].instances = vec![instance("MIG-1")];
    lab.report(1, document.clone());
    document.gpus[0].instances.clear();
    lab.report(1, document);
    assert!(codes(&lab).is_empty());
}

#[test]
fn two_hosts_with_one_machine_id_are_told() {
    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-a")]));
    let mut copy = machine("node2", vec![h200("GPU-b")]);
    copy.host.set(host::MACHINE_ID, Ok("m-node1".to_owned()));
    lab.report(2, copy);
    assert_eq!(codes(&lab), ["shared_machine_id"]);
}

#[test]
fn a_slot_that_is_slower_than_its_siblings_is_told_of_the_device() {
    let mut lab = Lab::new();
    for node in 0..3_u64 {
        let mut document = machine(&format!("node{node}"), vec![h200(&format!("GPU-{node}"))]);
        if node == 1 {
            document.gpus[0].facts.set(gpu::PCIE_GENERATION_MAX, Ok(4));
            document.gpus[0]
                .facts
                .set(gpu::VBIOS_VERSION, Ok("95".to_owned()));
        }
        lab.report(node, document);
    }
    let told = found(&lab);
    let codes: Vec<_> = told
        .iter()
        .map(|it| (it.code, it.uuid.as_deref()))
        .collect();
    assert_eq!(codes, [("pcie_generation", Some("GPU-1")), ("skew", None)]);
}

#[test]
fn rules_have_distinct_codes_and_say_when_and_what_to_do() {
    let mut codes: Vec<&str> = RULES.iter().map(|rule| rule.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), RULES.len());
    for rule in RULES {
        assert!(
            !rule.when.ends_with('.') && rule.action.len() > 10,
            "{rule:?}"
        );
    }
}
