//! What reports mean: devices come, go, move and are lost, fields change, NVML fails; and what is no news stays out of the history.

use batchstep_proto::inventory::{
    Absent, Document, NvmlState, Record,
    catalogue::{gpu, host},
};

use super::lab::{Lab, blind, h200, instance, machine};
use crate::inventory::{ChangeKind, Presence};

const NOTHING: [&str; 0] = [];

fn two() -> Document {
    machine("node1", vec![h200("GPU-a"), h200("GPU-b")])
}

#[test]
fn a_host_appears_with_its_devices_once() {
    let mut lab = Lab::new();
    assert_eq!(
        lab.told(1, two()),
        ["host_appeared node1", "appeared GPU-a", "appeared GPU-b"]
    );
    lab.wait(60);
    let again = lab.report(1, two());
    assert!(again.changes.is_empty());
    assert!(!again.is_news(), "nothing is written for an equal document");
    // Live values are no news either, and are known all the same.
    let mut hot = two();
    hot.gpus[0].facts.set(gpu::TEMPERATURE_CELSIUS, Ok(80.0));
    assert!(!lab.report(1, hot).is_news());
    let shown = &lab.hosts()[0].devices[0];
    assert_eq!(shown.gpu.facts.get(gpu::TEMPERATURE_CELSIUS), Some(80.0));
}

#[test]
fn every_changed_field_is_one_change_and_a_hosts_field_is_told_once() {
    let mut lab = Lab::new();
    lab.report(1, two());
    let mut next = two();
    next.host
        .set(host::DRIVER_VERSION, Ok("590.48.01".to_owned()));
    next.host.set(host::HOSTNAME, Ok("node-one".to_owned()));
    let facts = &mut next.gpus[1].facts;
    facts.set(gpu::POWER_LIMIT_WATTS, Ok(500.0));
    facts.set(gpu::PCI_BUS_ID, Ok("00000000:3a:00.0".to_owned()));
    facts.set(gpu::ECC_ENABLED, Err(Absent::NoPermission));
    facts.set(gpu::INDEX, Ok(7));
    assert_eq!(
        lab.told(1, next),
        [
            "changed node-one hostname node1 -> node-one",
            "changed node-one driver_version 580.95.05 -> 590.48.01",
            "changed GPU-b pci_bus_id 00000000:18:00.0 -> 00000000:3a:00.0",
            "changed GPU-b power_limit_watts 700 -> 500",
            "changed GPU-b ecc_enabled yes -> absent (no_permission)",
        ]
    );
}

#[test]
fn a_field_that_an_older_agent_never_asked_for_does_not_change() {
    let mut lab = Lab::new();
    lab.report(1, two());
    let mut next = two();
    next.gpus[0].facts.set(gpu::SERIAL, Ok("123".to_owned()));
    let observation = lab.report(1, next);
    assert!(observation.changes.is_empty());
    assert_eq!(observation.devices.len(), 1, "but it is kept");
}

#[test]
fn what_could_not_be_read_for_once_is_no_change() {
    let mut lab = Lab::new();
    lab.report(1, two());
    // As when an agent starts and has not asked its worker yet.
    let mut unread = two();
    unread.host.set(host::KERNEL, Err(Absent::Unknown));
    unread
        .host
        .set(host::LIBTORCH_VERSION, Err(Absent::Unknown));
    unread.gpus[0]
        .facts
        .set(gpu::POWER_LIMIT_WATTS, Err(Absent::Unknown));
    assert_eq!(lab.told(1, unread.clone()), NOTHING);
    let shown = &lab.hosts()[0];
    assert_eq!(shown.facts.get(host::KERNEL), None, "and shown as it is");
    let mut next = two();
    next.host
        .set(host::LIBTORCH_VERSION, Ok("2.11.0".to_owned()));
    assert_eq!(lab.told(1, next), NOTHING);
    lab.report(1, unread);
    let mut lower = two();
    lower.gpus[0].facts.set(gpu::POWER_LIMIT_WATTS, Ok(500.0));
    assert_eq!(
        lab.told(1, lower),
        ["changed GPU-a power_limit_watts 700 -> 500"]
    );
}

