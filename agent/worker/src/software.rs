//! Which libtorch this process really runs with: the loader may find another one than the compiler did.

use batchstep_proto::domain::Software;

use crate::{cuda, failure::Failure, shim};

/// The libtorch that this worker is written for.
pub const LIBTORCH_VERSION: &str = "2.11.0";

/// A libtorch that this worker must not measure with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LibtorchError {
    /// The loader found another version.
    #[error(
        "libtorch {loaded} was loaded, but batchstep-worker needs {LIBTORCH_VERSION}: run `make libtorch`, or let LD_LIBRARY_PATH name the folder torch/lib of a PyTorch {LIBTORCH_VERSION}"
    )]
    Version {
        /// What was found.
        loaded: String,
    },
    /// The library does not say.
    #[error("libtorch does not tell its version")]
    Unknown(#[source] Failure),
}

/// The version of the loaded libtorch, "2.11.0", without a build's suffix.
///
/// # Errors
/// When it cannot be read.
pub fn loaded_version() -> Result<String, LibtorchError> {
    let config = shim::show_config().map_err(LibtorchError::Unknown)?;
    version_in(&config).ok_or_else(|| {
        LibtorchError::Unknown(Failure::workload("no TORCH_VERSION in its configuration"))
    })
}

/// Finds "TORCH_VERSION=2.11.0," in what libtorch tells of itself.
fn version_in(config: &str) -> Option<String> {
    let (_, rest) = config.split_once("TORCH_VERSION=")?;
    let version = rest
        .split(|c: char| c == ',' || c == '+' || c.is_whitespace())
        .next()?;
    (!version.is_empty()).then(|| version.to_owned())
}

/// Makes sure that the loaded libtorch is [`LIBTORCH_VERSION`].
///
/// # Errors
/// When it is not.
pub fn check() -> Result<(), LibtorchError> {
    agrees(&loaded_version()?)
}

fn agrees(loaded: &str) -> Result<(), LibtorchError> {
    if loaded == LIBTORCH_VERSION {
        Ok(())
    } else {
        Err(LibtorchError::Version {
            loaded: loaded.to_owned(),
        })
    }
}

/// The versions that a result depends on. CUDA's are left out when the device is not one of CUDA's.
#[must_use]
pub fn versions(cuda: bool) -> Software {
    let mut software = Software {
        libtorch: loaded_version().ok(),
        batchstep: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..Software::default()
    };
    if cuda {
        software.driver = cuda::driver_version();
        if let Ok((cudart, cudnn)) = shim::cuda_versions() {
            software.cuda = Some(format!("{}.{}", cudart / 1000, cudart % 1000 / 10));
            software.cudnn = (cudnn > 0).then(|| {
                format!(
                    "{}.{}.{}",
                    cudnn / 10_000,
                    cudnn % 10_000 / 100,
                    cudnn % 100
                )
            });
        }
    }
    software
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaded_library_is_the_one_compiled_against() {
        assert_eq!(loaded_version().unwrap(), LIBTORCH_VERSION);
        assert_eq!(shim::built_version(), LIBTORCH_VERSION);
        check().unwrap();
    }

    #[test]
    fn versions_are_found_in_the_configuration() {
        let config = "PyTorch built with:\n  - Build settings: BLAS_INFO=mkl, TORCH_VERSION=2.10.0+cu130, USE_CUDA=1";
        assert_eq!(version_in(config).as_deref(), Some("2.10.0"));
        assert_eq!(version_in("nothing"), None);
    }

    #[test]
    fn another_version_is_named_with_what_to_do() {
        let message = agrees("2.10.0").unwrap_err().to_string();
        assert!(
            message.starts_with("libtorch 2.10.0 was loaded, but batchstep-worker needs 2.11.0"),
            "{message}"
        );
        assert!(message.contains("make libtorch"));
    }

    #[test]
    fn a_cpu_result_depends_on_no_cuda_version() {
        let software = versions(false);
        assert_eq!(software.libtorch.as_deref(), Some(LIBTORCH_VERSION));
        assert_eq!(
            (software.driver, software.cuda, software.cudnn),
            (None, None, None)
        );
    }
}
