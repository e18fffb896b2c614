//! Workloads as people name them: `cnn`, `linear:inputs=512,outputs=256`, `torchscript:path=net.pt,input=3x256x256,target=class:10`.
//!
//! A [`WorkloadSpec`] is a checked value: every parameter is present and within its range, and it prints in one canonical form that is part
//! of every result's key. The worker builds networks from it; everyone else only names, compares and prints it.

mod catalogue;
mod error;
mod facts;
mod parse;
mod torchscript;

use std::{collections::BTreeMap, fmt};

pub use catalogue::{
    CATALOGUE, Cnn, Conv, Definition, Linear, Matmul, ParameterDefinition, ResNet50, Transformer,
};
pub use error::WorkloadError;
pub use torchscript::{ModelRef, ModelSource, NotATarget, Target, TorchScript};

/// A network with all of its parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadSpec {
    /// The article's convolutional network.
    Cnn(Cnn),
    /// One fully connected layer.
    Linear(Linear),
    /// One convolution.
    Conv(Conv),
    /// One matrix product.
    Matmul(Matmul),
    /// ResNet-50.
    ResNet50(ResNet50),
    /// One transformer encoder block.
    Transformer(Transformer),
    /// The user's own exported network.
    TorchScript(TorchScript),
}

/// The value of one parameter, for JSON.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum ParameterValue {
    /// A count or an extent.
    Number(u32),
    /// Anything else.
    Text(String),
}

impl WorkloadSpec {
    /// Its name without parameters, as in [`CATALOGUE`].
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cnn(_) => Cnn::NAME,
            Self::Linear(_) => Linear::NAME,
            Self::Conv(_) => Conv::NAME,
            Self::Matmul(_) => Matmul::NAME,
            Self::ResNet50(_) => ResNet50::NAME,
            Self::Transformer(_) => Transformer::NAME,
            Self::TorchScript(_) => TorchScript::NAME,
        }
    }

    /// All parameters in canonical order, defaults included.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, ParameterValue)> {
        match self {
            Self::Cnn(network) => network.parameters(),
            Self::Linear(network) => network.parameters(),
            Self::Conv(network) => network.parameters(),
            Self::Matmul(network) => network.parameters(),
            Self::ResNet50(network) => network.parameters(),
            Self::Transformer(network) => network.parameters(),
            Self::TorchScript(network) => network.parameters(),
        }
    }

    /// The canonical form with its labels: what a user's own network is called. Never a key.
    #[must_use]
    pub const fn labelled(&self) -> Labelled<'_> {
        Labelled(self)
    }

    /// The user's own network behind this workload, if it is one that the coordinator hands out.
    #[must_use]
    pub const fn model(&self) -> Option<&ModelRef> {
        match self {
            Self::TorchScript(TorchScript {
                source: ModelSource::Content(model),
                ..
            }) => Some(model),
            _ => None,
        }
    }

    /// The same by name, as the JSON contract prints them.
    #[must_use]
    pub fn parameter_map(&self) -> BTreeMap<String, ParameterValue> {
        self.parameters()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

impl fmt::Display for ParameterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// The canonical form, equal for equal specs: the name, then every parameter that differs from its default. Labels are left out.
impl fmt::Display for WorkloadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, false)
    }
}

/// A spec with its labels, as it travels and as people see it: see [`WorkloadSpec::labelled`].
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a>(&'a WorkloadSpec);

impl fmt::Display for Labelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, true)
    }
}