#[test]
fn a_lost_device_is_one_change_and_so_is_its_return() {
    let mut lab = Lab::new();
    lab.report(1, two());
    let mut lost = two();
    lost.gpus[0]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    assert_eq!(lab.told(1, lost.clone()), ["lost GPU-a"]);
    assert_eq!(lab.told(1, lost), NOTHING);
    // What changed meanwhile is told against what was last known.
    let mut back = two();
    back.gpus[0].facts.set(gpu::ECC_UNCORRECTED, Ok(3));
    assert_eq!(
        lab.told(1, back),
        ["returned GPU-a", "changed GPU-a ecc_uncorrected 0 -> 3"]
    );
}

#[test]
fn a_lost_device_was_last_seen_when_it_answered() {
    let mut lab = Lab::new();
    lab.report(1, two());
    lab.wait(600);
    lab.sample(1, &two());
    let answered = lab.now;
    lab.wait(60);
    let mut lost = two();
    lost.gpus[0]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    lab.report(1, lost.clone());
    lab.wait(600);
    lab.sample(1, &lost);
    assert_eq!(lab.fleet.devices["GPU-a"].last_seen, answered);
    assert_eq!(lab.hosts()[0].devices[0].last_seen, answered);
}

#[test]
fn a_lost_gpu_and_its_instances_are_one_change() {
    let mut lab = Lab::new();
    let mut divided = machine("node1", vec![h200("GPU-a")]);
    divided.gpus[0].instances = vec![instance("MIG-1"), instance("MIG-2")];
    lab.report(1, divided.clone());
    let mut lost = divided.clone();
    let is_lost = |facts: &mut Record| facts.lose(|field| field.name != "uuid", Absent::Lost);
    is_lost(&mut lost.gpus[0].facts);
    for instance in &mut lost.gpus[0].instances {
        is_lost(&mut instance.facts);
    }
    assert_eq!(lab.told(1, lost), ["lost GPU-a"]);
    assert_eq!(lab.told(1, divided.clone()), ["returned GPU-a"]);
    // One that is lost alone is told.
    let mut one = divided;
    is_lost(&mut one.gpus[0].instances[1].facts);
    assert_eq!(lab.told(1, one), ["lost MIG-2"]);
}

#[test]
fn instances_do_not_vanish_with_the_answers_of_their_gpu() {
    let mut lab = Lab::new();
    let mut divided = machine("node1", vec![h200("GPU-a")]);
    divided.gpus[0].instances = vec![instance("MIG-1"), instance("MIG-2")];
    assert_eq!(
        lab.told(1, divided.clone())[1..],
        ["appeared GPU-a", "appeared MIG-1", "appeared MIG-2"]
    );
    let mut lost = machine("node1", vec![h200("GPU-a")]);
    lost.gpus[0]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    assert_eq!(lab.told(1, lost), ["lost GPU-a"]);
    assert_eq!(lab.told(1, divided.clone()), ["returned GPU-a"]);
    divided.gpus[0].instances.pop();
    assert_eq!(lab.told(1, divided), ["vanished MIG-2"]);
    assert_eq!(lab.fleet.devices["MIG-1"].parent.as_deref(), Some("GPU-a"));
}

#[test]
fn a_vanished_device_is_kept_and_may_return() {
    let mut lab = Lab::new();
    lab.report(1, two());
    lab.wait(3600);
    let one = machine("node1", vec![h200("GPU-a")]);
    assert_eq!(lab.told(1, one.clone()), ["vanished GPU-b"]);
    assert_eq!(lab.told(1, one), NOTHING);
    lab.wait(3600);
    assert_eq!(lab.told(1, two()), ["returned GPU-b"]);
    let stays = &lab.fleet.devices["GPU-b"].stays;
    assert_eq!(stays.len(), 2);
    assert!(stays[0].until.is_some() && stays[1].until.is_none());
}

