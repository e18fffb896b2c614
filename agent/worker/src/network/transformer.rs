//! One transformer encoder block (Vaswani et al., "Attention Is All You Need", 2017), normalisation first, GELU, no dropout.

use batchstep_proto::workload::Transformer;
use tch::{TchError, Tensor};

use super::{
    Network, Objective, Plan,
    layers::{FullyConnected, LayerNormalisation},
    parameters::Parameters,
};
use crate::failure::Failure;

#[derive(Debug)]
struct EncoderBlock {
    before_attention: LayerNormalisation,
    query_key_value: FullyConnected,
    out: FullyConnected,
    before_perceptron: LayerNormalisation,
    widen: FullyConnected,
    narrow: FullyConnected,
    tokens: i64,
    heads: i64,
    features_per_head: i64,
}

impl EncoderBlock {
    fn attention(&self, x: &Tensor) -> Result<Tensor, TchError> {
        let (heads, features) = (self.heads, self.features_per_head);
        let parts = self
            .query_key_value
            .forward(x)?
            .f_reshape([-1, self.tokens, 3, heads, features])?
            .f_permute([2, 0, 3, 1, 4])?;
        let part = |index| parts.f_select(0, index);
        let mixed = Tensor::f_scaled_dot_product_attention(
            &part(0)?,
            &part(1)?,
            &part(2)?,
            None::<&Tensor>,
            0.0,
            false,
            None,
            false,
        )?;
        let joined = mixed
            .f_transpose(1, 2)?
            .f_reshape([-1, self.tokens, heads * features])?;
        self.out.forward(&joined)
    }
}

impl Network for EncoderBlock {
    fn forward(&self, input: &Tensor, _training: bool) -> Result<Tensor, Failure> {
        let x = input.f_add(&self.attention(&self.before_attention.forward(input)?)?)?;
        let hidden = self
            .widen
            .forward(&self.before_perceptron.forward(&x)?)?
            .f_gelu("none")?;
        Ok(x.f_add(&self.narrow.forward(&hidden)?)?)
    }
}

/// Builds `transformer`.
pub(super) fn build(spec: &Transformer, parameters: &mut Parameters) -> Result<Plan, TchError> {
    let (tokens, width, heads, hidden) = (
        i64::from(spec.tokens),
        i64::from(spec.width),
        i64::from(spec.heads),
        i64::from(spec.hidden),
    );
    let block = EncoderBlock {
        before_attention: LayerNormalisation::new(parameters, width)?,
        query_key_value: FullyConnected::new(parameters, width, 3 * width)?,
        out: FullyConnected::new(parameters, width, width)?,
        before_perceptron: LayerNormalisation::new(parameters, width)?,
        widen: FullyConnected::new(parameters, width, hidden)?,
        narrow: FullyConnected::new(parameters, hidden, width)?,
        tokens,
        heads,
        features_per_head: width / heads,
    };
    Ok(Plan {
        network: Box::new(block),
        input: vec![tokens, width],
        input_scale: 1.0,
        objective: Objective::Values(vec![tokens, width]),
        // The loss is a mean over `width` outputs, each of which sums `hidden` features.
        learning_rate: 0.2 * f64::from(spec.width)
            / (f64::from(spec.width) + f64::from(spec.hidden)),
    })
}
