//! Requests that cannot be met, sweeps that wait for their devices, and reports that lie.

use batchstep_proto::domain::{
    AttemptOutcome, AttemptReport, DeviceKind, DeviceSelector, Dtype, VisitFailure,
    VisitFailureKind, VisitRole,
};

use super::{
    fixtures::{device, report, spec},
    world::World,
};
use crate::fleet::{Answer, Refusal};

fn refusal(answer: Answer) -> String {
    match answer {
        Answer::Refused(Refusal::Invalid(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn impossible_requests_are_refused_with_what_is_known() {
    let listed = |id: &str| DeviceSelector::Listed(vec![id.to_owned()]);
    let table: [(&[&[&str]], DeviceSelector, Dtype, &str); 6] = [
        (
            &[],
            listed("GPU-x"),
            Dtype::F32,
            "no device \"GPU-x\": no agent is connected yet; start one with `batchstep-agent run`",
        ),
        (
            &[&["CPU-a", "GPU-b"]],
            listed("GPU-x"),
            Dtype::F32,
            "no device \"GPU-x\"; known: CPU-a, GPU-b",
        ),
        (&[], DeviceSelector::Cpu, Dtype::Tf32, "dtype tf32 needs"),
        (
            &[&["CPU-a", "GPU-b"]],
            DeviceSelector::Cpu,
            Dtype::Tf32,
            "dtype tf32 needs",
        ),
        (
            &[&["CPU-a", "GPU-b"]],
            listed("CPU-a"),
            Dtype::Tf32,
            "dtype tf32 needs",
        ),
        (
            &[&["CPU-a"]],
            DeviceSelector::All,
            Dtype::Tf32,
            "dtype tf32 needs",
        ),
    ];
    for (hosts, devices, dtype, expected) in table {
        let mut world = World::new(1, hosts);
        for agent in 0..hosts.len() {
            world.connect(agent);
        }
        let mut wanted = spec();
        wanted.devices = devices;
        wanted.dtype = dtype;
        let message = refusal(world.submit(wanted).1);
        assert!(message.starts_with(expected), "{message}");
        assert!(world.state.idle());
        assert!(world.ledger.sweeps.is_empty());
    }
}

#[test]
fn each_selector_finds_its_devices() {
    let hosts: &[&[&str]] = &[&["CPU-a"], &["CPU-b", "GPU-b"]];
    let listed = DeviceSelector::Listed(vec!["CPU-b".into(), "CPU-a".into(), "CPU-b".into()]);
    let table = [
        (DeviceSelector::All, Dtype::F32, vec!["CPU-a", "GPU-b"]),
        (DeviceSelector::All, Dtype::Tf32, vec!["GPU-b"]),
        (DeviceSelector::Cpu, Dtype::F32, vec!["CPU-a", "CPU-b"]),
        (DeviceSelector::Gpu, Dtype::Tf32, vec!["GPU-b"]),
        (listed, Dtype::F32, vec!["CPU-a", "CPU-b"]),
    ];
    for (devices, dtype, expected) in table {
        let mut world = World::new(1, hosts);
        world.connect(0);
        world.connect(1);
        let mut wanted = spec();
        wanted.devices = devices;
        wanted.dtype = dtype;
        wanted.threads = Some(7);
        let (sweep, _) = world.submit(wanted);
        let series = world.state.sweep(sweep).unwrap().series;
        let chosen: Vec<_> = series
            .iter()
            .map(|series| series.device_id.as_str())
            .collect();
        assert_eq!(chosen, expected);
        for series in &series {
            let is_cpu = series.device_id.starts_with("CPU-");
            assert_eq!(series.threads, is_cpu.then_some(7));
        }
    }
}

#[test]
fn simulated_devices_are_meant_where_there_is_nothing_else_or_by_name() {
    let chosen = |hosts: &[&[&str]], devices: DeviceSelector| {
        let mut world = World::new(1, hosts);
        for agent in 0..hosts.len() {
            world.connect(agent);
        }
        let mut wanted = spec();
        wanted.devices = devices;
        let (sweep, _) = world.submit(wanted);
        let series = world.state.sweep(sweep).unwrap().series;
        series
            .into_iter()
            .map(|series| series.device_id)
            .collect::<Vec<_>>()
    };
    let mixed: &[&[&str]] = &[&["SIM-a", "SIM-b"], &["CPU-c"]];
    let named = DeviceSelector::Listed(vec!["SIM-b".into(), "CPU-c".into()]);
    assert_eq!(chosen(mixed, DeviceSelector::All), ["CPU-c"]);
    assert_eq!(chosen(mixed, DeviceSelector::Cpu), ["CPU-c"]);
    assert_eq!(chosen(mixed, named), ["CPU-c", "SIM-b"]);
    let alone = &mixed[..1];
    assert_eq!(chosen(alone, DeviceSelector::All), ["SIM-a", "SIM-b"]);
    assert!(chosen(alone, DeviceSelector::Gpu).is_empty());
}

#[test]
fn more_threads_than_the_processor_has_are_refused() {
    for (threads, refused) in [(4, false), (5, true)] {
        let mut world = World::new(1, &[&["CPU-a"]]);
        world.agents[0].devices[0].compute_units = Some(4);
        world.connect(0);
        let mut wanted = spec();
        wanted.devices = DeviceSelector::Cpu;
        wanted.threads = Some(threads);
        let answer = world.submit(wanted).1;
        if refused {
            let message = refusal(answer);
            assert!(message.contains("CPU-a has 4 logical cores"), "{message}");
            assert!(world.ledger.sweeps.is_empty());
        } else {
            assert!(matches!(answer, Answer::Submitted(_)), "{answer:?}");
        }
    }
}

#[test]
fn a_sweep_waits_for_its_first_device_and_is_fixed_then() {
    let mut world = World::new(1, &[&["CPU-a"], &["GPU-b"], &["GPU-c"]]);
    let mut wanted = spec();
    wanted.devices = DeviceSelector::Gpu;
    let (sweep, submitted) = world.submit(wanted.clone());
    assert_eq!(submitted, Answer::Submitted(sweep));
    let explanation = |world: &World| world.state.sweep(sweep).unwrap().explanation;
    assert!(explanation(&world)[0].starts_with("no agent is connected yet"));
    world.connect(0);
    assert_eq!(
        explanation(&world),
        ["no agent has a matching device: an NVIDIA GPU is wanted for dtype f32; known: CPU-a"]
    );
    world.connect(1);
    assert!(explanation(&world).is_empty());
    world.connect(2);
    assert_eq!(world.state.sweep(sweep).unwrap().series.len(), 1);
}

#[test]
fn a_request_made_twice_is_one_sweep() {
    let mut world = World::new(1, &[]);
    let submit = |world: &mut World, sweep| {
        let effects = world.feed(crate::fleet::Input::Submit {
            reply: crate::fleet::ReplyKey(1),
            request: super::fixtures::uuid(1),
            sweep: super::fixtures::uuid(sweep),
            spec: Box::new(spec()),
        });
        super::world::answer(&effects)
    };
    let first = submit(&mut world, 2);
    assert_eq!(submit(&mut world, 3), first);
    assert_eq!(world.ledger.sweeps.len(), 1);
}

#[test]
fn reports_that_are_not_of_their_round_are_refused() {
    let mut world = World::new(1, &[&["GPU-x"]]);
    world.connect(0);
    world.submit(spec());
    world.step(0);
    let (agent, attempt) = (world.agents[0].id, world.held(0));
    let held = world.agents[0].held.get_mut(&attempt).unwrap();
    let mut counter = 0;
    let good = report(
        attempt,
        held,
        Some(AttemptOutcome::Finished),
        2,
        &mut counter,
    );
    type Lie = fn(&mut AttemptReport);
    let lies: [(Lie, &str); 6] = [
        (
            |r| r.blocks[0].visit = 2,
            "report.blocks: visit 2 is not one of the round's 2",
        ),
        (
            |r| r.blocks[0].batch_size = 9,
            "report.blocks: visit 0 is of batch size 1, not 9",
        ),
        (
            |r| r.blocks[0].role = VisitRole::Reference,
            "report.blocks: visit 0 is a measure visit",
        ),
        (
            |r| r.blocks[1] = r.blocks[0].clone(),
            "report.blocks: visit 0 is reported twice",
        ),
        (
            |r| r.round = super::fixtures::uuid(3),
            "report.round_id: attempt",
        ),
        (
            |r| {
                r.failures = vec![VisitFailure {
                    visit: 1,
                    batch_size: 101,
                    kind: VisitFailureKind::OutOfMemory,
                    message: String::new(),
                }];
            },
            "report.failures: visit 1 is reported twice",
        ),
    ];
    for (lie, expected) in lies {
        let mut bad = good.clone();
        lie(&mut bad);
        let message = refusal(world.send_report(agent, bad));
        assert!(message.starts_with(expected), "{message}");
        assert!(world.ledger.reports.is_empty());
    }
    assert_eq!(world.send_report(agent, good), super::world::ACCEPTED);
}

#[test]
fn an_agent_cannot_take_a_device_from_one_that_is_connected() {
    let mut world = World::new(1, &[&["GPU-x"], &["GPU-x"]]);
    world.connect(0);
    world.connect(1);
    world.agents[1].devices = vec![device("GPU-x", DeviceKind::Cuda)];
    world.submit(spec());
    assert_eq!(world.agents[0].held.len(), 1);
    assert!(world.agents[1].held.is_empty());
}
