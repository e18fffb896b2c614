//! The C functions, by what they are about. Each names its arguments as NVML's documentation does, and says only where an answer comes from: the rest
//! is the same for all and lies in `call` and `out`.

/// Functions `(device, further arguments, out pointer) -> return code`.
macro_rules! values {
    ($($name:ident($device:ident $(, $argument:ident: $kind:ty)*) -> $type:ty = $value:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(
                device: ::nvml_wrapper_sys::bindings::nvmlDevice_t,
                $($argument: $kind,)*
                out: *mut $type,
            ) -> ::nvml_wrapper_sys::bindings::nvmlReturn_t {
                $crate::call::on_device(stringify!($name), device, |$device| {
                    $crate::out::given(out)?;
                    let value: $type = $value;
                    // SAFETY: the pointer is the caller's, and leads to its type by NVML's contract.
                    unsafe { $crate::out::put(out, value) }
                })
            }
        )*
    };
}

/// Functions `(device, out pointer, out pointer) -> return code`.
macro_rules! pairs {
    ($($name:ident($device:ident) -> $type:ty = $pair:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(
                device: ::nvml_wrapper_sys::bindings::nvmlDevice_t,
                first: *mut $type,
                second: *mut $type,
            ) -> ::nvml_wrapper_sys::bindings::nvmlReturn_t {
                $crate::call::on_device(stringify!($name), device, |$device| {
                    $crate::out::given(first)?;
                    $crate::out::given(second)?;
                    let [one, other]: [$type; 2] = $pair;
                    // SAFETY: both pointers are the caller's, and lead to their type by NVML's contract.
                    unsafe {
                        $crate::out::put(first, one)?;
                        $crate::out::put(second, other)
                    }
                })
            }
        )*
    };
}

/// Functions `(device, buffer, length) -> return code`.
macro_rules! texts {
    ($($name:ident($device:ident) = $text:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(
                device: ::nvml_wrapper_sys::bindings::nvmlDevice_t,
                buffer: *mut ::std::ffi::c_char,
                length: ::std::ffi::c_uint,
            ) -> ::nvml_wrapper_sys::bindings::nvmlReturn_t {
                $crate::call::on_device(stringify!($name), device, |$device| {
                    $crate::out::given(buffer)?;
                    // SAFETY: the buffer is the caller's, with `length` bytes by NVML's contract.
                    unsafe { $crate::out::put_text(buffer, length, $text.get()?) }
                })
            }
        )*
    };
}

mod clocks;
mod errors;
mod fields;
mod handles;
mod identity;
mod library;
mod link;
mod memory;
mod mig;
mod modes;
mod power;
mod processes;
mod thermal;
mod topology;

#[cfg(test)]
pub use self::{
    clocks::*, errors::*, fields::*, handles::*, identity::*, library::*, link::*, memory::*,
    mig::*, modes::*, power::*, processes::*, thermal::*, topology::*,
};
