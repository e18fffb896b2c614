//! Every workload as libtorch really runs it on this machine's processors: it learns, it repeats itself, and it is what its facts say.
#![allow(clippy::unwrap_used)]

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use batchstep_proto::{
    domain::{Dtype, Mode},
    workload::WorkloadSpec,
};
use batchstep_worker::{
    measure::Subject as _,
    network::{Model, Objective},
    session::{Place, Session, SessionKey},
};
use tch::{CModule, Device, Kind, Tensor};

/// libtorch has one random generator a process, and a worker has one network: tests of one process take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Small versions of every built-in network, and the iterations after which each has learned its batch by heart.
const NETWORKS: &[(&str, usize)] = &[
    ("cnn:image=16,width=4,classes=3", 60),
    ("linear:inputs=16,outputs=4", 300),
    ("conv:image=4,inputs=2,outputs=2", 300),
    ("matmul:rows=2,k=16,n=4", 300),
    ("resnet50:image=32,classes=3", 12),
    ("transformer:tokens=4,width=16,heads=2,hidden=32", 300),
];

fn key(workload: &str, mode: Mode, dtype: Dtype) -> SessionKey {
    SessionKey {
        workload: workload.parse().unwrap(),
        mode,
        dtype,
        seed: 7,
        threads: Some(1),
    }
}

/// The losses of `iterations` iterations on one batch.
fn losses(key: &SessionKey, batch_size: u32, iterations: usize) -> Vec<f64> {
    let place = Place::Cpu;
    let mut session = Session::build(&place, key).unwrap();
    session.prepare(batch_size).unwrap();
    (0..iterations)
        .map(|_| session.step().unwrap().double_value(&[]))
        .collect()
}

fn assert_falls(losses: &[f64], name: &str) {
    let (first, last) = (losses[0], losses[losses.len() - 1]);
    assert!(first.is_finite() && first > 0.0, "{name}: {first}");
    assert!(last < 0.9 * first, "{name}: {first} to {last}");
}

#[test]
fn every_network_learns_a_batch_by_heart() {
    let _alone = alone();
    for (workload, iterations) in NETWORKS {
        let losses = losses(&key(workload, Mode::Train, Dtype::F32), 4, *iterations);
        assert_falls(&losses, workload);
    }
}

#[test]
fn a_seed_and_a_thread_count_fix_every_loss() {
    let _alone = alone();
    for (workload, _) in NETWORKS {
        let key = key(workload, Mode::Train, Dtype::F32);
        assert_eq!(losses(&key, 3, 4), losses(&key, 3, 4), "{workload}");
        let other = SessionKey {
            seed: 8,
            ..key.clone()
        };
        assert_ne!(losses(&key, 3, 4), losses(&other, 3, 4), "{workload}");
    }
}

#[test]
fn half_precision_trains_on_a_cpu() {
    let _alone = alone();
    for dtype in [Dtype::Bf16, Dtype::F16] {
        for workload in [
            "linear:inputs=16,outputs=4",
            "cnn:image=16,width=4,classes=3",
            "transformer:tokens=4,width=16,heads=2,hidden=32",
        ] {
            let losses = losses(&key(workload, Mode::Train, dtype), 4, 150);
            assert_falls(&losses, &format!("{workload} in {dtype}"));
        }
    }
}

#[test]
fn tf32_is_refused_on_a_cpu_with_what_would_work() {
    let _alone = alone();
    let place = Place::Cpu;
    let failure = Session::build(&place, &key("linear", Mode::Train, Dtype::Tf32))
        .err()
        .unwrap();
    assert!(
        failure.message.contains("use f32, bf16 or f16 on a CPU"),
        "{failure}"
    );
}

#[test]
fn inference_leaves_no_gradient_and_repeats_itself() {
    let _alone = alone();
    let place = Place::Cpu;
    for (workload, _) in NETWORKS {
        let key = key(workload, Mode::Infer, Dtype::F32);
        let mut session = Session::build(&place, &key).unwrap();
        assert_eq!(*session.model().objective(), Objective::None);
        session.prepare(2).unwrap();
        let first = session.step().unwrap();
        assert!(!first.requires_grad(), "{workload}");
        let second = session.step().unwrap();
        assert!(first.equal(&second), "{workload}: running it changed it");
    }
}

