//! Shared libraries found at run time: the worker must start on hosts that have no NVIDIA driver.

use std::{
    ffi::{CStr, CString, c_void},
    ptr::NonNull,
};

/// A library that cannot be loaded or lacks a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LibraryError(String);

/// A loaded library; never unloaded, since CUDA's libraries do not survive that.
#[derive(Debug, Clone, Copy)]
pub struct Library {
    handle: NonNull<c_void>,
}

fn last_error(what: &str) -> LibraryError {
    // SAFETY: `dlerror` has no preconditions and gives null or a text that lives until the thread's next dl call.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return LibraryError(format!("{what}: the loader gives no reason"));
    }
    // SAFETY: just checked; copied before any other dl call.
    LibraryError(
        unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned(),
    )
}

impl Library {
    /// Loads a library with all of its symbols, visible to libraries loaded later.
    ///
    /// # Errors
    /// With the loader's reason.
    pub fn open(name: &str) -> Result<Self, LibraryError> {
        let path = CString::new(name)
            .map_err(|_| LibraryError(format!("{name:?} contains a zero byte")))?;
        // SAFETY: a valid C string. The libraries opened here are NVIDIA's and libtorch's, whose initialisers may run at any time.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
        NonNull::new(handle)
            .map(|handle| Self { handle })
            .ok_or_else(|| last_error(name))
    }

    /// A function's address as a function pointer of type `F`.
    ///
    /// # Errors
    /// When the library has no such symbol.
    ///
    /// # Safety
    /// `F` is an `unsafe extern "C" fn` pointer with the symbol's true signature.
    pub unsafe fn function<F: Copy>(&self, name: &CStr) -> Result<F, LibraryError> {
        assert_eq!(
            size_of::<F>(),
            size_of::<*mut c_void>(),
            "F is a function pointer"
        );
        // SAFETY: the handle is live (never closed) and the name a C string.
        let address = unsafe { libc::dlsym(self.handle.as_ptr(), name.as_ptr()) };
        if address.is_null() {
            return Err(last_error(&name.to_string_lossy()));
        }
        // SAFETY: same size as checked above; the caller vouches for the type.
        Ok(unsafe { std::mem::transmute_copy::<*mut c_void, F>(&address) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_and_a_missing_function_are_named() {
        let error = Library::open("libbatchstep-does-not-exist.so.1").unwrap_err();
        assert!(
            error.to_string().contains("libbatchstep-does-not-exist"),
            "{error}"
        );
        let libc = Library::open("libc.so.6").unwrap();
        // SAFETY: never called.
        let missing = unsafe { libc.function::<unsafe extern "C" fn()>(c"cuNoSuchFunction") };
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .contains("cuNoSuchFunction")
        );
    }

    #[test]
    fn a_function_of_a_loaded_library_can_be_called() {
        let libc = Library::open("libc.so.6").unwrap();
        // SAFETY: `int abs(int)`.
        let abs: unsafe extern "C" fn(i32) -> i32 = unsafe { libc.function(c"abs") }.unwrap();
        // SAFETY: no preconditions for this argument.
        assert_eq!(unsafe { abs(-5) }, 5);
    }
}
