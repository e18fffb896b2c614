//! `batchstep workloads`: the catalogue, for people and programs. Prints what the protocol crate defines and nothing else.

use anyhow::Result;
use batchstep_core::steptable::SCHEMA_VERSION;
use batchstep_proto::{
    domain::Mode,
    workload::{CATALOGUE, Definition, ParameterDefinition, WorkloadSpec},
};
use batchstep_report::cells;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Exit, text};

/// Flags of `batchstep workloads`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  batchstep workloads
  batchstep local --workload cnn:image=64 --workload matmul:k=4096,n=4096
  batchstep local --workload torchscript:path=model.pt,input=3x224x224,target=class:10")]
pub(super) struct Options {
    /// How the list is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: ListFormat,
}

/// How the list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Lists the workloads.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn run(options: &Options) -> Result<Exit> {
    match options.format {
        ListFormat::Json => {
            let workloads: Vec<_> = CATALOGUE.iter().map(as_json).collect();
            text::print_json(&json!({"schema_version": SCHEMA_VERSION, "workloads": workloads}))?;
        }
        ListFormat::Table => {
            let entries: Vec<String> = CATALOGUE.iter().map(for_people).collect();
            text::print_line(&entries.join("\n"))?;
        }
    }
    Ok(Exit::Done)
}

fn as_json(definition: &Definition) -> serde_json::Value {
    let parameters: Vec<_> = definition
        .parameters
        .iter()
        .map(|parameter| {
            json!({
                "name": parameter.name,
                "default": parameter.default,
                "least": parameter.default.map(|_| parameter.range.0),
                "most": parameter.default.map(|_| parameter.range.1),
                "meaning": parameter.meaning,
            })
        })
        .collect();
    let network = usual(definition);
    let flops = |mode| {
        network
            .as_ref()
            .and_then(|network| network.flops_per_sample(mode))
    };
    json!({
        "name": definition.name,
        "summary": definition.summary,
        "parameters": parameters,
        "input_shape": network.as_ref().map(WorkloadSpec::input_shape),
        "parameter_count": network.as_ref().and_then(WorkloadSpec::parameter_count),
        "flops_per_sample": {"train": flops(Mode::Train), "infer": flops(Mode::Infer)},
    })
}

/// The network with its usual parameters, where it has some for all of them.
fn usual(definition: &Definition) -> Option<WorkloadSpec> {
    definition.name.parse().ok()
}

fn for_people(definition: &Definition) -> String {
    let mut entry = format!("{}: {}\n", definition.name, definition.summary);
    for parameter in definition.parameters {
        let ParameterDefinition {
            name,
            default,
            range: (least, most),
            meaning,
        } = parameter;
        let value = default.map_or_else(
            || format!("{name}=.."),
            |default| format!("{name}={default}"),
        );
        let range = default.map_or_else(String::new, |_| format!(" ({least} to {most})"));
        entry.push_str(&format!("  {value:<16} {meaning}{range}\n"));
    }
    if let Some(network) = usual(definition) {
        entry.push_str(&facts(&network));
    }
    entry
}

/// Size and arithmetic of a network, in a line.
fn facts(network: &WorkloadSpec) -> String {
    let shape: Vec<String> = network.input_shape().iter().map(u32::to_string).collect();
    let count = |number: Option<u64>| {
        number.map_or_else(
            || cells::ABSENT.to_owned(),
            |number| cells::prefixed(number as f64),
        )
    };
    format!(
        "  by default: input {}, {} parameters, {} FLOP per sample in training, {} in inference\n",
        shape.join("x"),
        count(network.parameter_count()),
        count(network.flops_per_sample(Mode::Train)),
        count(network.flops_per_sample(Mode::Infer)),
    )
}
