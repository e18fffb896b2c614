//! The article's convolutional network: one convolution; four times (convolution, batch normalisation, tanh, max pooling by 2); three
//! fully connected layers with tanh between them. Layers and widths are listed at `batchstep_proto::workload::facts`.

use batchstep_proto::workload::Cnn;
use tch::{TchError, Tensor};

use super::{
    Network, Objective, Plan,
    layers::{BatchNormalisation, Convolution, FullyConnected},
    parameters::Parameters,
};
use crate::failure::Failure;

#[derive(Debug)]
struct Stage {
    convolution: Convolution,
    normalisation: BatchNormalisation,
}

#[derive(Debug)]
struct ArticleNetwork {
    first: Convolution,
    stages: Vec<Stage>,
    connected: [FullyConnected; 3],
}

impl Network for ArticleNetwork {
    fn forward(&self, input: &Tensor, training: bool) -> Result<Tensor, Failure> {
        let mut x = self.first.forward(input)?;
        for stage in &self.stages {
            x = stage.convolution.forward(&x)?;
            x = stage.normalisation.forward(&x, training)?;
            x = x
                .f_tanh()?
                .f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?;
        }
        x = x.f_flatten(1, -1)?;
        x = self.connected[0].forward(&x)?.f_tanh()?;
        x = self.connected[1].forward(&x)?.f_tanh()?;
        Ok(self.connected[2].forward(&x)?)
    }
}

/// Builds `cnn`.
pub(super) fn build(spec: &Cnn, parameters: &mut Parameters) -> Result<Plan, TchError> {
    let (image, width, classes) = (
        i64::from(spec.image),
        i64::from(spec.width),
        i64::from(spec.classes),
    );
    let first = Convolution::new(parameters, 3, width, 3, 1)?;
    let mut stages = Vec::new();
    let mut channels = width;
    for wider in [2 * width, 4 * width, 8 * width, 8 * width] {
        stages.push(Stage {
            convolution: Convolution::new(parameters, channels, wider, 3, 1)?,
            normalisation: BatchNormalisation::new(parameters, wider)?,
        });
        channels = wider;
    }
    let features = channels * (image / 16) * (image / 16);
    let connected = [
        FullyConnected::new(parameters, features, 16 * width)?,
        FullyConnected::new(parameters, 16 * width, 8 * width)?,
        FullyConnected::new(parameters, 8 * width, classes)?,
    ];
    Ok(Plan {
        network: Box::new(ArticleNetwork {
            first,
            stages,
            connected,
        }),
        input: vec![3, image, image],
        input_scale: 1.0,
        objective: Objective::Class(classes),
        learning_rate: 0.01,
    })
}
