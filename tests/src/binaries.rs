//! Where the binaries under test are.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The three binaries, built from this checkout.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The coordinator and its command line.
    pub batchstep: PathBuf,
    /// The daemon.
    pub agent: PathBuf,
    /// The training loops.
    pub worker: PathBuf,
}

/// Writes a TorchScript file whose weights come from `seed`: one linear layer, 6 inputs and 3 outputs, for inference only. It is made by an example of
/// the worker, built first where a change is newer: only the worker links libtorch.
///
/// # Panics
/// When the example does not build or cannot write.
pub fn trace_model(path: &Path, seed: u32) {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let written = Command::new(cargo)
        .args(["run", "--quiet", "--package", "batchstep-worker"])
        .args(["--example", "trace_model", "--"])
        .arg(path)
        .arg(seed.to_string())
        .current_dir(root())
        .status()
        .expect("cargo runs");
    assert!(written.success(), "the example trace_model fails");
}

/// A worker that computes nothing and reports what its round tells it to, built first where a change is newer.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn scripted_worker() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "batchstep-agent"])
            .args(["--example", "scripted_worker"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(
            built.success(),
            "the example scripted_worker does not build"
        );
    });
    let binaries = binaries();
    let target = binaries.agent.parent().expect("it lies in a folder");
    target.join("examples/scripted_worker")
}

/// The root of the checkout.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests' package lies in the workspace")
}

/// The binaries, built first where a change of theirs is newer: cargo does not build other packages' binaries for a test.
/// `BATCHSTEP_BINARIES` names a folder with binaries to test instead.
///
/// # Panics
/// When they do not build.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| {
        if let Some(folder) = env::var_os("BATCHSTEP_BINARIES") {
            return Binaries::in_folder(Path::new(&folder));
        }
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--workspace", "--bins"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the binaries do not build");
        // This test's own executable lies in `<target>/debug/deps`.
        let test = env::current_exe().expect("a process knows its executable");
        let target = test
            .ancestors()
            .nth(2)
            .expect("tests run from the target folder");
        Binaries::in_folder(target)
    })
}

impl Binaries {
    fn in_folder(folder: &Path) -> Self {
        Self {
            batchstep: folder.join("batchstep"),
            agent: folder.join("batchstep-agent"),
            worker: folder.join("batchstep-worker"),
        }
    }
}