#[test]
fn while_nvml_does_not_work_nothing_vanishes_and_nothing_changes() {
    for state in [NvmlState::Failed, NvmlState::Hung] {
        let mut lab = Lab::new();
        lab.report(1, two());
        let kind = match state {
            NvmlState::Hung => "nvml_hung node1",
            _ => "nvml_failed node1",
        };
        let mut broken = blind("node1", state);
        broken.host.set(host::DRIVER_VERSION, Err(Absent::Unknown));
        assert_eq!(lab.told(1, broken.clone()), [kind]);
        assert_eq!(lab.told(1, broken), NOTHING);
        assert_eq!(lab.fleet.devices["GPU-a"].presence, Presence::Present);
        assert_eq!(lab.told(1, two()), ["nvml_recovered node1"]);
    }
}

#[test]
fn what_is_gone_after_nvml_recovered_has_vanished() {
    let mut lab = Lab::new();
    lab.report(1, two());
    lab.report(1, blind("node1", NvmlState::Failed));
    assert_eq!(
        lab.told(1, machine("node1", vec![h200("GPU-a")])),
        ["nvml_recovered node1", "vanished GPU-b"]
    );
}

#[test]
fn a_driver_that_is_taken_away_takes_its_devices_with_it() {
    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-a")]));
    assert_eq!(
        lab.told(1, blind("node1", NvmlState::NoDriver)),
        ["nvml_no_driver node1", "vanished GPU-a"]
    );
    // A host that never had one is no news.
    assert_eq!(
        lab.told(2, blind("node2", NvmlState::NoDriver)),
        ["host_appeared node2"]
    );
}

#[test]
fn a_card_moves_when_its_old_host_has_given_it_up() {
    let mut lab = Lab::new();
    lab.report(1, two());
    lab.report(1, machine("node1", vec![h200("GPU-a")]));
    let mut card = h200("GPU-b");
    card.facts
        .set(gpu::PCI_BUS_ID, Ok("00000000:99:00.0".to_owned()));
    assert_eq!(
        lab.told(2, machine("node2", vec![card])),
        [
            "host_appeared node2",
            "moved GPU-b (node1)",
            "changed GPU-b pci_bus_id 00000000:18:00.0 -> 00000000:99:00.0"
        ]
    );
}

#[test]
fn a_card_moves_when_its_old_host_is_away() {
    let mut lab = Lab::new();
    lab.report(1, two());
    lab.leave(1);
    assert_eq!(
        lab.told(2, machine("node2", vec![h200("GPU-b")])),
        ["host_appeared node2", "moved GPU-b (node1)"]
    );
    // The old host comes back without it, and has lost nothing that it still had.
    assert_eq!(lab.told(1, machine("node1", vec![h200("GPU-a")])), NOTHING);
    let device = &lab.fleet.devices["GPU-b"];
    assert_eq!(device.machine_id, "m-node2");
    let hosts: Vec<&str> = device
        .stays
        .iter()
        .map(|stay| stay.hostname.as_str())
        .collect();
    assert_eq!(hosts, ["node1", "node2"]);
}

#[test]
fn two_hosts_with_one_uuid_are_told_once_and_do_not_take_turns() {
    let mut lab = Lab::new();
    let first = machine("node1", vec![h200("GPU-x")]);
    let second = machine("node2", vec![h200("GPU-x")]);
    lab.report(1, first.clone());
    assert_eq!(
        lab.told(2, second.clone()),
        ["host_appeared node2", "duplicate GPU-x (node1)"]
    );
    for _ in 0..3 {
        lab.wait(60);
        assert_eq!(lab.told(1, first.clone()), NOTHING);
        assert_eq!(lab.told(2, second.clone()), NOTHING);
        // Restarts of either side are no moves.
        lab.leave(1);
        assert_eq!(lab.told(2, second.clone()), NOTHING);
        lab.leave(2);
        assert_eq!(lab.told(1, first.clone()), NOTHING);
    }
    // Nor is one of the coordinator, in a lab that had nothing to report for days; whoever comes back first.
    lab.wait(3 * 86_400);
    lab.restart();
    assert_eq!(lab.told(2, second.clone()), NOTHING);
    assert_eq!(lab.told(1, first.clone()), NOTHING);
    assert_eq!(lab.fleet.devices["GPU-x"].machine_id, "m-node1");
    assert_eq!(lab.hosts().len(), 2);
    assert!(lab.hosts().iter().all(|view| view.devices.len() == 1));
    // One of them gives it up.
    lab.report(2, second);
    assert_eq!(
        lab.told(1, machine("node1", vec![])),
        ["moved GPU-x (node1)"]
    );
    assert_eq!(lab.fleet.devices["GPU-x"].machine_id, "m-node2");
}

