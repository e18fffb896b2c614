//! What is known of a network without building it: its parameter count, its arithmetic, and the shape of a sample.
//!
//! Conventions: a multiply-add counts as two floating-point operations; only matrix-like layers (convolutions, fully connected layers, the
//! two products of attention) count, not normalisations, activations, pooling, losses or the optimizer. Training is the forward pass, the
//! gradient of every layer's input and the gradient of every layer's weights, each of which takes as many operations as the forward pass;
//! the input gradient is left out where nothing before the layer learns, since nobody computes it.

use super::{Cnn, Conv, Linear, Matmul, ResNet50, Transformer, WorkloadSpec};
use crate::domain::Mode;

/// Sums over a network's layers.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    parameters: u64,
    /// Per sample, forward.
    multiply_adds: u64,
    /// Of those, in layers whose input gradient nobody needs.
    first: u64,
}

impl Tally {
    /// A layer that learns `weights` weights and `biases` biases and uses each weight `uses` times per sample.
    fn layer(&mut self, weights: u64, biases: u64, uses: u64) {
        let multiply_adds = weights * uses;
        if self.multiply_adds == 0 && self.parameters == 0 {
            self.first = multiply_adds;
        }
        self.parameters += weights + biases;
        self.multiply_adds += multiply_adds;
    }

    fn normalisation(&mut self, channels: u64) {
        self.parameters += 2 * channels;
    }

    /// A product of two activations: both gradients are needed.
    fn product(&mut self, multiply_adds: u64) {
        self.multiply_adds += multiply_adds;
    }

    /// A square convolution with bias or without; gives back the extent of its output.
    fn convolution(&mut self, inputs: u64, outputs: u64, window: Window, bias: bool) -> u64 {
        let extent = (window.image + 2 * (window.kernel / 2) - window.kernel) / window.stride + 1;
        let weights = inputs * outputs * window.kernel * window.kernel;
        self.layer(weights, if bias { outputs } else { 0 }, extent * extent);
        extent
    }

    const fn flops(self, mode: Mode) -> u64 {
        match mode {
            Mode::Infer => 2 * self.multiply_adds,
            Mode::Train => 2 * (3 * self.multiply_adds - self.first),
        }
    }
}

/// Where a convolution's kernel goes; padding is half of the kernel.
#[derive(Debug, Clone, Copy)]
struct Window {
    image: u64,
    kernel: u64,
    stride: u64,
}

fn window(image: u64, kernel: u64, stride: u64) -> Window {
    Window {
        image,
        kernel,
        stride,
    }
}

impl Cnn {
    /// With w = `width` and s = `image`:
    ///
    /// | layer | output | parameters |
    /// |---|---|---|
    /// | convolution 3x3, 3 to w, bias | w, s, s | 27w + w |
    /// | four times, to 2w, 4w, 8w, 8w channels c: convolution 3x3 with bias, batch normalisation, tanh, max pooling 2x2 | c, half the extent | 9·(channels before)·c + c + 2c |
    /// | flatten | 8w (s/16)² | |
    /// | fully connected, tanh | 16w | 128 w² (s/16)² + 16w |
    /// | fully connected, tanh | 8w | 128 w² + 8w |
    /// | fully connected | classes | 8w·classes + classes |
    fn tally(&self) -> Tally {
        let (width, classes) = (u64::from(self.width), u64::from(self.classes));
        let mut tally = Tally::default();
        let mut image = u64::from(self.image);
        image = tally.convolution(3, width, window(image, 3, 1), true);
        let mut channels = width;
        for wider in [2 * width, 4 * width, 8 * width, 8 * width] {
            image = tally.convolution(channels, wider, window(image, 3, 1), true) / 2;
            tally.normalisation(wider);
            channels = wider;
        }
        let mut features = channels * image * image;
        for outputs in [16 * width, 8 * width, classes] {
            tally.layer(features * outputs, outputs, 1);
            features = outputs;
        }
        tally
    }
}

impl Linear {
    /// | layer | output | parameters |
    /// |---|---|---|
    /// | fully connected, bias | outputs | inputs·outputs + outputs |
    fn tally(&self) -> Tally {
        let (inputs, outputs) = (u64::from(self.inputs), u64::from(self.outputs));
        let mut tally = Tally::default();
        tally.layer(inputs * outputs, outputs, 1);
        tally
    }
}

impl Conv {
    /// With e = floor((image - 1) / stride) + 1:
    ///
    /// | layer | output | parameters |
    /// |---|---|---|
    /// | convolution kernel x kernel, padded by floor(kernel / 2), bias | outputs, e, e | inputs·outputs·kernel² + outputs |
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let window = window(
            u64::from(self.image),
            u64::from(self.kernel),
            u64::from(self.stride),
        );
        tally.convolution(
            u64::from(self.inputs),
            u64::from(self.outputs),
            window,
            true,
        );
        tally
    }
}

