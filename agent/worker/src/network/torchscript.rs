//! The user's own network, as `torch.jit.save` wrote it. Every error names it as its user does.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use batchstep_proto::{
    domain::Mode,
    workload::{ModelSource, Target, TorchScript},
};
use tch::{CModule, Device, Kind, Tensor};

use super::{Network, Objective, Plan};
use crate::failure::Failure;

#[derive(Debug)]
struct Script {
    name: String,
    module: CModule,
}

impl Network for Script {
    fn forward(&self, input: &Tensor, _training: bool) -> Result<Tensor, Failure> {
        self.module
            .forward_ts(&[input])
            .map_err(|error| Failure::from(error).while_doing(&self.name))
    }
}

/// Loads `torchscript` and the tensors it learns. `file` holds content that is named by its digest.
pub(super) fn load(
    spec: &TorchScript,
    file: Option<&Path>,
    mode: Mode,
    device: Device,
    kind: Kind,
) -> Result<(Plan, Vec<Tensor>), Failure> {
    if mode == Mode::Train && spec.target.is_none() {
        return Err(Failure::workload(format!(
            "{} cannot be trained without a target: add target=class:N or target=values:N, or use the mode infer",
            spec.source
        )));
    }
    let path = match (&spec.source, file) {
        (ModelSource::File(path), _) => Path::new(path),
        (ModelSource::Content(_), Some(file)) => file,
        (ModelSource::Content(model), None) => {
            return Err(Failure::workload(format!(
                "{model}: the agent handed over no file with its content"
            )));
        }
    };
    load_module(spec, path, mode, device, kind).map_err(|failure| failure.while_doing(&spec.source))
}

fn load_module(
    spec: &TorchScript,
    path: &Path,
    mode: Mode,
    device: Device,
    kind: Kind,
) -> Result<(Plan, Vec<Tensor>), Failure> {
    // libtorch's own text for a missing file is about its archive reader.
    std::fs::File::open(path)
        .map_err(|error| Failure::workload(format!("cannot be read: {error}")))?;
    let mut module = CModule::load_on_device(path, device)?;
    if kind != Kind::Float {
        // The one module call of tch without a fallible form.
        catch_unwind(AssertUnwindSafe(|| module.to(device, kind, false)))
            .map_err(|_| Failure::workload(format!("cannot be converted to {kind:?}")))?;
    }
    match mode {
        Mode::Train => module.f_set_train()?,
        Mode::Infer => module.f_set_eval()?,
    }
    let mut parameters = Vec::new();
    for (_, parameter) in module.named_parameters()? {
        if parameter.is_floating_point() {
            parameters.push(parameter.f_set_requires_grad(mode == Mode::Train)?);
        }
    }
    if mode == Mode::Train && parameters.is_empty() {
        return Err(Failure::workload(
            "has no parameters to train; use the mode infer",
        ));
    }
    let plan = Plan {
        network: Box::new(Script {
            name: spec.source.to_string(),
            module,
        }),
        input: spec.input.iter().copied().map(i64::from).collect(),
        input_scale: 1.0,
        objective: match spec.target {
            Some(Target::Class(classes)) => Objective::Class(i64::from(classes)),
            Some(Target::Values(values)) => Objective::Values(vec![i64::from(values)]),
            None => Objective::None,
        },
        learning_rate: 0.01,
    };
    Ok((plan, parameters))
}
