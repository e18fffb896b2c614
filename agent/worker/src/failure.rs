//! What can go wrong while a network runs, sorted by what it means for the sweep.
//!
//! libtorch tells everything as text: its first line is kept, the backtrace behind it is not. Nothing outside this module looks into
//! error texts.

use batchstep_proto::limits;
use tch::TchError;

/// What an error means for the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The batch does not fit: a result.
    OutOfMemory,
    /// The device is unusable for this process from now on.
    DeviceLost,
    /// Anything else: this workload at this batch size does not run.
    Workload,
}

/// A failure with the first line of its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What it means.
    pub kind: FailureKind,
    /// One line for people.
    pub message: String,
}

/// Texts that stand for a device or host without memory.
const OUT_OF_MEMORY: &[&str] = &[
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "unable to find an engine",
    "can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "could not create a memory object",
    "could not allocate",
];

/// Texts after which every later CUDA call of the process fails as well.
const DEVICE_LOST: &[&str] = &[
    "illegal memory access",
    "device-side assert",
    "unspecified launch failure",
    "illegal instruction",
    "misaligned address",
    "hardware stack error",
    "uncorrectable ECC error",
    "unrecoverable error",
    "GPU is lost",
    "fell off the bus",
    "launch timed out",
    "CUDA driver initialization failed",
    "no CUDA-capable device",
];

impl Failure {
    /// Sorts a libtorch error by its text.
    #[must_use]
    pub fn classify(text: &str) -> Self {
        let message = first_line(text);
        let has = |needles: &[&str]| {
            let lower = message.to_ascii_lowercase();
            needles
                .iter()
                .any(|needle| lower.contains(&needle.to_ascii_lowercase()))
        };
        let kind = if has(DEVICE_LOST) {
            FailureKind::DeviceLost
        } else if has(OUT_OF_MEMORY) {
            FailureKind::OutOfMemory
        } else {
            FailureKind::Workload
        };
        Self { kind, message }
    }

    /// A failure of the workload itself.
    #[must_use]
    pub fn workload(message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Workload,
            message: message.into(),
        }
    }

    /// The same failure, saying what was attempted.
    #[must_use]
    pub fn while_doing(self, what: impl std::fmt::Display) -> Self {
        Self {
            kind: self.kind,
            message: format!("{what}: {}", self.message),
        }
    }
}

impl From<TchError> for Failure {
    fn from(error: TchError) -> Self {
        match error {
            TchError::Torch(text) => Self::classify(&text),
            other => Self::classify(&other.to_string()),
        }
    }
}

/// The line that says what happened: the interpreter of TorchScript puts its call stack in front of it, everything else behind.
fn first_line(text: &str) -> String {
    let line = text
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("RuntimeError: "))
        .or_else(|| text.lines().map(str::trim).find(|line| !line.is_empty()))
        .unwrap_or("an error without text");
    let mut line: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(limits::ERROR_BYTES / 4)
        .collect();
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_by_what_they_mean() {
        for (text, kind) in [
            (
                "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..\nException raised from malloc",
                FailureKind::OutOfMemory,
            ),
            ("CUDA error: out of memory", FailureKind::OutOfMemory),
            (
                "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
                FailureKind::OutOfMemory,
            ),
            (
                "GET was unable to find an engine to execute this computation",
                FailureKind::OutOfMemory,
            ),
            (
                "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.",
                FailureKind::OutOfMemory,
            ),
            (
                "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ..",
                FailureKind::DeviceLost,
            ),
            (
                "CUDA error: device-side assert triggered",
                FailureKind::DeviceLost,
            ),
            (
                "CUDA error: unspecified launch failure",
                FailureKind::DeviceLost,
            ),
            (
                "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)\nout of memory is only named below",
                FailureKind::Workload,
            ),
        ] {
            let failure = Failure::classify(text);
            assert_eq!(failure.kind, kind, "{text}");
            assert!(!failure.message.contains('\n'));
            assert!(text.starts_with(&failure.message), "{text}");
        }
    }

    #[test]
    fn torchscript_errors_keep_the_line_behind_their_call_stack() {
        let text = "The following operation failed in the TorchScript interpreter.\nTraceback of TorchScript (most recent call last):\n  File \"a.py\", line 3\nRuntimeError: mat1 and mat2 shapes cannot be multiplied\n";
        assert_eq!(
            Failure::classify(text).message,
            "mat1 and mat2 shapes cannot be multiplied"
        );
    }
}
