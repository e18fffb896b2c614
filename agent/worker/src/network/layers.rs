//! The layers that networks are made of; each call can fail and none panics.

use tch::{TchError, Tensor};

use super::parameters::Parameters;

/// A fully connected layer with bias.
#[derive(Debug)]
pub struct FullyConnected {
    weight: Tensor,
    bias: Tensor,
}

impl FullyConnected {
    /// `inputs` features to `outputs` features.
    pub fn new(parameters: &mut Parameters, inputs: i64, outputs: i64) -> Result<Self, TchError> {
        Ok(Self {
            weight: parameters.uniform(&[outputs, inputs], inputs)?,
            bias: parameters.uniform(&[outputs], inputs)?,
        })
    }

    /// `x` of shape (.., inputs) to (.., outputs).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_linear(&self.weight, Some(&self.bias))
    }
}

/// A two-dimensional convolution with a square kernel, padded by half of it.
#[derive(Debug)]
pub struct Convolution {
    weight: Tensor,
    bias: Option<Tensor>,
    stride: i64,
    padding: i64,
}

impl Convolution {
    /// `inputs` channels to `outputs` channels, with bias.
    pub fn new(
        parameters: &mut Parameters,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
    ) -> Result<Self, TchError> {
        let mut convolution = Self::without_bias(parameters, inputs, outputs, kernel, stride)?;
        convolution.bias = Some(parameters.uniform(&[outputs], inputs * kernel * kernel)?);
        Ok(convolution)
    }

    /// The same without bias, as it stands before a batch normalisation.
    pub fn without_bias(
        parameters: &mut Parameters,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
    ) -> Result<Self, TchError> {
        Ok(Self {
            weight: parameters
                .uniform(&[outputs, inputs, kernel, kernel], inputs * kernel * kernel)?,
            bias: None,
            stride,
            padding: kernel / 2,
        })
    }

    /// `x` of shape (batch, inputs, height, width).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_conv2d(
            &self.weight,
            self.bias.as_ref(),
            [self.stride],
            [self.padding],
            [1],
            1,
        )
    }
}

/// Batch normalisation over the channels of images; uses and updates the batch's statistics in training, the running ones otherwise.
#[derive(Debug)]
pub struct BatchNormalisation {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl BatchNormalisation {
    /// For images of `channels` channels.
    pub fn new(parameters: &mut Parameters, channels: i64) -> Result<Self, TchError> {
        Ok(Self {
            weight: parameters.ones(&[channels])?,
            bias: parameters.zeros(&[channels])?,
            mean: parameters.state(&[channels], 0.0)?,
            variance: parameters.state(&[channels], 1.0)?,
        })
    }

    /// `x` of shape (batch, channels, height, width).
    pub fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor, TchError> {
        const MOMENTUM: f64 = 0.1;
        const EPSILON: f64 = 1e-5;
        x.f_batch_norm(
            Some(&self.weight),
            Some(&self.bias),
            Some(&self.mean),
            Some(&self.variance),
            training,
            MOMENTUM,
            EPSILON,
            true,
        )
    }
}

/// Normalisation of each token's features.
#[derive(Debug)]
pub struct LayerNormalisation {
    weight: Tensor,
    bias: Tensor,
    width: i64,
}

impl LayerNormalisation {
    /// For tokens of `width` features.
    pub fn new(parameters: &mut Parameters, width: i64) -> Result<Self, TchError> {
        Ok(Self {
            weight: parameters.ones(&[width])?,
            bias: parameters.zeros(&[width])?,
            width,
        })
    }

    /// `x` of shape (.., width).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor, TchError> {
        const EPSILON: f64 = 1e-5;
        x.f_layer_norm(
            [self.width],
            Some(&self.weight),
            Some(&self.bias),
            EPSILON,
            true,
        )
    }
}
