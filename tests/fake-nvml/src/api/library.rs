//! The library itself: start, end, versions, names of errors and of processes.

use std::ffi::{CStr, c_char, c_int, c_uint};

use nvml_wrapper_sys::bindings::{nvmlReturn_enum_NVML_SUCCESS, nvmlReturn_t};

use crate::{
    answer::{Code, Text},
    call::{on_anything, on_init, on_library, on_shutdown},
    out::{given, put, put_text},
    state::{Loaded, state},
};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    on_init("nvmlInit_v2")
}

/// The flags, which say that no GPU is no error and that none is to be attached, change nothing here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlInitWithFlags(_flags: c_uint) -> nvmlReturn_t {
    on_init("nvmlInitWithFlags")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    on_shutdown("nvmlShutdown")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlErrorString(result: nvmlReturn_t) -> *const c_char {
    Code::text(result).as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(
    version: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    on_library("nvmlSystemGetDriverVersion", |loaded| {
        given(version)?;
        // SAFETY: the buffer is the caller's, with `length` bytes by NVML's contract.
        unsafe { put_text(version, length, loaded.world.driver_version.get()?) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetNVMLVersion(
    version: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    on_anything("nvmlSystemGetNVMLVersion", |loaded| {
        given(version)?;
        // SAFETY: as above.
        unsafe { put_text(version, length, loaded.world.nvml_version.get()?) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion(
    cuda_driver_version: *mut c_int,
) -> nvmlReturn_t {
    on_anything("nvmlSystemGetCudaDriverVersion", |loaded| {
        // SAFETY: the pointer is the caller's.
        unsafe { cuda(loaded, cuda_driver_version) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetCudaDriverVersion_v2(
    cuda_driver_version: *mut c_int,
) -> nvmlReturn_t {
    on_anything("nvmlSystemGetCudaDriverVersion_v2", |loaded| {
        // SAFETY: the pointer is the caller's.
        unsafe { cuda(loaded, cuda_driver_version) }
    })
}

unsafe fn cuda(loaded: &Loaded, version: *mut c_int) -> Result<(), Code> {
    given(version)?;
    // SAFETY: it leads to its type by NVML's contract.
    unsafe { put(version, *loaded.world.cuda_version.get()?) }
}

/// A name that is too long is cut, as the documentation's "maximum length of the string returned" says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetProcessName(
    pid: c_uint,
    name: *mut c_char,
    length: c_uint,
) -> nvmlReturn_t {
    on_library("nvmlSystemGetProcessName", |loaded| {
        given(name)?;
        let room = (length as usize)
            .checked_sub(1)
            .ok_or(Code::INVALID_ARGUMENT)?;
        let mut known = loaded
            .world
            .devices
            .iter()
            .filter_map(|device| device.processes.value())
            .flatten()
            .filter(|process| process.pid == pid)
            .filter_map(|process| process.name.as_deref());
        let bytes = known.next().ok_or(Code::NOT_FOUND)?.bytes();
        let text = Text::Raw(bytes.take(room).chain([0]).collect());
        // SAFETY: the buffer is the caller's, with `length` bytes by NVML's contract.
        unsafe { put_text(name, length, &text) }
    })
}

/// Names the file for this copy of the library, before `nvmlInit` and in place of the environment: for a process that loads several copies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn batchstep_fake_nvml_use(path: *const c_char) -> nvmlReturn_t {
    if path.is_null() {
        return Code::INVALID_ARGUMENT.0;
    }
    // SAFETY: not null, and a terminated string by this function's contract.
    let path = unsafe { CStr::from_ptr(path) };
    match path.to_str() {
        Ok(path) => state().use_file(path.into()),
        Err(_) => return Code::INVALID_ARGUMENT.0,
    }
    nvmlReturn_enum_NVML_SUCCESS
}
