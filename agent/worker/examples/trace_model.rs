//! Writes a small TorchScript file by tracing, without Python: `trace_model FILE SEED`. One fully connected layer, 6 inputs and 3 outputs, its
//! weights drawn from the seed; the tests hand it to a fleet. Traced weights are constants, so it can be run but not trained.

use anyhow::{Context as _, bail};
use tch::{CModule, Device, Kind, Tensor};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, seed] = arguments.as_slice() else {
        bail!("usage: trace_model FILE SEED");
    };
    tch::manual_seed(seed.parse().context("SEED is a whole number")?);
    let place = (Kind::Float, Device::Cpu);
    let weight = Tensor::f_randn([3, 6], place)?;
    let mut layer = |inputs: &[Tensor]| vec![inputs[0].matmul(&weight.tr())];
    let example = Tensor::f_zeros([2, 6], place)?;
    let module = CModule::create_by_tracing("Traced", "forward", &[example], &mut layer)?;
    module
        .save(file)
        .with_context(|| format!("cannot write {file}"))
}