impl Matmul {
    /// | layer | output | parameters |
    /// |---|---|---|
    /// | product with a k x n matrix, no bias | rows, n | k·n |
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        tally.layer(
            u64::from(self.k) * u64::from(self.n),
            0,
            u64::from(self.rows),
        );
        tally
    }
}

impl ResNet50 {
    /// Every convolution is without bias and followed by a batch normalisation; a bottleneck of inner width c is convolutions 1x1 to c,
    /// 3x3 to c and 1x1 to 4c, added to its input or, in a stage's first block, to a 1x1 convolution of it.
    ///
    /// | layer | output at image 224 |
    /// |---|---|
    /// | convolution 7x7 stride 2, ReLU, max pooling 3x3 stride 2 | 64, 56, 56 |
    /// | 3 bottlenecks, c = 64 | 256, 56, 56 |
    /// | 4 bottlenecks, c = 128, the first with stride 2 | 512, 28, 28 |
    /// | 6 bottlenecks, c = 256, the first with stride 2 | 1024, 14, 14 |
    /// | 3 bottlenecks, c = 512, the first with stride 2 | 2048, 7, 7 |
    /// | average pooling, fully connected with bias | classes |
    ///
    /// 25,557,032 parameters with 1000 classes.
    fn tally(&self) -> Tally {
        const STAGES: [(u64, u64); 4] = [(3, 64), (4, 128), (6, 256), (3, 512)];
        const EXPANSION: u64 = 4;
        let mut tally = Tally::default();
        let mut normalised = |inputs, outputs, window| {
            let extent = tally.convolution(inputs, outputs, window, false);
            tally.normalisation(outputs);
            extent
        };
        let stem = normalised(3, 64, window(u64::from(self.image), 7, 2));
        // Pooling 3x3 with stride 2 and padding 1.
        let mut image = (stem - 1) / 2 + 1;
        let mut channels = 64;
        for (stage, (blocks, inner)) in STAGES.into_iter().enumerate() {
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                normalised(channels, inner, window(image, 1, 1));
                let smaller = normalised(inner, inner, window(image, 3, stride));
                normalised(inner, EXPANSION * inner, window(smaller, 1, 1));
                if block == 0 {
                    normalised(channels, EXPANSION * inner, window(image, 1, stride));
                }
                channels = EXPANSION * inner;
                image = smaller;
            }
        }
        let classes = u64::from(self.classes);
        tally.layer(channels * classes, classes, 1);
        tally
    }
}

impl Transformer {
    /// With t = `tokens`, w = `width`, h = `hidden`:
    ///
    /// | layer | output | parameters | multiply-adds |
    /// |---|---|---|---|
    /// | layer normalisation | t, w | 2w | |
    /// | fully connected to query, key and value | t, 3w | 3w² + 3w | 3tw² |
    /// | scaled dot-product attention over the heads | t, w | | 2t²w |
    /// | fully connected, added to the input | t, w | w² + w | tw² |
    /// | layer normalisation | t, w | 2w | |
    /// | fully connected, GELU | t, h | wh + h | twh |
    /// | fully connected, added | t, w | hw + w | thw |
    ///
    /// The first normalisation learns, so every layer's input gradient is needed.
    fn tally(&self) -> Tally {
        let (tokens, width, hidden) = (
            u64::from(self.tokens),
            u64::from(self.width),
            u64::from(self.hidden),
        );
        let mut tally = Tally::default();
        tally.normalisation(width);
        tally.layer(3 * width * width, 3 * width, tokens);
        tally.product(2 * tokens * tokens * width);
        tally.layer(width * width, width, tokens);
        tally.normalisation(width);
        tally.layer(width * hidden, hidden, tokens);
        tally.layer(hidden * width, width, tokens);
        tally
    }
}

impl WorkloadSpec {
    fn tally(&self) -> Option<Tally> {
        match self {
            Self::Cnn(network) => Some(network.tally()),
            Self::Linear(network) => Some(network.tally()),
            Self::Conv(network) => Some(network.tally()),
            Self::Matmul(network) => Some(network.tally()),
            Self::ResNet50(network) => Some(network.tally()),
            Self::Transformer(network) => Some(network.tally()),
            Self::TorchScript(_) => None,
        }
    }

    /// Numbers the network learns; `None` for a user's own network, which only its file knows.
    #[must_use]
    pub fn parameter_count(&self) -> Option<u64> {
        self.tally().map(|tally| tally.parameters)
    }

    /// Floating-point operations of one iteration per sample, by the conventions at the top of this module; `None` for a user's own network.
    #[must_use]
    pub fn flops_per_sample(&self, mode: Mode) -> Option<u64> {
        self.tally().map(|tally| tally.flops(mode))
    }

