//! Compiles the protocol without a `protoc` on the machine and keeps its descriptor set for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "batchstep/v1/common.proto",
        "batchstep/v1/worker.proto",
        "batchstep/v1/agent.proto",
        "batchstep/v1/enrollment.proto",
        "batchstep/v1/identity.proto",
        "batchstep/v1/operator.proto",
        "batchstep/v1/nightly.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["."])?;
    // `compile_fds` does not write the set itself.
    let set = PathBuf::from(env::var("OUT_DIR")?).join("batchstep.v1.bin");
    fs::write(set, descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
