//! What `batchstep-worker --describe` prints: what this binary would measure with, for `batchstep-agent doctor`.

use serde::Serialize;

use crate::{
    cuda::{self, Built, DeviceProperties, Driver, Preload},
    shim, software,
};

/// The description, printed as JSON.
#[derive(Debug, Serialize)]
pub struct Description {
    /// Version of this layout.
    pub schema_version: u32,
    /// The worker's own version.
    pub batchstep: &'static str,
    /// The libtorch it was compiled with.
    pub libtorch_built: String,
    /// The libtorch that was loaded.
    pub libtorch_loaded: Option<String>,
    /// What is wrong with that, if anything.
    pub libtorch_problem: Option<String>,
    /// True when libtorch reaches a CUDA device.
    pub cuda_available: bool,
    /// Why not, where there is an NVIDIA driver.
    pub cuda_problem: Option<String>,
    /// NVIDIA kernel driver.
    pub driver: Option<String>,
    /// CUDA runtime, where CUDA is in use; else the major version that libtorch was built for.
    pub cuda: Option<String>,
    /// Compute capabilities that libtorch carries code for, "9.0" or, as a source for newer ones, "12.0+PTX"; `None`: it does not tell.
    pub cuda_architectures: Option<Vec<String>>,
    /// cuDNN, where CUDA is in use.
    pub cudnn: Option<String>,
    /// CUDA devices the driver shows to this process.
    pub devices: Vec<DeviceProperties>,
    /// Threads libtorch computes with on the CPU.
    pub threads: i32,
}

/// Looks at libtorch and the driver.
#[must_use]
pub fn describe(preload: &Preload) -> Description {
    let problem = software::check().err().map(|error| error.to_string());
    let (devices, driver_problem) = match preload {
        Preload::NoDriver => (Vec::new(), None),
        Preload::Loaded | Preload::Failed(_) => {
            match Driver::load().and_then(|driver| driver.devices()) {
                Ok(devices) => (devices, None),
                Err(failure) => (Vec::new(), Some(failure.message)),
            }
        }
    };
    let cuda_available = *preload == Preload::Loaded && tch::Cuda::is_available();
    let versions = software::versions(cuda_available);
    let built = cuda::built_library().and_then(|library| Built::read(&library));
    Description {
        schema_version: 1,
        batchstep: env!("CARGO_PKG_VERSION"),
        libtorch_built: shim::built_version(),
        libtorch_loaded: software::loaded_version().ok(),
        libtorch_problem: problem,
        cuda_available,
        cuda_problem: cuda_problem(preload, driver_problem, !devices.is_empty(), cuda_available),
        driver: cuda::driver_version(),
        cuda: versions
            .cuda
            .or_else(|| Some(built.as_ref()?.cuda_major?.to_string())),
        cuda_architectures: built.map(|built| built.architectures),
        cudnn: versions.cudnn,
        devices,
        threads: tch::get_num_threads(),
    }
}

/// Why libtorch reaches no CUDA device where there is an NVIDIA driver; `devices`: the driver shows some.
fn cuda_problem(
    preload: &Preload,
    driver_problem: Option<String>,
    devices: bool,
    available: bool,
) -> Option<String> {
    match preload {
        Preload::Failed(reason) => Some(reason.clone()),
        _ => {
            driver_problem.or_else(|| (devices && !available).then(|| cuda::UNREACHABLE.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_out_of_reach_are_a_problem_with_a_way_out() {
        let problem = |devices, available| cuda_problem(&Preload::Loaded, None, devices, available);
        let old_driver = problem(true, false).unwrap();
        assert!(old_driver.contains("580"), "{old_driver}");
        assert!(old_driver.contains("--devices cpu"), "{old_driver}");
        assert_eq!(problem(true, true), None);
        assert_eq!(problem(false, false), None, "there is nothing to reach");
    }

    #[test]
    fn what_is_known_better_is_told_instead() {
        let failed = Preload::Failed("no libtorch_cuda.so".to_owned());
        assert_eq!(
            cuda_problem(&failed, None, true, false).as_deref(),
            Some("no libtorch_cuda.so")
        );
        let silent = Some("cuInit: CUDA error".to_owned());
        assert_eq!(
            cuda_problem(&Preload::Loaded, silent.clone(), false, false),
            silent
        );
    }
}
