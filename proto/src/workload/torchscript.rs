//! The user's own network: a file written by `torch.jit.save`, the shape of one sample, and what it is trained towards.

use std::{fmt, str::FromStr};

use super::{
    Definition, ParameterDefinition, ParameterValue, WorkloadError,
    parse::{Arguments, shortened},
};

/// A TorchScript module on the agent's host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TorchScript {
    /// File on the agent's host. Holds no comma.
    pub path: String,
    /// Shape of one sample, without the batch dimension.
    pub input: Vec<u32>,
    /// What training compares the output with; `None`: the network can only be run with `--mode infer`.
    pub target: Option<Target>,
}

/// What training compares an output with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// The index of one of N classes, by cross entropy; the output has shape (batch size, N).
    Class(u32),
    /// N numbers, by mean squared error; the output has shape (batch size, N).
    Values(u32),
}

const PATH: &str = "path";
const INPUT: &str = "input";
const TARGET: &str = "target";
/// Largest number of outputs.
const MOST_OUTPUTS: u32 = 1 << 20;
/// Most elements of one sample.
const MOST_ELEMENTS: u64 = 1 << 30;

impl TorchScript {
    /// What people type.
    pub const NAME: &'static str = "torchscript";

    /// Its entry in the catalogue.
    pub const DEFINITION: Definition = Definition {
        name: Self::NAME,
        summary: "your own network, exported with torch.jit.save",
        parameters: &[
            ParameterDefinition {
                name: PATH,
                default: None,
                range: (0, 0),
                meaning: "The file that torch.jit.save wrote, on the agent's host.",
            },
            ParameterDefinition {
                name: INPUT,
                default: None,
                range: (0, 0),
                meaning: "Shape of one sample, such as 3x256x256.",
            },
            ParameterDefinition {
                name: TARGET,
                default: None,
                range: (0, 0),
                meaning: "class:N (cross entropy over N classes) or values:N (mean squared error); needed to train.",
            },
        ],
    };

    pub(super) fn parameters(&self) -> Vec<(&'static str, ParameterValue)> {
        let shape = self
            .input
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("x");
        let mut parameters = vec![
            (PATH, ParameterValue::Text(self.path.clone())),
            (INPUT, ParameterValue::Text(shape)),
        ];
        if let Some(target) = self.target {
            parameters.push((TARGET, ParameterValue::Text(target.to_string())));
        }
        parameters
    }

    pub(super) fn from_arguments(arguments: &Arguments) -> Result<Self, WorkloadError> {
        let missing = |parameter, meaning| WorkloadError::Missing {
            workload: Self::NAME,
            parameter,
            meaning,
        };
        let malformed = |parameter, text: &str, form| WorkloadError::Malformed {
            workload: Self::NAME,
            parameter,
            text: shortened(text),
            form,
        };
        let path = arguments
            .text(PATH)
            .filter(|path| !path.is_empty())
            .ok_or_else(|| missing(PATH, "the file that torch.jit.save wrote"))?;
        let input = arguments
            .text(INPUT)
            .ok_or_else(|| missing(INPUT, "the shape of one sample, such as 3x256x256"))?;
        Ok(Self {
            path: path.to_owned(),
            input: shape(input).ok_or_else(|| {
                malformed(INPUT, input, "the shape of one sample such as 3x256x256")
            })?,
            target: arguments
                .text(TARGET)
                .map(|text| {
                    text.parse()
                        .map_err(|NotATarget| malformed(TARGET, text, "class:N or values:N"))
                })
                .transpose()?,
        })
    }
}

/// At most 8 extents, none of them zero, of at most [`MOST_ELEMENTS`] elements together.
fn shape(text: &str) -> Option<Vec<u32>> {
    let extents = text
        .split('x')
        .map(|extent| extent.parse::<u32>().ok().filter(|extent| *extent > 0))
        .collect::<Option<Vec<_>>>()?;
    let elements = extents.iter().try_fold(1_u64, |product, extent| {
        product.checked_mul(u64::from(*extent))
    })?;
    (extents.len() <= 8 && elements <= MOST_ELEMENTS).then_some(extents)
}

/// A text that is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not class:N or values:N")]
pub struct NotATarget;

impl FromStr for Target {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        let (kind, count) = text.split_once(':').ok_or(NotATarget)?;
        let count = count
            .parse()
            .ok()
            .filter(|count| (1..=MOST_OUTPUTS).contains(count))
            .ok_or(NotATarget)?;
        match kind {
            "class" => Ok(Self::Class(count)),
            "values" => Ok(Self::Values(count)),
            _ => Err(NotATarget),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(count) => write!(f, "class:{count}"),
            Self::Values(count) => write!(f, "values:{count}"),
        }
    }
}
