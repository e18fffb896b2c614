//! From `name:key=value,..` to a checked [`WorkloadSpec`].

use std::{ops::RangeInclusive, str::FromStr};

use super::{
    Cnn, Conv, Definition, Linear, Matmul, ResNet50, TorchScript, Transformer, WorkloadError,
    WorkloadSpec, catalogue::definition,
};

/// The `key=value` parts of one spec, each key known to its workload and given once.
pub(super) struct Arguments<'a> {
    workload: &'static str,
    pairs: Vec<(&'static str, &'a str)>,
}

impl<'a> Arguments<'a> {
    fn new(definition: &Definition, text: &'a str) -> Result<Self, WorkloadError> {
        let workload = definition.name;
        let mut pairs: Vec<(&'static str, &'a str)> = Vec::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let Some((key, value)) = part.split_once('=') else {
                return Err(WorkloadError::NotAPair {
                    workload,
                    part: shortened(part),
                });
            };
            let Some(parameter) = definition.parameter(key.trim()) else {
                return Err(WorkloadError::UnknownParameter {
                    workload,
                    parameter: shortened(key.trim()),
                    known: definition
                        .parameters
                        .iter()
                        .map(|parameter| parameter.name)
                        .collect(),
                });
            };
            if pairs.iter().any(|(known, _)| *known == parameter.name) {
                return Err(WorkloadError::Twice {
                    workload,
                    parameter: parameter.name,
                });
            }
            pairs.push((parameter.name, value.trim()));
        }
        Ok(Self { workload, pairs })
    }

    /// The text of a parameter, if it was given.
    pub(super) fn text(&self, parameter: &str) -> Option<&'a str> {
        self.pairs
            .iter()
            .find(|(name, _)| *name == parameter)
            .map(|(_, value)| *value)
    }

    /// A number within its range, or its default.
    pub(super) fn number(
        &self,
        parameter: &'static str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Result<u32, WorkloadError> {
        let Some(text) = self.text(parameter) else {
            return Ok(default);
        };
        let (workload, least, most) = (self.workload, *range.start(), *range.end());
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(WorkloadError::NotANumber {
                workload,
                parameter,
                text: shortened(text),
                least,
                most,
            });
        }
        // More digits than fit is a huge number, not a malformed one.
        let value: u64 = text.parse().unwrap_or(u64::MAX);
        u32::try_from(value)
            .ok()
            .filter(|value| range.contains(value))
            .ok_or(WorkloadError::OutOfRange {
                workload,
                parameter,
                value,
                least,
                most,
            })
    }
}

/// Enough of a text to recognise it.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

impl FromStr for WorkloadSpec {
    type Err = WorkloadError;

    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        let (name, arguments) = text.split_once(':').unwrap_or((text, ""));
        let name = name.trim();
        if name.is_empty() {
            return Err(WorkloadError::Empty);
        }
        let definition = definition(name).ok_or_else(|| WorkloadError::UnknownWorkload {
            name: shortened(name),
        })?;
        let arguments = Arguments::new(definition, arguments)?;
        match definition.name {
            Cnn::NAME => Cnn::from_arguments(&arguments).map(Self::Cnn),
            Linear::NAME => Linear::from_arguments(&arguments).map(Self::Linear),
            Conv::NAME => Conv::from_arguments(&arguments).map(Self::Conv),
            Matmul::NAME => Matmul::from_arguments(&arguments).map(Self::Matmul),
            ResNet50::NAME => ResNet50::from_arguments(&arguments).map(Self::ResNet50),
            Transformer::NAME => Transformer::from_arguments(&arguments).map(Self::Transformer),
            _ => TorchScript::from_arguments(&arguments).map(Self::TorchScript),
        }
    }
}