#[test]
fn a_duplicate_that_is_withdrawn_leaves_no_trace_but_its_entry() {
    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-x")]));
    lab.report(2, machine("node2", vec![h200("GPU-x")]));
    assert_eq!(lab.told(2, machine("node2", vec![])), NOTHING);
    assert!(lab.fleet.devices["GPU-x"].duplicates.is_empty());
    assert_eq!(lab.fleet.devices["GPU-x"].machine_id, "m-node1");
}

#[test]
fn agents_in_containers_of_one_host_see_their_part_and_miss_no_other() {
    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-a")]));
    assert_eq!(
        lab.told(2, machine("node1", vec![h200("GPU-b")])),
        ["appeared GPU-b"]
    );
    assert_eq!(lab.told(1, machine("node1", vec![h200("GPU-a")])), NOTHING);
    lab.leave(2);
    let mut next = machine("node1", vec![h200("GPU-a")]);
    next.host.set(host::KERNEL, Ok("6.9".to_owned()));
    assert_eq!(
        lab.told(1, next),
        ["changed node1 kernel 6.8.0-45 -> 6.9"],
        "GPU-b was never this agent's to miss"
    );
}

#[test]
fn two_agents_that_see_one_device_differently_make_no_event_a_minute() {
    let mut lab = Lab::new();
    let first = machine("node1", vec![h200("GPU-a")]);
    let mut second = first.clone();
    second.host.set(host::AGENT_VERSION, Ok("0.2.0".to_owned()));
    let facts = &mut second.gpus[0].facts;
    facts.set(gpu::POWER_LIMIT_WATTS, Err(Absent::NoPermission));
    lab.report(1, first.clone());
    for _ in 0..3 {
        assert_eq!(lab.told(2, second.clone()), NOTHING);
        assert_eq!(lab.told(1, first.clone()), NOTHING);
    }
    // A driver that is replaced under both is told once.
    for (number, document) in [(1, first), (2, second)] {
        let mut next = document;
        next.host.set(host::DRIVER_VERSION, Ok("590.1".to_owned()));
        let told = lab.told(number, next);
        let expected: &[&str] = match number {
            1 => &["changed node1 driver_version 580.95.05 -> 590.1"],
            _ => &[],
        };
        assert_eq!(told, expected);
    }
}

#[test]
fn a_new_agent_id_on_the_same_host_takes_over() {
    let mut lab = Lab::new();
    lab.report(1, two());
    lab.leave(1);
    let mut next = machine("node1", vec![h200("GPU-a")]);
    next.host.set(host::AGENT_VERSION, Ok("0.2.0".to_owned()));
    assert_eq!(
        lab.told(2, next),
        [
            "changed node1 agent_version 0.1.0 -> 0.2.0",
            "vanished GPU-b"
        ]
    );
}

#[test]
fn an_agent_that_is_carried_to_another_machine_carries_no_device_along() {
    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-a")]));
    assert_eq!(
        lab.told(1, machine("node2", vec![h200("GPU-z")])),
        ["host_appeared node2", "appeared GPU-z"]
    );
    assert_eq!(lab.fleet.devices["GPU-a"].presence, Presence::Present);
    assert_eq!(lab.fleet.devices["GPU-a"].machine_id, "m-node1");
}

#[test]
fn what_was_committed_is_all_there_is_after_a_restart() {
    let mut lab = Lab::new();
    let mut lost = two();
    lost.gpus[1]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    lab.report(1, two());
    lab.report(1, lost.clone());
    lab.restart();
    assert_eq!(lab.told(1, lost), NOTHING);
    let told: Vec<ChangeKind> = lab
        .report(1, two())
        .changes
        .iter()
        .map(|change| change.kind)
        .collect();
    assert_eq!(told, [ChangeKind::Returned]);
}