#[test]
fn networks_have_the_parameters_their_facts_say() {
    let _alone = alone();
    for text in NETWORKS.iter().map(|(text, _)| *text).chain([
        "cnn",
        "linear",
        "conv:kernel=5,stride=3",
        "matmul",
        "resnet50",
        "transformer",
    ]) {
        let spec: WorkloadSpec = text.parse().unwrap();
        let model = Model::build(&spec, Mode::Train, Dtype::F32, Device::Cpu, 0, None).unwrap();
        assert_eq!(
            Some(model.parameter_count()),
            spec.parameter_count(),
            "{text}"
        );
        let shape: Vec<i64> = spec.input_shape().into_iter().map(i64::from).collect();
        assert_eq!(model.input_shape(), shape, "{text}");
    }
}

#[test]
fn a_batch_is_a_contiguous_part_of_resident_data() {
    let _alone = alone();
    let place = Place::Cpu;
    let key = key("linear:inputs=8,outputs=3", Mode::Infer, Dtype::F32);
    let mut session = Session::build(&place, &key).unwrap();
    for (batch_size, rows) in [(5, 5), (3, 3), (64, 64), (1, 1)] {
        session.prepare(batch_size).unwrap();
        assert_eq!(session.step().unwrap().size(), [rows, 3]);
    }
    session.release();
    assert!(session.step().is_err(), "nothing is prepared any more");
}

/// Writes a fully connected layer of 6 inputs and 3 outputs with libtorch itself.
fn export(path: &Path) {
    let weight = Tensor::randn([3, 6], (Kind::Float, Device::Cpu)) * 0.1;
    let mut closure = |inputs: &[Tensor]| vec![inputs[0].matmul(&weight.tr())];
    let example = Tensor::zeros([2, 6], (Kind::Float, Device::Cpu));
    let module =
        CModule::create_by_tracing("Exported", "forward", &[example], &mut closure).unwrap();
    module.save(path).unwrap();
}

#[test]
fn an_exported_network_is_run_and_its_errors_name_the_file() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pt");
    export(&path);
    let path = path.display();
    let place = Place::Cpu;
    let infer = key(
        &format!("torchscript:path={path},input=6"),
        Mode::Infer,
        Dtype::F32,
    );
    let mut session = Session::build(&place, &infer).unwrap();
    session.prepare(5).unwrap();
    assert_eq!(session.step().unwrap().size(), [5, 3]);

    let untrainable = SessionKey {
        mode: Mode::Train,
        ..infer
    };
    let failure = Session::build(&place, &untrainable).err().unwrap();
    assert!(failure.message.contains("target=class:N"), "{failure}");

    let wrong_shape = key(
        &format!("torchscript:path={path},input=7"),
        Mode::Infer,
        Dtype::F32,
    );
    let mut session = Session::build(&place, &wrong_shape).unwrap();
    session.prepare(5).unwrap();
    let failure = session.step().unwrap_err();
    assert!(
        failure.message.contains("cannot be multiplied") && failure.message.contains("net.pt"),
        "{failure}"
    );

    let text = folder.path().join("text.pt");
    std::fs::write(&text, "no archive").unwrap();
    let broken = key(
        &format!("torchscript:path={},input=6", text.display()),
        Mode::Infer,
        Dtype::F32,
    );
    let failure = Session::build(&place, &broken).err().unwrap();
    assert!(
        failure.message.contains("text.pt") && !failure.message.contains('\n'),
        "{failure}"
    );
}

#[test]
fn a_users_network_is_trained() {
    let _alone = alone();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/perceptron.pt");
    let place = Place::Cpu;
    for (target, dtype) in [
        ("class:3", Dtype::F32),
        ("values:3", Dtype::F32),
        ("class:3", Dtype::Bf16),
    ] {
        let text = format!("torchscript:path={path},input=6,target={target}");
        let key = key(&text, Mode::Train, dtype);
        assert_falls(&losses(&key, 4, 500), &text);
        assert_eq!(losses(&key, 4, 3), losses(&key, 4, 3));
        let session = Session::build(&place, &key).unwrap();
        assert_eq!(session.model().parameter_count(), 6 * 8 + 8 + 8 * 3 + 3);
    }
}