impl WorkloadSpec {
    fn write(&self, f: &mut fmt::Formatter<'_>, labels: bool) -> fmt::Result {
        f.write_str(self.name())?;
        let mut separator = ':';
        for (name, value) in self.parameters() {
            if !labels && name == TorchScript::LABEL {
                continue;
            }
            let default = catalogue::definition(self.name())
                .and_then(|definition| definition.parameter(name))
                .and_then(|parameter| parameter.default);
            let is_default = matches!((&value, default), (ParameterValue::Number(number), Some(default)) if *number == default);
            if !is_default {
                write!(f, "{separator}{name}={value}")?;
                separator = ',';
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn defaults_are_left_out_and_filled_in() {
        let linear: WorkloadSpec = "linear:outputs=256,inputs=512".parse().unwrap();
        assert_eq!(
            linear,
            WorkloadSpec::Linear(Linear {
                inputs: 512,
                outputs: 256
            })
        );
        assert_eq!(linear.to_string(), "linear:outputs=256");
        assert_eq!(
            linear.parameter_map()["inputs"],
            ParameterValue::Number(512)
        );
        assert_eq!(
            serde_json::to_value(linear.parameter_map()).unwrap(),
            serde_json::json!({"inputs": 512, "outputs": 256})
        );
    }

    #[test]
    fn every_definition_parses_and_prints_as_its_name() {
        for definition in CATALOGUE {
            if definition.name == TorchScript::NAME {
                continue;
            }
            let spec: WorkloadSpec = definition.name.parse().unwrap();
            assert_eq!(spec.to_string(), definition.name);
            assert_eq!(spec.parameters().len(), definition.parameters.len());
        }
    }

    #[test]
    fn torchscript_keeps_its_path_shape_and_target() {
        let text = "torchscript:path=nets/a b.pt,input=3x256x256,target=class:10";
        let spec: WorkloadSpec = text.parse().unwrap();
        assert_eq!(spec.to_string(), text);
        let WorkloadSpec::TorchScript(network) = &spec else {
            panic!("{spec:?}")
        };
        assert_eq!(network.input, [3, 256, 256]);
        assert_eq!(network.target, Some(Target::Class(10)));
        let inference: WorkloadSpec = "torchscript:path=a.pt,input=8".parse().unwrap();
        assert_eq!(inference.to_string(), "torchscript:path=a.pt,input=8");
    }

    #[test]
    fn content_is_the_key_and_its_name_a_label() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let named = format!("torchscript:model={digest},name=my net.pt,input=8");
        let spec: WorkloadSpec = named.parse().unwrap();
        assert_eq!(spec.labelled().to_string(), named);
        let canonical = format!("torchscript:model={digest},input=8");
        assert_eq!(spec.to_string(), canonical);
        let nameless: WorkloadSpec = canonical.parse().unwrap();
        assert_eq!(spec, nameless);
        assert_eq!(spec.cmp(&nameless), std::cmp::Ordering::Equal);
        assert_eq!(
            serde_json::to_value(spec.parameter_map()).unwrap(),
            serde_json::json!({"model": digest, "name": "my net.pt", "input": "8"})
        );
        assert_eq!(spec.model().unwrap().to_string(), "my net.pt");
        assert_eq!(nameless.model().unwrap().to_string(), "sha256:0a0a0a0a0a0a");
        let other: WorkloadSpec = canonical.replace("0a0a", "0a0b").parse().unwrap();
        assert_ne!(spec, other);
        let file: WorkloadSpec = "torchscript:path=a.pt,input=8".parse().unwrap();
        assert!(file.model().is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, expected) in [
            (
                "cn",
                "unknown workload \"cn\"; did you mean cnn? known: cnn, linear, conv, matmul, resnet50, transformer, torchscript",
            ),
            (
                "zzzzzz",
                "unknown workload \"zzzzzz\"; known: cnn, linear, conv, matmul, resnet50, transformer, torchscript",
            ),
            (
                "linear:input=3",
                "workload linear has no parameter \"input\"; did you mean inputs? known: inputs, outputs",
            ),
            (
                "linear:inputs",
                "\"inputs\" in workload linear is not of the form key=value",
            ),
            (
                "linear:inputs=0",
                "parameter inputs of workload linear is 0, not between 1 and 65536",
            ),
            (
                "linear:inputs=many",
                "parameter inputs of workload linear is \"many\", not a whole number between 1 and 65536",
            ),
            (
                "linear:inputs=3,inputs=4",
                "parameter inputs of workload linear is given twice",
            ),
            (
                "cnn:image=100",
                "parameter image of workload cnn is 100, not a multiple of 16",
            ),
            (
                "transformer:heads=7",
                "parameter heads of workload transformer is 7, which does not divide width=512",
            ),
            (
                "torchscript:input=3",
                "workload torchscript needs the parameter path: the file that torch.jit.save wrote, or model=sha256:.. of content that the coordinator has",
            ),
            (
                "torchscript:path=a.pt,model=sha256:00,input=3",
                "parameters path and model of workload torchscript exclude each other; give one of them",
            ),
            (
                "torchscript:path=a.pt,name=b,input=3",
                "parameters name and path of workload torchscript exclude each other; give one of them",
            ),
            (
                "torchscript:model=sha256:00,input=3",
                "parameter model of workload torchscript is \"sha256:00\", not sha256: and 64 hexadecimal digits",
            ),
            (
                "torchscript:path=a.pt,input=0x3",
                "parameter input of workload torchscript is \"0x3\", not the shape of one sample such as 3x256x256",
            ),
            (
                "torchscript:path=a.pt,input=3,target=label",
                "parameter target of workload torchscript is \"label\", not class:N or values:N",
            ),
            (
                "",
                "no workload given; known: cnn, linear, conv, matmul, resnet50, transformer, torchscript",
            ),
        ] {
            assert_eq!(
                text.parse::<WorkloadSpec>().unwrap_err().to_string(),
                expected,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_what_is_parsed_comes_back(text in "(cnn|linear|conv|torchscript|\\PC{0,8})(:\\PC{0,30})?") {
            if let Ok(spec) = text.parse::<WorkloadSpec>() {
                prop_assert_eq!(spec.to_string().parse::<WorkloadSpec>().unwrap(), spec);
            }
        }
    }
}
