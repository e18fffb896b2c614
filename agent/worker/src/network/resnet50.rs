//! ResNet-50 (He et al., "Deep Residual Learning for Image Recognition", 2015), with the stride in a bottleneck's 3x3 convolution.

use batchstep_proto::workload::ResNet50;
use tch::{TchError, Tensor};

use super::{
    Network, Objective, Plan,
    layers::{BatchNormalisation, Convolution, FullyConnected},
    parameters::Parameters,
};
use crate::failure::Failure;

/// Blocks of each stage, and the channels of their inner convolutions.
const STAGES: [(usize, i64); 4] = [(3, 64), (4, 128), (6, 256), (3, 512)];
/// A bottleneck's outputs per inner channel.
const EXPANSION: i64 = 4;

/// A convolution without bias and the batch normalisation behind it.
#[derive(Debug)]
struct Normalised {
    convolution: Convolution,
    normalisation: BatchNormalisation,
}

impl Normalised {
    fn new(
        parameters: &mut Parameters,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
    ) -> Result<Self, TchError> {
        Ok(Self {
            convolution: Convolution::without_bias(parameters, inputs, outputs, kernel, stride)?,
            normalisation: BatchNormalisation::new(parameters, outputs)?,
        })
    }

    fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor, TchError> {
        self.normalisation
            .forward(&self.convolution.forward(x)?, training)
    }
}

#[derive(Debug)]
struct Bottleneck {
    narrow: Normalised,
    middle: Normalised,
    wide: Normalised,
    shortcut: Option<Normalised>,
}

impl Bottleneck {
    fn new(
        parameters: &mut Parameters,
        inputs: i64,
        inner: i64,
        stride: i64,
    ) -> Result<Self, TchError> {
        let outputs = EXPANSION * inner;
        Ok(Self {
            narrow: Normalised::new(parameters, inputs, inner, 1, 1)?,
            middle: Normalised::new(parameters, inner, inner, 3, stride)?,
            wide: Normalised::new(parameters, inner, outputs, 1, 1)?,
            shortcut: if inputs == outputs && stride == 1 {
                None
            } else {
                Some(Normalised::new(parameters, inputs, outputs, 1, stride)?)
            },
        })
    }

    fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor, TchError> {
        let mut y = self.narrow.forward(x, training)?.f_relu_()?;
        y = self.middle.forward(&y, training)?.f_relu_()?;
        y = self.wide.forward(&y, training)?;
        match &self.shortcut {
            Some(shortcut) => y.f_add_(&shortcut.forward(x, training)?)?,
            None => y.f_add_(x)?,
        }
        .f_relu_()
    }
}

#[derive(Debug)]
struct ResidualNetwork {
    stem: Normalised,
    blocks: Vec<Bottleneck>,
    last: FullyConnected,
}

impl Network for ResidualNetwork {
    fn forward(&self, input: &Tensor, training: bool) -> Result<Tensor, Failure> {
        let mut x = self
            .stem
            .forward(input, training)?
            .f_relu_()?
            .f_max_pool2d([3, 3], [2, 2], [1, 1], [1, 1], false)?;
        for block in &self.blocks {
            x = block.forward(&x, training)?;
        }
        let pooled = x.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?;
        Ok(self.last.forward(&pooled)?)
    }
}

/// Builds `resnet50`.
pub(super) fn build(spec: &ResNet50, parameters: &mut Parameters) -> Result<Plan, TchError> {
    let (image, classes) = (i64::from(spec.image), i64::from(spec.classes));
    let stem = Normalised::new(parameters, 3, 64, 7, 2)?;
    let mut blocks = Vec::new();
    let mut channels = 64;
    for (stage, (count, inner)) in STAGES.into_iter().enumerate() {
        for index in 0..count {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            blocks.push(Bottleneck::new(parameters, channels, inner, stride)?);
            channels = EXPANSION * inner;
        }
    }
    let last = FullyConnected::new(parameters, channels, classes)?;
    Ok(Plan {
        network: Box::new(ResidualNetwork { stem, blocks, last }),
        input: vec![3, image, image],
        input_scale: 1.0,
        objective: Objective::Class(classes),
        learning_rate: 0.01,
    })
}
