//! Makes the tensors that a network learns, in one order and from one seed.
//!
//! Weights are drawn on the CPU in f32 and then moved, so that a seed gives the same network on every device and in every dtype.

use tch::{Device, Kind, TchError, Tensor};

/// Where a network's parameters are kept while it is built.
#[derive(Debug)]
pub struct Parameters {
    device: Device,
    kind: Kind,
    learn: bool,
    made: Vec<Tensor>,
}

impl Parameters {
    /// Parameters on `device` of type `kind`; `learn`: autograd follows them.
    #[must_use]
    pub fn new(device: Device, kind: Kind, learn: bool) -> Self {
        Self {
            device,
            kind,
            learn,
            made: Vec::new(),
        }
    }

    /// Everything made so far, in the order in which it was made.
    #[must_use]
    pub fn into_tensors(self) -> Vec<Tensor> {
        self.made
    }

    /// Uniform within ±1/√`fan_in`, PyTorch's own choice for fully connected layers and convolutions.
    pub fn uniform(&mut self, shape: &[i64], fan_in: i64) -> Result<Tensor, TchError> {
        // Extents are far below 2^53.
        #[allow(clippy::cast_precision_loss)]
        let bound = 1.0 / (fan_in as f64).sqrt();
        let mut drawn = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        let drawn = drawn.f_uniform_(-bound, bound)?;
        self.keep(&drawn)
    }

    /// All ones.
    pub fn ones(&mut self, shape: &[i64]) -> Result<Tensor, TchError> {
        self.keep(&Tensor::f_ones(shape, (Kind::Float, Device::Cpu))?)
    }

    /// All zeros.
    pub fn zeros(&mut self, shape: &[i64]) -> Result<Tensor, TchError> {
        self.keep(&Tensor::f_zeros(shape, (Kind::Float, Device::Cpu))?)
    }

    /// A tensor that the network changes but does not learn: `value` everywhere.
    pub fn state(&self, shape: &[i64], value: f64) -> Result<Tensor, TchError> {
        Tensor::f_full(shape, value, (self.kind, self.device))
    }

    fn keep(&mut self, drawn: &Tensor) -> Result<Tensor, TchError> {
        let leaf = drawn
            .f_to_device_(self.device, self.kind, false, true)?
            .f_set_requires_grad(self.learn)?;
        self.made.push(leaf.shallow_clone());
        Ok(leaf)
    }
}
