//! Compiles the C++ shim against the libtorch that torch-sys found, and lets every binary of this package find that libtorch at run time.

use std::{env, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=shim/shim.cpp");
    println!("cargo:rerun-if-env-changed=DEP_TCH_LIBTORCH_LIB");
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    // Invariant: torch-sys is a direct dependency and always prints this key.
    let libraries = PathBuf::from(
        env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys tells where libtorch lies"),
    );
    let root = libraries
        .parent()
        .map(PathBuf::from)
        .expect("libtorch's libraries lie in a folder `lib` beside `include`");
    let include = env::var_os("LIBTORCH_INCLUDE")
        .map_or(root, PathBuf::from)
        .join("include");
    assert!(
        include.join("torch/csrc/api/include").is_dir(),
        "no libtorch headers in {}: set LIBTORCH to a complete libtorch or run `make libtorch`",
        include.display()
    );
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .warnings(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("shim/shim.cpp")
        .compile("batchstep_shim");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", libraries.display());
}
