//! The user's own network: a file written by `torch.jit.save`, the shape of one sample, and what it is trained towards.
//!
//! People name a file; the command line hands its content to the coordinator and puts the digest in the file's place. From there on the content is
//! what is measured, and its name is for people only.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use super::{
    Definition, ParameterDefinition, ParameterValue, WorkloadError,
    parse::{Arguments, shortened},
};
use crate::model::{ModelDigest, ModelName};

/// A TorchScript module and how it is fed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TorchScript {
    /// Which network.
    pub source: ModelSource,
    /// Shape of one sample, without the batch dimension.
    pub input: Vec<u32>,
    /// What training compares the output with; `None`: the network can only be run with `--mode infer`.
    pub target: Option<Target>,
}

/// Where the network comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ModelSource {
    /// A file on the host that reads the spec; holds no comma. What people type; a coordinator takes no such spec.
    File(String),
    /// Content that the coordinator has, and hands to agents.
    Content(ModelRef),
}

/// A model by its content. Two are equal when their content is: the name is a label.
#[derive(Debug, Clone)]
pub struct ModelRef {
    /// Its identity.
    pub digest: ModelDigest,
    /// What the file was called that it came from.
    pub name: Option<ModelName>,
}

impl PartialEq for ModelRef {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for ModelRef {}

impl PartialOrd for ModelRef {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ModelRef {
    fn cmp(&self, other: &Self) -> Ordering {
        self.digest.cmp(&other.digest)
    }
}

impl Hash for ModelRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// For people: the name where there is one, else the beginning of the digest.
impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => name.fmt(f),
            None => f.write_str(&self.digest.short()),
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Content(model) => model.fmt(f),
        }
    }
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
const MODEL: &str = "model";
const NAME: &str = "name";
const INPUT: &str = "input";
const TARGET: &str = "target";
/// Largest number of outputs.
const MOST_OUTPUTS: u32 = 1 << 20;
/// Most elements of one sample.
const MOST_ELEMENTS: u64 = 1 << 30;

impl TorchScript {
    /// What people type.
    pub const NAME: &'static str = "torchscript";

    /// The one parameter that is a label: no part of the canonical form.
    pub(super) const LABEL: &'static str = NAME;

    /// Its entry in the catalogue.
    pub const DEFINITION: Definition = Definition {
        name: Self::NAME,
        summary: "your own network, exported with torch.jit.save",
        parameters: &[
            ParameterDefinition {
                name: PATH,
                default: None,
                range: (0, 0),
                meaning: "The file that torch.jit.save wrote; its content is handed to the coordinator.",
            },
            ParameterDefinition {
                name: MODEL,
                default: None,
                range: (0, 0),
                meaning: "Instead of a path, the digest of content that the coordinator has: sha256: and 64 hexadecimal digits.",
            },
            ParameterDefinition {
                name: NAME,
                default: None,
                range: (0, 0),
                meaning: "With model: what people call it. Not part of what is measured.",
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
        let mut parameters = match &self.source {
            ModelSource::File(path) => vec![(PATH, ParameterValue::Text(path.clone()))],
            ModelSource::Content(ModelRef { digest, name }) => {
                let digest = (MODEL, ParameterValue::Text(digest.to_string()));
                let name = name
                    .as_ref()
                    .map(|name| (Self::LABEL, ParameterValue::Text(name.to_string())));
                std::iter::once(digest).chain(name).collect()
            }
        };
        parameters.push((INPUT, ParameterValue::Text(shape)));
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
        let input = arguments
            .text(INPUT)
            .ok_or_else(|| missing(INPUT, "the shape of one sample, such as 3x256x256"))?;
        Ok(Self {
            source: source(arguments)?,
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

/// Either a path, or a digest and perhaps a name.
fn source(arguments: &Arguments) -> Result<ModelSource, WorkloadError> {
    let workload = TorchScript::NAME;
    let text = |parameter| arguments.text(parameter).filter(|text| !text.is_empty());
    let excluded = |parameter, other| WorkloadError::Excluded {
        workload,
        parameter,
        other,
    };
    let malformed = |parameter, text, form| WorkloadError::Malformed {
        workload,
        parameter,
        text: shortened(text),
        form,
    };
    match (text(PATH), text(MODEL), text(NAME)) {
        (None, None, _) => Err(WorkloadError::Missing {
            workload,
            parameter: PATH,
            meaning: "the file that torch.jit.save wrote, or model=sha256:.. of content that the coordinator has",
        }),
        (Some(_), Some(_), _) => Err(excluded(PATH, MODEL)),
        (Some(_), None, Some(_)) => Err(excluded(NAME, PATH)),
        (Some(path), None, None) => Ok(ModelSource::File(path.to_owned())),
        (None, Some(digest), name) => Ok(ModelSource::Content(ModelRef {
            digest: digest
                .parse()
                .map_err(|_| malformed(MODEL, digest, "sha256: and 64 hexadecimal digits"))?,
            name: name
                .map(|name| {
                    name.parse()
                        .map_err(|_| malformed(NAME, name, "a file's name of at most 255 bytes"))
                })
                .transpose()?,
        })),
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
