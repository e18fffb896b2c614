//! Networks as libtorch runs them: built from a workload spec, one module each, all through the same small interface.
//!
//! [`Model::build`] is called once per workload, mode, dtype and seed in a process. A model knows nothing of batch sizes, data or time.

mod cnn;
mod layers;
mod parameters;
mod resnet50;
mod single;
mod torchscript;
mod transformer;

use std::path::Path;

use batchstep_proto::{
    domain::{Dtype, Mode},
    workload::WorkloadSpec,
};
use tch::{Device, Kind, Reduction, Tensor};

use self::parameters::Parameters;
use crate::{failure::Failure, shim};

/// What computes an output from a batch.
trait Network {
    /// `input` has the batch as its first dimension. `training`: batch statistics are used and updated.
    ///
    /// # Errors
    /// What libtorch says, sorted.
    fn forward(&self, input: &Tensor, training: bool) -> Result<Tensor, Failure>;
}

/// What training compares a sample's output with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objective {
    /// One of this many classes, by cross entropy.
    Class(i64),
    /// Numbers of this shape, by mean squared error.
    Values(Vec<i64>),
    /// The network is not trained.
    None,
}

/// A network and how it is fed and trained.
struct Plan {
    network: Box<dyn Network>,
    /// Shape of one sample.
    input: Vec<i64>,
    /// Standard deviation of the random input.
    input_scale: f64,
    objective: Objective,
    learning_rate: f64,
}

/// A network on its device.
pub struct Model {
    plan: Plan,
    parameters: Vec<Tensor>,
    mode: Mode,
    kind: Kind,
}

/// How libtorch stores weights and activations of a dtype.
#[must_use]
pub const fn storage(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::F32 | Dtype::Tf32 => Kind::Float,
        Dtype::Bf16 => Kind::BFloat16,
        Dtype::F16 => Kind::Half,
    }
}

impl Model {
    /// Builds a network with weights drawn from `seed`; `file` holds the content that a TorchScript workload names by its digest.
    ///
    /// # Errors
    /// When the dtype does not exist on the device, memory runs out, or a TorchScript file cannot be used.
    pub fn build(
        workload: &WorkloadSpec,
        mode: Mode,
        dtype: Dtype,
        device: Device,
        seed: u64,
        file: Option<&Path>,
    ) -> Result<Self, Failure> {
        if dtype == Dtype::Tf32 && !device.is_cuda() {
            return Err(Failure::workload(
                "the dtype tf32 exists on CUDA devices only; use f32, bf16 or f16 on a CPU",
            ));
        }
        shim::set_tf32(dtype == Dtype::Tf32)?;
        tch::manual_seed(seed.cast_signed());
        let kind = storage(dtype);
        let mut parameters = Parameters::new(device, kind, mode == Mode::Train);
        let plan = match workload {
            WorkloadSpec::Cnn(spec) => cnn::build(spec, &mut parameters)?,
            WorkloadSpec::Linear(spec) => single::linear(spec, &mut parameters)?,
            WorkloadSpec::Conv(spec) => single::conv(spec, &mut parameters)?,
            WorkloadSpec::Matmul(spec) => single::matmul(spec, &mut parameters)?,
            WorkloadSpec::ResNet50(spec) => resnet50::build(spec, &mut parameters)?,
            WorkloadSpec::Transformer(spec) => transformer::build(spec, &mut parameters)?,
            WorkloadSpec::TorchScript(spec) => {
                let (plan, parameters) = torchscript::load(spec, file, mode, device, kind)?;
                return Ok(Self {
                    plan,
                    parameters,
                    mode,
                    kind,
                });
            }
        };
        Ok(Self {
            plan,
            parameters: parameters.into_tensors(),
            mode,
            kind,
        })
    }

    /// Shape of one sample.
    #[must_use]
    pub fn input_shape(&self) -> &[i64] {
        &self.plan.input
    }

    /// Standard deviation that random inputs should have.
    #[must_use]
    pub const fn input_scale(&self) -> f64 {
        self.plan.input_scale
    }

    /// What it is trained towards; [`Objective::None`] in inference.
    #[must_use]
    pub fn objective(&self) -> &Objective {
        match self.mode {
            Mode::Train => &self.plan.objective,
            Mode::Infer => &Objective::None,
        }
    }

    /// Type of weights and activations.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Numbers it learns.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        self.parameters
            .iter()
            .map(|parameter| u64::try_from(parameter.numel()).unwrap_or(0))
            .sum()
    }

    /// One iteration: a step of plain gradient descent when `target` is given, else a forward pass. Gives back the loss or the output;
    /// on a GPU neither is computed yet when this returns.
    ///
    /// # Errors
    /// What libtorch says, sorted.
    pub fn iterate(&self, input: &Tensor, target: Option<&Tensor>) -> Result<Tensor, Failure> {
        let Some(target) = target else {
            let _no_grad = tch::no_grad_guard();
            return self.plan.network.forward(input, false);
        };
        let output = self.plan.network.forward(input, true)?;
        let loss = match self.plan.objective {
            Objective::Class(_) => output.f_cross_entropy_loss(
                target,
                None::<&Tensor>,
                Reduction::Mean,
                IGNORE_INDEX,
                0.0,
            )?,
            Objective::Values(_) => output.f_mse_loss(target, Reduction::Mean)?,
            Objective::None => {
                return Err(Failure::workload(
                    "a network without objective was given a target",
                ));
            }
        };
        // Nothing of the graph but the loss is needed any more: its buffers are freed while the gradients are computed.
        drop(output);
        let gradients = Tensor::f_run_backward(&[&loss], &self.parameters, false, false)?;
        shim::add_scaled(&self.parameters, &gradients, -self.plan.learning_rate)?;
        Ok(loss)
    }
}

/// PyTorch's default for classes that do not count; random targets never have it.
const IGNORE_INDEX: i64 = -100;
