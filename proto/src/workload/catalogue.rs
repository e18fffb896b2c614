//! The built-in networks and their parameters: the one place that says what exists, its defaults and its ranges.

use std::ops::RangeInclusive;

use super::{ParameterValue, TorchScript, WorkloadError, parse::Arguments};

/// A workload as `--help` and the documentation list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// What people type.
    pub name: &'static str,
    /// Its layers, in a sentence.
    pub summary: &'static str,
    /// Its parameters, in canonical order.
    pub parameters: &'static [ParameterDefinition],
}

/// One parameter of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterDefinition {
    /// What people type before `=`.
    pub name: &'static str,
    /// Its value when it is not given; `None` for parameters that are not numbers.
    pub default: Option<u32>,
    /// Smallest and largest value of a number.
    pub range: (u32, u32),
    /// What it means.
    pub meaning: &'static str,
}

impl Definition {
    /// One of its parameters by name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'static ParameterDefinition> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
    }
}

/// Every workload there is, in the order in which they are listed to people.
pub const CATALOGUE: &[Definition] = &[
    Cnn::DEFINITION,
    Linear::DEFINITION,
    Conv::DEFINITION,
    Matmul::DEFINITION,
    ResNet50::DEFINITION,
    Transformer::DEFINITION,
    TorchScript::DEFINITION,
];

/// The definition with this name.
pub(super) fn definition(name: &str) -> Option<&'static Definition> {
    CATALOGUE.iter().find(|definition| definition.name == name)
}

/// Declares a network whose parameters are all numbers: the type, its catalogue entry, its parser and its printer from one list.
macro_rules! network {
    (
        $(#[$doc:meta])* $type:ident, $name:literal, $summary:literal {
            $( $parameter:ident = $default:literal in $range:expr, $meaning:literal; )+
        }
        $( check $check:expr; )?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type {
            $( #[doc = $meaning] pub $parameter: u32, )+
        }

        impl $type {
            /// What people type.
            pub const NAME: &'static str = $name;

            /// Its entry in the catalogue.
            pub const DEFINITION: Definition = Definition {
                name: $name,
                summary: $summary,
                parameters: &[$(
                    ParameterDefinition { name: stringify!($parameter), default: Some($default), range: bounds($range), meaning: $meaning },
                )+],
            };

            pub(super) fn parameters(&self) -> Vec<(&'static str, ParameterValue)> {
                vec![$( (stringify!($parameter), ParameterValue::Number(self.$parameter)), )+]
            }

            pub(super) fn from_arguments(arguments: &Arguments) -> Result<Self, WorkloadError> {
                let network = Self { $( $parameter: arguments.number(stringify!($parameter), $default, $range)?, )+ };
                $( let check: fn(&Self) -> Result<(), WorkloadError> = $check; check(&network)?; )?
                Ok(network)
            }
        }

        impl Default for $type {
            fn default() -> Self {
                Self { $( $parameter: $default, )+ }
            }
        }
    };
}

const fn bounds(range: RangeInclusive<u32>) -> (u32, u32) {
    (*range.start(), *range.end())
}

network!(
    /// The network of the article: one convolution; four times (convolution, batch normalisation, tanh, max pooling by 2); three fully
    /// connected layers. The article names the layers but not their widths; `width` scales all of them.
    Cnn, "cnn", "one convolution; four times (convolution, batch normalisation, tanh, max pooling); three fully connected layers" {
        image = 256 in 16..=1024, "Height and width of a 3-channel image, pixels; a multiple of 16.";
        width = 8 in 1..=256, "Channels of the first convolution; the pooled stages have 2, 4, 8 and 8 times as many.";
        classes = 10 in 1..=65536, "Outputs of the last layer.";
    }
    check |network| {
        if network.image.is_multiple_of(16) { Ok(()) } else { Err(WorkloadError::NotAMultiple { workload: Self::NAME, parameter: "image", value: network.image, of: 16 }) }
    };
);
network!(
    /// One fully connected layer with bias.
    Linear, "linear", "one fully connected layer with bias" {
        inputs = 512 in 1..=65536, "Input features of a sample.";
        outputs = 512 in 1..=65536, "Output features of a sample.";
    }
);
network!(
    /// One two-dimensional convolution with bias, padded to keep the image's extent at stride 1.
    Conv, "conv", "one two-dimensional convolution with bias" {
        image = 56 in 1..=2048, "Height and width of the input, pixels.";
        inputs = 64 in 1..=4096, "Input channels.";
        outputs = 64 in 1..=4096, "Output channels.";
        kernel = 3 in 1..=31, "Height and width of the kernel, pixels; odd.";
        stride = 1 in 1..=16, "Stride, pixels.";
    }
    check |network| {
        if network.kernel % 2 == 1 { Ok(()) } else { Err(WorkloadError::NotOdd { workload: Self::NAME, parameter: "kernel", value: network.kernel }) }
    };
);
network!(
    /// One matrix product: (batch size x rows) by k times k by n, without bias.
    Matmul, "matmul", "one matrix product, (batch size x rows, k) times (k, n)" {
        rows = 1 in 1..=65536, "Rows that one sample adds to the left matrix.";
        k = 1024 in 1..=65536, "Columns of the left matrix, rows of the right one.";
        n = 1024 in 1..=65536, "Columns of the right matrix.";
    }
);
network!(
    /// ResNet-50 (He et al., "Deep Residual Learning for Image Recognition", 2015; stride in the 3x3 convolution of a bottleneck, as torchvision has it).
    ResNet50, "resnet50", "ResNet-50: a 7x7 stem, 16 bottleneck blocks, average pooling, one fully connected layer" {
        image = 224 in 32..=1024, "Height and width of a 3-channel image, pixels.";
        classes = 1000 in 1..=65536, "Outputs of the last layer.";
    }
);
network!(
    /// One transformer encoder block (Vaswani et al., "Attention Is All You Need", 2017), normalisation first, GELU, no dropout.
    Transformer, "transformer", "one transformer encoder block: multi-head self-attention and a two-layer perceptron, normalisation first" {
        tokens = 128 in 1..=8192, "Tokens of a sample.";
        width = 512 in 1..=16384, "Features of a token.";
        heads = 8 in 1..=256, "Attention heads; they divide the width.";
        hidden = 2048 in 1..=65536, "Features between the perceptron's layers.";
    }
    check |network| {
        if network.width.is_multiple_of(network.heads) { Ok(()) } else {
            Err(WorkloadError::NotADivisor { workload: Self::NAME, parameter: "heads", value: network.heads, other: "width", of: network.width })
        }
    };
);
