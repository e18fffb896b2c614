//! The C++ shim as safe functions: what libtorch offers in C++ and tch does not.
//!
//! Networks and the device session call it; every error is libtorch's own text. It holds no state and never touches CUDA unless asked to.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::failure::Failure;

unsafe extern "C" {
    fn bs_free(text: *mut c_char);
    fn bs_built_version() -> *const c_char;
    fn bs_show_config(config: *mut *mut c_char) -> *mut c_char;
    fn bs_cuda_versions(cudart: *mut i64, cudnn: *mut i64) -> *mut c_char;
    fn bs_set_tf32(allowed: c_int) -> *mut c_char;
    fn bs_cuda_peak_bytes(device: c_int, bytes: *mut u64) -> *mut c_char;
    fn bs_cuda_reset_peak(device: c_int) -> *mut c_char;
    fn bs_cuda_empty_cache() -> *mut c_char;
    fn bs_add_scaled(
        values: *const *const C_tensor,
        steps: *const *const C_tensor,
        count: usize,
        alpha: f64,
    ) -> *mut c_char;
}

/// Takes a text that the shim allocated.
///
/// # Safety
/// `text` is null or came from the shim and is not used afterwards.
unsafe fn take(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, ends with a zero byte as `strdup` made it, and is freed only after the copy.
    let copy = unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned();
    // SAFETY: as above.
    unsafe { bs_free(text) };
    Some(copy)
}

/// # Safety
/// As [`take`].
unsafe fn check(error: *mut c_char) -> Result<(), Failure> {
    // SAFETY: passed on.
    match unsafe { take(error) } {
        None => Ok(()),
        Some(text) => Err(Failure::classify(&text)),
    }
}

/// The libtorch this binary was compiled with, "2.11.0".
#[must_use]
pub fn built_version() -> String {
    // SAFETY: a string literal of the shim.
    unsafe { CStr::from_ptr(bs_built_version()) }
        .to_string_lossy()
        .into_owned()
}

/// What the loaded libtorch tells of its own build.
///
/// # Errors
/// When libtorch cannot say.
pub fn show_config() -> Result<String, Failure> {
    let mut config = ptr::null_mut();
    // SAFETY: the shim fills `config` with a text of its own or leaves it null.
    unsafe {
        check(bs_show_config(&raw mut config))?;
        Ok(take(config).unwrap_or_default())
    }
}

/// The CUDA runtime's and cuDNN's version numbers (13000 is 13.0, 91900 is 9.19.0); cuDNN is 0 without one.
///
/// # Errors
/// When libtorch's CUDA part is not loaded.
pub fn cuda_versions() -> Result<(i64, i64), Failure> {
    let (mut cudart, mut cudnn) = (0, 0);
    // SAFETY: two valid places for the results.
    unsafe { check(bs_cuda_versions(&raw mut cudart, &raw mut cudnn))? };
    Ok((cudart, cudnn))
}

/// Lets f32 products of matrices and convolutions use TF32 or forbids it, and keeps cuDNN's algorithm search off.
///
/// # Errors
/// When libtorch refuses.
pub fn set_tf32(allowed: bool) -> Result<(), Failure> {
    // SAFETY: no pointers are passed.
    unsafe { check(bs_set_tf32(c_int::from(allowed))) }
}

/// Highest number of bytes that tensors held on a CUDA device since the last reset.
///
/// # Errors
/// When CUDA is not in use.
pub fn cuda_peak_bytes(device: i32) -> Result<u64, Failure> {
    let mut bytes = 0;
    // SAFETY: a valid place for the result.
    unsafe { check(bs_cuda_peak_bytes(device, &raw mut bytes))? };
    Ok(bytes)
}

/// Starts a new peak.
///
/// # Errors
/// When CUDA is not in use.
pub fn cuda_reset_peak(device: i32) -> Result<(), Failure> {
    // SAFETY: no pointers are passed.
    unsafe { check(bs_cuda_reset_peak(device)) }
}

/// Gives cached, unused device memory back to the driver.
///
/// # Errors
/// When CUDA is not in use.
pub fn cuda_empty_cache() -> Result<(), Failure> {
    // SAFETY: no pointers are passed.
    unsafe { check(bs_cuda_empty_cache()) }
}

/// `values[i] += alpha * steps[i]` for all `i`, outside autograd: the update of plain stochastic gradient descent.
///
/// # Errors
/// When shapes, dtypes or devices of a pair differ, or memory runs out.
pub fn add_scaled(values: &[Tensor], steps: &[Tensor], alpha: f64) -> Result<(), Failure> {
    if values.len() != steps.len() {
        return Err(Failure::workload(format!(
            "{} parameters but {} gradients",
            values.len(),
            steps.len()
        )));
    }
    let pointers = |tensors: &[Tensor]| tensors.iter().map(Tensor::as_ptr).collect::<Vec<_>>();
    let (left, right) = (pointers(values), pointers(steps));
    // SAFETY: both arrays hold `values.len()` pointers to live tensors; the shim keeps none of them.
    unsafe {
        check(bs_add_scaled(
            left.as_ptr().cast(),
            right.as_ptr().cast(),
            values.len(),
            alpha,
        ))
    }
}
