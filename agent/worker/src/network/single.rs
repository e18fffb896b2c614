//! The workloads of one layer: their period is the layer's own, not a sum over layers of different periods.
//!
//! Each learns a fixed random output by mean squared error. Inputs are scaled to unit norm and the step to the number of outputs, which
//! keeps the iteration stable for every width and batch size: weights that grow without bound would end in other arithmetic.

use batchstep_proto::workload::{Conv, Linear, Matmul};
use tch::{TchError, Tensor};

use super::{
    Network, Objective, Plan,
    layers::{Convolution, FullyConnected},
    parameters::Parameters,
};
use crate::failure::Failure;

/// Step size per output: the curvature of the loss is at most 4 / outputs.
const STEP_PER_OUTPUT: f64 = 0.05;

fn plan(
    network: impl Network + 'static,
    input: Vec<i64>,
    fan_in: i64,
    output: Vec<i64>,
    outputs: u32,
) -> Plan {
    // Extents are far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let input_scale = 1.0 / (fan_in as f64).sqrt();
    Plan {
        network: Box::new(network),
        input,
        input_scale,
        objective: Objective::Values(output),
        learning_rate: STEP_PER_OUTPUT * f64::from(outputs),
    }
}

impl Network for FullyConnected {
    fn forward(&self, input: &Tensor, _training: bool) -> Result<Tensor, Failure> {
        Ok(Self::forward(self, input)?)
    }
}

/// Builds `linear`.
pub(super) fn linear(spec: &Linear, parameters: &mut Parameters) -> Result<Plan, TchError> {
    let (inputs, outputs) = (i64::from(spec.inputs), i64::from(spec.outputs));
    let layer = FullyConnected::new(parameters, inputs, outputs)?;
    Ok(plan(
        layer,
        vec![inputs],
        inputs,
        vec![outputs],
        spec.outputs,
    ))
}

impl Network for Convolution {
    fn forward(&self, input: &Tensor, _training: bool) -> Result<Tensor, Failure> {
        Ok(Self::forward(self, input)?)
    }
}

/// Builds `conv`.
pub(super) fn conv(spec: &Conv, parameters: &mut Parameters) -> Result<Plan, TchError> {
    let (image, inputs, outputs) = (
        i64::from(spec.image),
        i64::from(spec.inputs),
        i64::from(spec.outputs),
    );
    let (kernel, stride) = (i64::from(spec.kernel), i64::from(spec.stride));
    let layer = Convolution::new(parameters, inputs, outputs, kernel, stride)?;
    let extent = (image - 1) / stride + 1;
    Ok(plan(
        layer,
        vec![inputs, image, image],
        inputs * kernel * kernel,
        vec![outputs, extent, extent],
        spec.outputs,
    ))
}

#[derive(Debug)]
struct Product {
    right: Tensor,
    k: i64,
}

impl Network for Product {
    /// `input` of shape (batch, rows, k); the rows of all samples make one left matrix.
    fn forward(&self, input: &Tensor, _training: bool) -> Result<Tensor, Failure> {
        let size = input.size();
        let product = input.f_reshape([-1, self.k])?.f_mm(&self.right)?;
        Ok(product.f_reshape([size[0], size[1], -1])?)
    }
}

/// Builds `matmul`.
pub(super) fn matmul(spec: &Matmul, parameters: &mut Parameters) -> Result<Plan, TchError> {
    let (rows, k, n) = (i64::from(spec.rows), i64::from(spec.k), i64::from(spec.n));
    let right = parameters.uniform(&[k, n], k)?;
    Ok(plan(
        Product { right, k },
        vec![rows, k],
        k,
        vec![rows, n],
        spec.n,
    ))
}
