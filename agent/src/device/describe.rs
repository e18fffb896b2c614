//! Asks the worker what libtorch it has and which GPUs that reaches (`batchstep-worker --describe`): the agent links neither.

use std::{io, path::Path, process::Stdio, time::Duration};

use batchstep_proto::domain::{Device, DeviceKind, Ineligibility, Software};
use serde::Deserialize;
use tokio::{process::Command, time};

use crate::exit_status::explain_start;

/// For loading libtorch and CUDA from a cold network disk.
const LIMIT: Duration = Duration::from_secs(60);

/// A worker that cannot describe itself.
#[derive(Debug, thiserror::Error)]
pub enum DescribeError {
    /// It cannot be started.
    #[error("the worker cannot be started")]
    Start(#[source] io::Error),
    /// It takes too long.
    #[error("the worker did not answer within {} s", LIMIT.as_secs())]
    Slow,
    /// It ended with an error; in words, with what to do.
    #[error("{0}")]
    Failed(String),
    /// Its answer is not the expected JSON.
    #[error("the worker's description is not understood; agent and worker must be of one build")]
    Answer(#[source] serde_json::Error),
}

/// What a worker says about itself; of its answer what an agent needs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Description {
    /// The worker's own version.
    #[serde(default)]
    pub batchstep: Option<String>,
    /// The libtorch the worker was built for.
    pub libtorch_built: String,
    /// The one that was loaded.
    pub libtorch_loaded: Option<String>,
    /// What is wrong with that.
    #[serde(default)]
    pub libtorch_problem: Option<String>,
    /// Why CUDA is out of reach, where there is an NVIDIA driver.
    #[serde(default)]
    pub cuda_problem: Option<String>,
    /// The CUDA that libtorch was built for: "13.0", or the major version alone.
    #[serde(default)]
    pub cuda: Option<String>,
    /// cuDNN, where CUDA is in use.
    #[serde(default)]
    pub cudnn: Option<String>,
    /// Compute capabilities that libtorch carries code for; absent where it does not tell.
    #[serde(default)]
    pub cuda_architectures: Option<Vec<String>>,
    /// CUDA devices the driver shows.
    #[serde(default)]
    pub devices: Vec<GpuDescription>,
}

/// A GPU as CUDA tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GpuDescription {
    /// "GPU-...".
    pub uuid: String,
    /// Marketing name.
    pub name: String,
    /// SMs.
    pub multiprocessors: u32,
    /// "9.0".
    pub compute_capability: String,
    /// Bytes.
    pub memory_bytes: u64,
}

impl Description {
    /// What the worker measures with; the driver is each device's own.
    pub fn software(&self) -> Software {
        Software {
            driver: None,
            libtorch: self.libtorch_loaded.clone(),
            cuda: self.cuda.clone(),
            cudnn: self.cudnn.clone(),
            batchstep: self.batchstep.clone(),
        }
    }

    /// The GPUs as devices.
    pub fn gpus(&self, driver: &str) -> impl Iterator<Item = Device> {
        self.devices.iter().map(move |gpu| Device {
            id: gpu.uuid.clone(),
            kind: DeviceKind::Cuda,
            model: gpu.name.clone(),
            compute_units: Some(gpu.multiprocessors),
            memory_bytes: Some(gpu.memory_bytes),
            mig_profile: None,
            compute_capability: Some(gpu.compute_capability.clone()),
            driver: (driver != "unknown").then(|| driver.to_owned()),
            pci_device_id: None,
            ineligible: self
                .cuda_problem
                .iter()
                .map(|problem| Ineligibility {
                    code: "cuda_unreachable".to_owned(),
                    message: problem.clone(),
                })
                .collect(),
        })
    }
}

/// Runs `worker --describe`.
///
/// # Errors
/// When it cannot be started, fails, takes too long or answers something else.
pub async fn describe(worker: &Path) -> Result<Description, DescribeError> {
    let output = Command::new(worker)
        .arg("--describe")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = time::timeout(LIMIT, output)
        .await
        .map_err(|_| DescribeError::Slow)?
        .map_err(DescribeError::Start)?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(DescribeError::Failed(explain_start(
            output.status,
            stderr.trim(),
        )));
    }
    serde_json::from_slice(&output.stdout).map_err(DescribeError::Answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_gives_devices() {
        let text = r#"{"schema_version":1,"libtorch_built":"2.11.0","libtorch_loaded":"2.11.0","cuda":"13.0","threads":8,
            "devices":[{"index":0,"uuid":"GPU-1","name":"NVIDIA H200","multiprocessors":132,"memory_bytes":150754820096,"compute_capability":"9.0"}]}"#;
        let description: Description = serde_json::from_str(text).unwrap();
        let gpus: Vec<Device> = description.gpus("590.48.01").collect();
        assert_eq!(gpus.len(), 1);
        assert_eq!(
            (gpus[0].id.as_str(), gpus[0].kind),
            ("GPU-1", DeviceKind::Cuda)
        );
        assert_eq!(gpus[0].driver.as_deref(), Some("590.48.01"));
        let bare: Description =
            serde_json::from_str(r#"{"libtorch_built":"2.11.0","libtorch_loaded":null}"#).unwrap();
        assert_eq!(bare.gpus("unknown").count(), 0);
    }

    #[test]
    fn gpus_out_of_reach_are_not_eligible() {
        let text = r#"{"libtorch_built":"2.11.0","libtorch_loaded":"2.11.0","cuda_problem":"the driver is too old",
            "devices":[{"uuid":"GPU-1","name":"A","multiprocessors":1,"memory_bytes":1,"compute_capability":"9.0"},
                       {"uuid":"GPU-2","name":"A","multiprocessors":1,"memory_bytes":1,"compute_capability":"9.0"}]}"#;
        let description: Description = serde_json::from_str(text).unwrap();
        let gpus: Vec<Device> = description.gpus("535.183.06").collect();
        assert_eq!(gpus.len(), 2);
        for gpu in gpus {
            assert_eq!(
                gpu.ineligible,
                [Ineligibility {
                    code: "cuda_unreachable".to_owned(),
                    message: "the driver is too old".to_owned()
                }]
            );
        }
    }

    #[tokio::test]
    async fn a_worker_that_fails_is_explained() {
        assert!(matches!(
            describe(Path::new("/nonexistent")).await,
            Err(DescribeError::Start(_))
        ));
        assert!(matches!(
            describe(Path::new("/bin/false")).await,
            Err(DescribeError::Failed(_))
        ));
        assert!(matches!(
            describe(Path::new("/bin/echo")).await,
            Err(DescribeError::Answer(_))
        ));
    }
}
