//! Holds every function against the type that the bindings, made from NVML's own header, give it: where one differs, this does not compile.

use nvml_wrapper_sys::bindings::NvmlLib;

use crate::api::*;

macro_rules! assign {
    ($($name:ident)*) => {
        #[expect(dead_code, reason = "compiling it is the test")]
        fn types_are_those_of_the_bindings(library: &mut NvmlLib) {
            $(library.$name = Ok($name);)*
        }
    };
}

for_every_function!(assign);
