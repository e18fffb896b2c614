//! The fake `libnvidia-ml.so.1` in a folder of its own, with the file that is its world.

use std::{
    env,
    ffi::{CString, OsString, c_char},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use libloading::Library;

use crate::{binaries::root, elf};

/// A copy of the library and its world. The folder is the caller's to remove.
#[derive(Debug)]
pub struct FakeNvml {
    library: PathBuf,
    config: PathBuf,
    calls: PathBuf,
    loaded: Option<Library>,
}

/// A call that the library has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The C function.
    pub function: String,
    /// The device's place in the file, of calls on a device.
    pub device: Option<usize>,
}

impl FakeNvml {
    /// Puts the library, built first where a change is newer, into `<folder>/lib/`, and an empty world into `<folder>/nvml.toml`.
    ///
    /// # Panics
    /// When it does not build or cannot be copied.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let fake = Self {
            library: folder.join("lib/libnvidia-ml.so.1"),
            config: folder.join("nvml.toml"),
            calls: folder.join("nvml-calls.log"),
            loaded: None,
        };
        fs::create_dir_all(folder.join("lib")).expect("the test's folder can be written");
        // A copy, not a link: the loader takes two names of one file for one library.
        fs::copy(built(), &fake.library).expect("the library can be copied");
        fake.write("");
        fake
    }

    /// Replaces the world, at once and whole: processes that have loaded the library see it with their next call.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn write(&self, toml: &str) {
        let fresh = self.config.with_extension("toml.new");
        fs::write(&fresh, toml).expect("the test's folder can be written");
        fs::rename(&fresh, &self.config).expect("the test's folder can be written");
    }

    /// Takes functions out of this copy, as if its driver were older. Before anybody loads it.
    ///
    /// # Panics
    /// When the library has no such function.
    #[must_use]
    pub fn without_symbols(self, names: &[&str]) -> Self {
        let mut library = fs::read(&self.library).expect("the library was copied");
        elf::remove_symbols(&mut library, names);
        fs::write(&self.library, library).expect("the test's folder can be written");
        self
    }

    /// Lets a program find this library before any other, and its world.
    pub fn env(&self, command: &mut Command) {
        const PATH: &str = "LD_LIBRARY_PATH";
        let folder = self.library.parent().expect("the library is in a folder");
        let before: Option<OsString> = match command.get_envs().find(|(name, _)| *name == PATH) {
            Some((_, value)) => value.map(Into::into),
            None => env::var_os(PATH),
        };
        let folders = [folder.to_owned()]
            .into_iter()
            .chain(before.iter().flat_map(env::split_paths))
            // An empty one would be the current folder.
            .filter(|folder| !folder.as_os_str().is_empty());
        command
            .env(
                PATH,
                env::join_paths(folders).expect("a test's folder has no colon"),
            )
            .env("BATCHSTEP_FAKE_NVML", &self.config)
            .env("BATCHSTEP_FAKE_NVML_LOG", &self.calls);
    }

    /// Loads this copy into this process, where it stays while this value lives, and leads it to its world without the environment, which all tests
    /// of a process share. The path is what `Nvml::builder().lib_path()` takes.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub fn load(&mut self) -> &Path {
        if self.loaded.is_none() {
            // SAFETY: it is our own library; loading it runs nothing but the start of Rust's own runtime.
            let library = unsafe { Library::new(&self.library) }.expect("the library loads");
            let config = CString::new(self.config.as_os_str().as_bytes()).expect("no NUL");
            // SAFETY: the type is the one that the library gives this function, and the text is terminated.
            let code = unsafe {
                let use_file = library
                    .get::<unsafe extern "C" fn(*const c_char) -> u32>(b"batchstep_fake_nvml_use\0")
                    .expect("the library has this function");
                use_file(config.as_ptr())
            };
            assert_eq!(code, 0, "the library takes the file's path");
            self.loaded = Some(library);
        }
        &self.library
    }

    /// The library.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// The file that is its world.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The calls of the programs that [`FakeNvml::env`] was for, so far.
    ///
    /// # Panics
    /// When the log is not what the library writes.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        let log = fs::read_to_string(&self.calls).unwrap_or_default();
        // A line without its end is still being written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        whole
            .lines()
            .map(|line| {
                let (function, device) = line.split_once(' ').expect("function and device");
                Call {
                    function: function.to_owned(),
                    device: device.parse().ok(),
                }
            })
            .collect()
    }
}

/// The table of a device that is nothing but a preset; changes can be written behind it.
#[must_use]
pub fn device(preset: &str) -> String {
    format!("\n[[device]]\npreset = \"{preset}\"\n")
}

/// The library as cargo builds it.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "batchstep-fake-nvml"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(built.success(), "the fake NVML does not build");
        // This test's own executable lies in `<target>/debug/deps`.
        let test = env::current_exe().expect("a process knows its executable");
        let target = test.ancestors().nth(2);
        target
            .expect("tests run from the target folder")
            .join("libbatchstep_fake_nvml.so")
    })
}
