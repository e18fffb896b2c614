//! What people see: states, ages, what is last known, and JSON.

use batchstep_proto::{
    domain::{Device, DeviceKind, HostFacts},
    inventory::{
        Absent, NvmlState,
        catalogue::{gpu, host},
    },
    limits,
};
use jiff::SignedDuration;

use super::lab::{Lab, agent, blind, h200, instance, machine};
use crate::inventory::{Refused, State, Wanted, document_from, machine_id, sample_from};

fn states(lab: &Lab) -> Vec<(String, State)> {
    lab.hosts()
        .iter()
        .flat_map(|view| {
            let devices = view.all_devices();
            let states: Vec<_> = devices
                .map(|device| (device.device.uuid.clone(), device.state))
                .collect();
            states
        })
        .collect()
}

fn state(lab: &Lab, uuid: &str) -> State {
    states(lab)
        .into_iter()
        .find(|(it, _)| it == uuid)
        .unwrap()
        .1
}

#[test]
fn a_device_is_unknown_while_nobody_can_tell() {
    let mut lab = Lab::new();
    let document = machine("node1", vec![h200("GPU-a")]);
    lab.report(1, document.clone());
    assert_eq!(state(&lab, "GPU-a"), State::Present);
    lab.leave(1);
    assert_eq!(state(&lab, "GPU-a"), State::Unknown);
    lab.report(1, blind("node1", NvmlState::Failed));
    assert_eq!(
        state(&lab, "GPU-a"),
        State::Unknown,
        "in no document, and known"
    );
    lab.report(1, document);
    assert_eq!(state(&lab, "GPU-a"), State::Present);
    lab.report(1, machine("node1", vec![]));
    assert_eq!(state(&lab, "GPU-a"), State::Vanished);
    // What was last read stays.
    let hosts = lab.hosts();
    let shown = &hosts[0].devices[0];
    assert_eq!(shown.gpu.facts.get(gpu::SM_COUNT), Some(132));
    assert_eq!(shown.gpu.facts.get(gpu::TEMPERATURE_CELSIUS), None);
    // Its number may be another one's now.
    assert_eq!(shown.gpu.facts.get(gpu::INDEX), None);
    assert!(shown.gpu.facts.get(gpu::PCI_BUS_ID).is_some());
}

#[test]
fn an_old_document_of_an_agent_that_left_brings_nothing_back() {
    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-a"), h200("GPU-b")]));
    lab.leave(1);
    lab.report(2, machine("node1", vec![h200("GPU-a")]));
    assert_eq!(
        states(&lab),
        [
            ("GPU-a".to_owned(), State::Present),
            ("GPU-b".to_owned(), State::Vanished)
        ]
    );
    let view = &lab.hosts()[0];
    assert_eq!(view.agents[0].0, agent(2), "who is connected is believed");
}

#[test]
fn a_moved_card_is_shown_where_it_is_with_where_it_was() {
    let mut lab = Lab::new();
    lab.report(1, machine("node1", vec![h200("GPU-a")]));
    lab.leave(1);
    lab.wait(60);
    lab.report(2, machine("node2", vec![h200("GPU-a")]));
    let hosts = lab.hosts();
    assert!(hosts[0].devices.is_empty() && hosts[1].devices.len() == 1);
    let json = hosts[1].to_json(lab.now);
    let previous = &json["gpus"][0]["previous_hosts"];
    assert_eq!(previous[0]["hostname"], "node1");
    assert_eq!(previous[0]["until"], "2026-11-25T12:01:00Z");
    assert_eq!(previous.as_array().unwrap().len(), 1);
}

#[test]
fn samples_bring_live_values_and_nothing_else() {
    let mut lab = Lab::new();
    let mut document = machine("node1", vec![h200("GPU-a")]);
    document.gpus[0].instances = vec![instance("MIG-1")];
    lab.report(1, document.clone());
    lab.wait(200);
    document.gpus[0]
        .facts
        .set(gpu::TEMPERATURE_CELSIUS, Ok(61.0));
    document.gpus[0].facts.set(gpu::POWER_LIMIT_WATTS, Ok(1.0));
    document.nvml.state = NvmlState::Hung;
    lab.sample(1, &document);
    let hosts = lab.hosts();
    let shown = &hosts[0].devices[0];
    assert_eq!(shown.gpu.facts.get(gpu::TEMPERATURE_CELSIUS), Some(61.0));
    assert_eq!(shown.gpu.facts.get(gpu::POWER_LIMIT_WATTS), Some(700.0));
    assert_eq!(shown.state, State::Unknown, "NVML hangs since");
    assert!(shown.is_read(lab.now) && !shown.is_live(lab.now));
    assert!(!shown.is_read(lab.now + SignedDuration::from_secs(301)));
    // Of an agent that has not reported there is nothing to bring up to date.
    lab.sample(9, &document);
    assert_eq!(lab.hosts().len(), 1);
}

#[test]
fn when_something_was_last_seen_is_known_without_writing() {
    let mut lab = Lab::new();
    let document = machine("node1", vec![h200("GPU-a")]);
    lab.report(1, document.clone());
    let first = lab.now;
    lab.wait(600);
    lab.sample(1, &document);
    lab.wait(5);
    let seen = lab.fleet.seen(lab.now);
    assert_eq!(seen.hosts, [("m-node1".to_owned(), lab.now)]);
    let read = lab.now - SignedDuration::from_secs(5);
    assert_eq!(seen.devices, [("GPU-a".to_owned(), read)]);
    lab.fleet.settle(&seen);
    assert!(lab.fleet.seen(lab.now).is_empty());
    let json = lab.hosts()[0].to_json(lab.now);
    assert_eq!(json["first_seen"], first.to_string());
    assert_eq!(json["gpus"][0]["last_seen"], read.to_string());
    assert_eq!(json["gpus"][0]["snapshot_age_seconds"], 5.0);
    // Who has left is seen no more.
    lab.leave(1);
    lab.wait(60);
    assert!(lab.fleet.seen(lab.now).is_empty());
}