    /// Shape of one sample, without the batch dimension: channels, height, width for images; tokens, features for sequences.
    #[must_use]
    pub fn input_shape(&self) -> Vec<u32> {
        match self {
            Self::Cnn(network) => vec![3, network.image, network.image],
            Self::Linear(network) => vec![network.inputs],
            Self::Conv(network) => vec![network.inputs, network.image, network.image],
            Self::Matmul(network) => vec![network.rows, network.k],
            Self::ResNet50(network) => vec![3, network.image, network.image],
            Self::Transformer(network) => vec![network.tokens, network.width],
            Self::TorchScript(network) => network.input.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(text: &str) -> (u64, u64, u64) {
        let spec: WorkloadSpec = text.parse().unwrap();
        (
            spec.parameter_count().unwrap(),
            spec.flops_per_sample(Mode::Infer).unwrap(),
            spec.flops_per_sample(Mode::Train).unwrap(),
        )
    }

    #[test]
    fn single_layers_agree_with_the_numbers_by_hand() {
        // 3 x 2 weights, 2 biases; 6 multiply-adds, twice in training.
        assert_eq!(facts("linear:inputs=3,outputs=2"), (8, 12, 24));
        // 5 x 7 weights, used by 4 rows.
        assert_eq!(facts("matmul:rows=4,k=5,n=7"), (35, 280, 560));
        // 2 x 3 x 9 weights, 3 biases; the 4x4 image has 16 positions, 4 of them at stride 2.
        assert_eq!(
            facts("conv:image=4,inputs=2,outputs=3"),
            (57, 2 * 54 * 16, 4 * 54 * 16)
        );
        assert_eq!(
            facts("conv:image=4,inputs=2,outputs=3,stride=2"),
            (57, 2 * 54 * 4, 4 * 54 * 4)
        );
    }

    #[test]
    fn the_article_network_agrees_with_the_numbers_by_hand() {
        // width 1, image 16: convolutions 3-1-2-4-8-8 at 16, 16, 8, 4, 2 pixels; then 8-16-8-2.
        let parameters = (27 + 1)
            + (18 + 2 + 4)
            + (72 + 4 + 8)
            + (288 + 8 + 16)
            + (576 + 8 + 16)
            + (8 * 16 + 16)
            + (16 * 8 + 8)
            + (8 * 2 + 2);
        let first = 27 * 256;
        let forward = first + 18 * 256 + 72 * 64 + 288 * 16 + 576 * 4 + 8 * 16 + 16 * 8 + 8 * 2;
        assert_eq!(
            facts("cnn:image=16,width=1,classes=2"),
            (parameters, 2 * forward, 6 * forward - 2 * first)
        );
    }

    #[test]
    fn resnet50_has_its_published_size() {
        let (parameters, infer, train) = facts("resnet50");
        // He et al. count 3.8e9 multiply-adds with the stride in the first 1x1; with it in the 3x3 it is 4.09e9.
        assert_eq!(parameters, 25_557_032);
        assert_eq!(infer, 2 * 4_089_184_256);
        assert_eq!(train, 3 * infer - 2 * 64 * 3 * 49 * 112 * 112);
    }

    #[test]
    fn a_transformer_block_agrees_with_the_numbers_by_hand() {
        // t = 2, w = 4, h = 8.
        let parameters = 8 + (48 + 12) + (16 + 4) + 8 + (32 + 8) + (32 + 4);
        let forward = 3 * 2 * 16 + 2 * 4 * 4 + 2 * 16 + 2 * 32 + 2 * 32;
        assert_eq!(
            facts("transformer:tokens=2,width=4,heads=2,hidden=8"),
            (parameters, 2 * forward, 6 * forward)
        );
    }

    #[test]
    fn the_largest_networks_do_not_overflow() {
        for text in [
            "cnn:image=1024,width=256,classes=65536",
            "conv:image=2048,inputs=4096,outputs=4096,kernel=31",
            "matmul:rows=65536,k=65536,n=65536",
            "transformer:tokens=8192,width=16384,hidden=65536",
            "resnet50:image=1024,classes=65536",
        ] {
            let (_, infer, train) = facts(text);
            assert!(infer < train && train <= 3 * infer, "{text}");
        }
    }

    #[test]
    fn a_users_network_is_known_by_its_input_only() {
        let spec: WorkloadSpec = "torchscript:path=a.pt,input=3x8".parse().unwrap();
        assert_eq!(spec.input_shape(), [3, 8]);
        assert_eq!(
            (spec.parameter_count(), spec.flops_per_sample(Mode::Train)),
            (None, None)
        );
    }
}
