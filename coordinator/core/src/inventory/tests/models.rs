//! Which devices are of one model, and in what they differ.

use batchstep_proto::inventory::{
    Absent,
    catalogue::{gpu, host},
};

use super::lab::{Lab, h200, instance, machine};
use crate::inventory::{Severity, Wanted, findings, models, skew};

#[test]
fn a_value_that_is_not_known_makes_no_other_model() {
    let mut lab = Lab::new();
    let mut gpus = vec![h200("GPU-a"), h200("GPU-b"), h200("GPU-c")];
    gpus[1].facts.set(gpu::SM_COUNT, Err(Absent::NotSupported));
    gpus[2]
        .facts
        .set(gpu::MEMORY_TOTAL_BYTES, Err(Absent::Unknown));
    lab.report(1, machine("node1", gpus));
    let found = models(&lab.hosts());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].members.len(), 3);
    assert_eq!(found[0].sm_count, Some(132));
}

#[test]
fn one_name_may_be_several_models() {
    let mut lab = Lab::new();
    let mut gpus = vec![h200("GPU-a"), h200("GPU-b"), h200("GPU-c"), h200("GPU-d")];
    gpus[1].facts.set(gpu::SM_COUNT, Ok(128));
    gpus[2].facts.set(gpu::MEMORY_TOTAL_BYTES, Ok(80 << 30));
    // ECC within the memory takes a part of it: still the same card.
    gpus[3]
        .facts
        .set(gpu::MEMORY_TOTAL_BYTES, Ok(150_754_820_096 / 16 * 15));
    gpus[0].instances = vec![instance("MIG-1"), instance("MIG-2")];
    lab.report(1, machine("node1", gpus));
    let counts: Vec<(String, usize)> = models(&lab.hosts())
        .iter()
        .map(|model| (model.label(), model.members.len()))
        .collect();
    assert_eq!(
        counts,
        [
            ("NVIDIA H200".to_owned(), 1),
            ("NVIDIA H200".to_owned(), 1),
            ("NVIDIA H200".to_owned(), 2),
            ("NVIDIA H200 MIG 1g.18gb".to_owned(), 2),
        ]
    );
}

#[test]
fn what_most_have_is_told_first_and_the_odd_ones_by_name() {
    let mut lab = Lab::new();
    for node in 0..8_u64 {
        let mut document = machine(&format!("node{node}"), vec![h200(&format!("GPU-{node}"))]);
        if node < 3 {
            let driver = Ok("570.86.10".to_owned());
            document.host.set(host::DRIVER_VERSION, driver);
        }
        if node == 5 {
            document.gpus[0].facts.set(gpu::PCIE_WIDTH, Ok(8));
        }
        // Where it is not known nobody differs.
        if node == 6 {
            let unknown = Err(Absent::NoPermission);
            document.gpus[0].facts.set(gpu::POWER_LIMIT_WATTS, unknown);
        }
        lab.report(node, document);
    }
    let found = models(&lab.hosts());
    let told: Vec<(Severity, String)> = skew(&found[0])
        .iter()
        .map(|skew| (skew.severity, skew.sentence(&found[0].label())))
        .collect();
    assert_eq!(
        told,
        [
            (
                Severity::Notice,
                "5 of 8 NVIDIA H200 have driver_version 580.95.05, 3 have 570.86.10: GPU-0 on node0, GPU-1 on node1, GPU-2 on node2"
                    .to_owned()
            ),
            (
                Severity::Warning,
                "7 of 8 NVIDIA H200 have pcie_width 16, 1 has 8: GPU-5 on node5".to_owned()
            ),
        ]
    );
}

#[test]
fn a_uuid_that_two_hosts_report_counts_once() {
    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-x")]));
    let mut copy = machine("node2", vec![h200("GPU-x")]);
    copy.gpus[0].facts.set(gpu::POWER_LIMIT_WATTS, Ok(500.0));
    lab.report(2, copy);
    let found = models(&lab.hosts());
    assert_eq!(found.len(), 1);
    let members = &found[0].members;
    assert_eq!(members.len(), 1);
    assert_eq!(members[0].hostname, "node1", "who has it");
    assert!(skew(&found[0]).is_empty(), "it does not differ from itself");
    // Asked for by the other host it is still one.
    let wanted = Wanted {
        host: Some("node2".to_owned()),
        ..Wanted::default()
    };
    let hosts: Vec<_> = lab.fleet.hosts(lab.now, &wanted).collect();
    assert_eq!(models(&hosts)[0].members[0].hostname, "node2");
    let told = findings(&hosts, lab.now);
    assert!(
        told.iter().any(|it| it.code == "duplicate_uuid"),
        "{told:?}"
    );
}

#[test]
fn slots_and_instances_may_differ() {
    let mut lab = Lab::new();
    let mut gpus = vec![h200("GPU-a"), h200("GPU-b")];
    gpus[1]
        .facts
        .set(gpu::PCI_BUS_ID, Ok("00000000:99:00.0".to_owned()));
    gpus[1].facts.set(gpu::TEMPERATURE_CELSIUS, Ok(90.0));
    lab.report(1, machine("node1", gpus));
    assert!(skew(&models(&lab.hosts())[0]).is_empty());
}

#[test]
fn a_lost_device_keeps_its_model_and_a_vanished_one_has_none() {
    let mut lab = Lab::new();
    let mut gpus = vec![h200("GPU-a"), h200("GPU-b"), h200("GPU-c")];
    lab.report(1, machine("node1", gpus.clone()));
    gpus.pop();
    gpus[1]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    lab.report(1, machine("node1", gpus));
    let found = models(&lab.hosts());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].members.len(), 2);
    assert!(skew(&found[0]).is_empty());
}
