//! What an error of NVML means: for one value, for one device, or for the whole session.

use batchstep_proto::{causes::innermost, inventory::Absent};
use nvml_wrapper::error::NvmlError;

/// Why NVML cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such library.
    #[error(
        "libnvidia-ml.so.1 cannot be loaded: {0}; install the NVIDIA driver's libraries, or give the container the NVIDIA runtime with the capability `utility`"
    )]
    Library(String),
    /// The kernel module is not there.
    #[error(
        "the NVIDIA kernel driver is not loaded; `modprobe nvidia`, or see `dmesg | grep NVRM`"
    )]
    NoDriver,
    /// Library and kernel module are of different versions.
    #[error(
        "version mismatch: NVML and the loaded NVIDIA kernel driver are not of one version, as after an upgrade; reboot, or reload the driver"
    )]
    VersionMismatch,
    /// This user may not.
    #[error("this user may not talk to the NVIDIA driver; see the permissions of /dev/nvidiactl")]
    NoPermission,
    /// Something else.
    #[error("NVML cannot be started: {0}; `nvidia-smi` may say more")]
    Other(String),
}

impl From<NvmlError> for OpenError {
    fn from(error: NvmlError) -> Self {
        match error {
            NvmlError::LibloadingError(error) => Self::Library(innermost(&error)),
            NvmlError::LibraryNotFound => Self::Library("it is not found".to_owned()),
            NvmlError::DriverNotLoaded => Self::NoDriver,
            NvmlError::LibRmVersionMismatch => Self::VersionMismatch,
            NvmlError::NoPermission => Self::NoPermission,
            other => Self::Other(other.to_string()),
        }
    }
}

/// A session that must be opened anew.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// NVML does not work any more.
    #[error(transparent)]
    Session(#[from] OpenError),
    /// The GPUs of the host are not those that the session was opened on.
    #[error("the host's GPUs have changed")]
    Changed,
}

/// True when every further call of this session would end the same way.
pub(crate) const fn ends_session(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::Uninitialized | NvmlError::DriverNotLoaded | NvmlError::LibRmVersionMismatch
    )
}

/// True when the device is gone for good, or until a reset.
pub(crate) const fn is_lost(error: &NvmlError) -> bool {
    matches!(error, NvmlError::GpuLost | NvmlError::ResetRequired)
}

/// True when the same question always has the same answer: the only errors that are remembered.
pub(crate) const fn is_lasting(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_)
    )
}

/// Why a value is absent after this error.
pub(crate) const fn reason(error: &NvmlError) -> Absent {
    match error {
        NvmlError::NotSupported => Absent::NotSupported,
        NvmlError::NoPermission => Absent::NoPermission,
        NvmlError::GpuLost | NvmlError::ResetRequired => Absent::Lost,
        NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => Absent::SymbolMissing,
        _ => Absent::Unknown,
    }
}
