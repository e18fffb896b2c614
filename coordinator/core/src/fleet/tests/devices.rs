//! Devices that come while their agent runs, and devices on which no trial can start.

use batchstep_proto::{
    domain::{Device, DeviceKind, DeviceSelector, Ineligibility},
    limits,
};

use super::{
    fixtures::{device, spec},
    world::World,
};
use crate::fleet::{Input, selection::LASTING};

fn gpu(id: &str, code: &str) -> Device {
    let mut gpu = device(id, DeviceKind::Cuda);
    if !code.is_empty() {
        gpu.ineligible = vec![Ineligibility {
            code: code.to_owned(),
            message: format!("it is {code}"),
        }];
    }
    gpu
}

/// The agent says that these devices changed.
fn change(world: &mut World, agent: usize, changed: Vec<Device>) {
    let session = world.agents[agent].session.unwrap();
    world.feed(Input::Heartbeat {
        session,
        sequence: 1,
        draining: false,
        changed,
    });
}

#[test]
fn a_gpu_that_is_added_while_its_agent_runs_is_offered_at_once() {
    let mut world = World::new(1, &[&["CPU-a"]]);
    world.connect(0);
    let mut only_gpus = spec();
    only_gpus.devices = DeviceSelector::Gpu;
    let (sweep, _) = world.submit(only_gpus);
    assert!(world.state.sweep(sweep).unwrap().series.is_empty());
    change(&mut world, 0, vec![gpu("GPU-new", "")]);
    let view = world.state.sweep(sweep).unwrap();
    assert_eq!(view.series.len(), 1);
    assert_eq!(view.series[0].device_id, "GPU-new");
    assert_eq!(world.agents[0].held.len(), 1, "and it has work");
    world.run();
    assert_eq!(world.ledger.blocks(), [2]);
    let agents = world.state.agents();
    assert_eq!(agents[0].devices.len(), 2);
}

#[test]
fn an_added_gpu_is_its_first_agents_until_that_goes() {
    let mut world = World::new(1, &[&["GPU-x"], &["CPU-b"]]);
    world.connect(0);
    world.connect(1);
    change(&mut world, 1, vec![gpu("GPU-x", "")]);
    let mut listed = spec();
    listed.devices = DeviceSelector::Listed(vec!["GPU-x".to_owned()]);
    world.submit(listed);
    assert_eq!(world.agents[0].held.len(), 1);
    assert!(world.agents[1].held.is_empty());
}

#[test]
fn an_agent_cannot_add_devices_without_end() {
    let mut world = World::new(1, &[&["CPU-a"]]);
    world.connect(0);
    let many = (0..limits::DEVICES_PER_AGENT).map(|number| gpu(&format!("GPU-{number}"), ""));
    change(&mut world, 0, many.collect());
    assert_eq!(
        world.state.agents()[0].devices.len(),
        limits::DEVICES_PER_AGENT
    );
    // What was taken can still change.
    change(&mut world, 0, vec![gpu("GPU-0", "hot")]);
    let agents = world.state.agents();
    let changed = agents[0].devices.iter().find(|known| known.id == "GPU-0");
    assert_eq!(changed.unwrap().ineligible.len(), 1);
}

#[test]
fn the_gpu_of_mig_instances_gets_no_series_of_its_own() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.agents[0].devices = vec![gpu("GPU-x", "mig_parent"), gpu("MIG-1", "")];
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    let view = world.state.sweep(sweep).unwrap();
    assert_eq!(view.series.len(), 1);
    assert_eq!(view.series[0].device_id, "MIG-1");
    world.run();
    assert!(world.state.idle(), "the sweep ends");
}

#[test]
fn a_sweep_without_a_fit_gpu_says_why_and_begins_when_one_is_mended() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.agents[0].devices = vec![
        gpu("GPU-x", "driver_too_old"),
        gpu("GPU-y", "mig_parent"),
        device("CPU-a", DeviceKind::Cpu),
    ];
    world.connect(0);
    let (sweep, _) = world.submit(spec());
    let view = world.state.sweep(sweep).unwrap();
    // The processor of a host with GPUs is no substitute for them.
    assert!(view.series.is_empty());
    let said = view.explanation.join("\n");
    for part in [
        "GPU-x on host-",
        "it is driver",
        "GPU-y",
        "it is mig_parent",
    ] {
        assert!(said.contains(part), "{said}");
    }
    change(&mut world, 0, vec![gpu("GPU-x", "")]);
    let view = world.state.sweep(sweep).unwrap();
    assert_eq!(view.series.len(), 1);
    // The other is left out of it, and that is said.
    let said = view.explanation.join("\n");
    assert!(
        said.contains("left out") && said.contains("GPU-y on host-") && !said.contains("GPU-x"),
        "{said}"
    );
    change(&mut world, 0, vec![gpu("GPU-y", "")]);
    let view = world.state.sweep(sweep).unwrap();
    assert_eq!(view.explanation, Vec::<String>::new());
}

#[test]
fn an_unfit_gpu_that_is_asked_for_by_name_waits_with_its_reason() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.agents[0].devices = vec![gpu("GPU-x", "mig_parent")];
    world.connect(0);
    let mut listed = spec();
    listed.devices = DeviceSelector::Listed(vec!["GPU-x".to_owned()]);
    let (sweep, _) = world.submit(listed);
    assert_eq!(
        world.explanation(sweep, 0),
        "device GPU-x: it is mig_parent"
    );
}

#[test]
fn the_guide_says_which_reasons_last() {
    let guide =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/inventory.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    let lasting: Vec<&str> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | yes |"))
        .map(|(code, _)| code)
        .collect();
    let mut known = LASTING.to_vec();
    let mut written = lasting.clone();
    known.sort_unstable();
    written.sort_unstable();
    assert_eq!(written, known);
}

#[test]
fn no_set_of_devices_waits_for_one_whose_reason_lasts() {
    for code in LASTING {
        let mut world = World::new(1, &[&["GPU-x"]]);
        world.agents[0].devices = vec![gpu("GPU-x", code), gpu("GPU-y", "")];
        world.connect(0);
        let (sweep, _) = world.submit(spec());
        let view = world.state.sweep(sweep).unwrap();
        assert_eq!(view.series.len(), 1, "{code}");
        let said = view.explanation.join(" ");
        assert!(said.contains("GPU-x on") && said.contains(code), "{said}");
        world.run();
        assert!(world.state.idle(), "{code}: the sweep ends");
    }
}