#[test]
fn a_lost_device_is_honest_about_its_values_and_keeps_its_name() {
    let mut lab = Lab::new();
    let mut document = machine("node1", vec![h200("GPU-a")]);
    lab.report(1, document.clone());
    document.gpus[0]
        .facts
        .lose(|field| field.name != "uuid", Absent::Lost);
    lab.report(1, document);
    let json = lab.hosts()[0].to_json(lab.now);
    let gpu = &json["gpus"][0];
    assert_eq!(gpu["state"], "lost");
    assert_eq!(gpu["model"], "NVIDIA H200");
    // Who looks for it has to know where; of its counters and of the moment nothing is known.
    assert_eq!(gpu["name"], "NVIDIA H200");
    assert_eq!(gpu["pci_bus_id"], "00000000:18:00.0");
    assert_eq!(gpu["index"], 0);
    for gone in ["ecc_uncorrected", "temperature_celsius"] {
        assert!(
            gpu[gone].is_null() && gpu["absent"][gone] == "lost",
            "{gone}"
        );
    }
    assert_eq!(gpu["live_values_are_fresh"], false);
    assert_eq!(lab.chosen("slot~18:00"), ["GPU-a"]);
}

#[test]
fn hosts_and_models_are_chosen_by_parts_of_their_names() {
    let mut lab = Lab::new();
    let mut divided = machine("node1", vec![h200("GPU-a")]);
    divided.gpus[0].instances = vec![instance("MIG-1")];
    lab.report(1, divided);
    lab.report(2, machine("node2", vec![]));
    let names = |wanted: Wanted| -> Vec<String> {
        lab.fleet
            .hosts(lab.now, &wanted)
            .map(|view| view.hostname())
            .collect()
    };
    let by_host = |host: &str| Wanted {
        host: Some(host.to_owned()),
        ..Wanted::default()
    };
    assert_eq!(names(by_host("NODE")), ["node1", "node2"]);
    assert_eq!(names(by_host(&agent(2).to_string())), ["node2"]);
    let by_model = Wanted {
        model: Some("mig 1g".to_owned()),
        ..Wanted::default()
    };
    let view = lab.fleet.hosts(lab.now, &by_model).next().unwrap();
    assert!(
        !view.devices[0].is_wanted,
        "the GPU is there for its instance"
    );
    assert_eq!(view.devices[0].instances.len(), 1);
    assert_eq!(names(by_model), ["node1"]);
}

#[test]
fn an_agent_without_an_inventory_is_no_secret() {
    let mut lab = Lab::new();
    lab.connect(1, "node1");
    let json = lab.hosts()[0].to_json(lab.now);
    assert_eq!(json["hostname"], "node1");
    assert_eq!(json["has_inventory"], false);
    assert_eq!(json["connected"], true);
    assert!(json["snapshot_age_seconds"].is_null());
}

#[test]
fn an_older_agents_report_is_made_a_document() {
    let facts = HostFacts {
        hostname: "node1".to_owned(),
        machine_id: "m1".to_owned(),
        agent_version: "0.0.9".to_owned(),
        ..HostFacts::default()
    };
    let device = |id: &str, kind| Device {
        id: id.to_owned(),
        kind,
        model: "NVIDIA H200".to_owned(),
        compute_units: Some(132),
        memory_bytes: None,
        mig_profile: None,
        compute_capability: Some("9.0".to_owned()),
        driver: Some("580.1".to_owned()),
        pci_device_id: None,
        ineligible: Vec::new(),
    };
    let devices = [
        device("GPU-a", DeviceKind::Cuda),
        device("CPU-m1", DeviceKind::Cpu),
    ];
    let document = document_from(b"", &facts, &devices).unwrap();
    assert_eq!(document.gpus.len(), 1);
    let gpu = &document.gpus[0].facts;
    assert_eq!(gpu.get(gpu::SM_COUNT), Some(132));
    assert_eq!(
        gpu.reading(gpu::MEMORY_TOTAL_BYTES.field()),
        Some(&Err(Absent::Unknown)),
        "not known is not 0"
    );
    assert!(document.problems[0].contains("0.0.9"));
    assert_eq!(machine_id(&document, &facts, agent(1)), "m1");
    let nameless = document_from(b"", &HostFacts::default(), &[]).unwrap();
    assert_eq!(
        machine_id(&nameless, &HostFacts::default(), agent(1)),
        format!("agent-{}", agent(1))
    );
}

#[test]
fn texts_without_end_are_refused_by_the_name_of_their_field() {
    let long = "x".repeat(limits::STRING_BYTES + 1);
    let refused = |edit: &dyn Fn(&mut batchstep_proto::inventory::Document)| {
        let mut document = machine("node1", vec![h200("GPU-a")]);
        edit(&mut document);
        document_from(&document.to_bytes(), &HostFacts::default(), &[])
            .unwrap_err()
            .to_string()
    };
    let name = refused(&|it| it.gpus[0].facts.set(gpu::NAME, Ok(long.clone())));
    assert!(name.contains("`name`") && name.contains("4097"), "{name}");
    let os = refused(&|it| it.host.set(host::OS, Ok(long.clone())));
    assert!(os.contains("`os`"), "{os}");
    let problem = refused(&|it| it.gpus[0].problems.push(long.clone()));
    assert!(problem.contains("problems"), "{problem}");
    assert!(matches!(
        sample_from(&vec![b' '; 2 << 20]),
        Err(Refused::TooLarge(_))
    ));
    assert!(sample_from(b"\xff").is_err());
}
