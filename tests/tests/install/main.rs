//! `scripts/libtorch`, the real script in a folder of its own: what it says about a machine that lacks something, and that an interrupted
//! install does not download twice. The index is one on loopback.

use std::{
    env, fs,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use batchstep_tests::{Finished, Process, binaries::root, eventually};
use nix::sys::signal::{Signal, killpg};
use tempfile::TempDir;

use crate::index::{Index, TORCH};

mod index;

/// What the script needs besides what it looks for.
const PLUMBING: [&str; 10] = [
    "bash", "cat", "dirname", "env", "flock", "head", "mkdir", "mv", "rm", "sed",
];

/// A folder with the scripts and nothing else of the checkout.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        fs::create_dir(folder.path().join("scripts")).expect("a folder");
        for name in ["libtorch", "fetch_wheels.py"] {
            let path = Path::new("scripts").join(name);
            fs::copy(root().join(&path), folder.path().join(&path)).expect("a copy");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `scripts/libtorch` for the CPU, with no pip settings but an index that is not there.
    fn libtorch(&self) -> Command {
        let mut command = Command::new("env");
        // Tests that were started in a background job would hand on that they ignore Ctrl-C.
        command
            .arg("--default-signal=INT")
            .arg(self.path("scripts/libtorch"));
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PIP_") {
                command.env_remove(name);
            }
        }
        command
            .env_remove("LIBTORCH")
            .env("VARIANT", "lean")
            .env("NO_PROXY", "127.0.0.1")
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env("PIP_INDEX_URL", "http://127.0.0.1:9/simple");
        command
    }

    /// A `PATH` with the script's plumbing and these commands, which do nothing, well.
    fn path_with(&self, commands: &[&str]) -> PathBuf {
        let folder = self.path("bin");
        fs::create_dir(&folder).expect("a folder");
        for name in PLUMBING {
            let found = env::split_paths(&env::var_os("PATH").unwrap_or_default())
                .map(|folder| folder.join(name))
                .find(|path| path.exists());
            symlink(
                found.unwrap_or_else(|| panic!("no {name}")),
                folder.join(name),
            )
            .expect("a link");
        }
        for name in commands {
            symlink("/bin/true", folder.join(name)).expect("a link");
        }
        folder
    }

    fn index(&self, with_sha256: bool) -> Index {
        let shelf = self.path("shelf");
        fs::create_dir(&shelf).expect("a folder");
        Index::start(&shelf, with_sha256)
    }

    /// A libtorch's folder that says it is of this version.
    fn libtorch_of(&self, version: &str) -> PathBuf {
        let folder = self.path("theirs");
        fs::create_dir_all(folder.join("lib")).expect("a folder");
        fs::write(folder.join("lib/libtorch_cpu.so"), "").expect("a file");
        fs::write(folder.join("build-version"), version).expect("a file");
        folder
    }

    /// True once the wheel whose name begins so is there in part, with this many bytes.
    fn has_part(&self, wheel: &str, bytes: usize) -> bool {
        let Ok(entries) = fs::read_dir(self.path(".libtorch/wheels")) else {
            return false;
        };
        entries.flatten().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with(wheel)
                && name.ends_with(".part")
                && entry
                    .metadata()
                    .is_ok_and(|part| part.len() == bytes as u64)
        })
    }

    /// Asserts that all of libtorch is there, and of its download nothing.
    fn assert_installed(&self, end: &Finished) {
        assert_eq!(end.code(), 0, "{}", end.stderr);
        let marker = fs::read_to_string(self.path(".libtorch/installed")).expect("a marker");
        assert_eq!(marker, "2.11.0 lean\n");
        assert!(self.path(".libtorch/torch/content").exists());
        assert!(self.path(".libtorch/nvidia").exists());
        for leftover in ["wheels", "partial", "tmp"] {
            assert!(
                !self.path(".libtorch").join(leftover).exists(),
                "{leftover}"
            );
        }
    }
}

/// Runs the script and checks that it fails and says all of `said`.
fn refused(command: &mut Command, said: &[&str]) {
    let end = Process::run("scripts/libtorch", command);
    assert_eq!(end.code(), 1, "{}", end.stderr);
    for words in said {
        assert!(
            end.stderr.contains(words),
            "{words:?} is not in:\n{}",
            end.stderr
        );
    }
}

#[test]
fn what_the_machine_lacks_is_named_with_the_command_that_installs_it() {
    for (there, said) in [
        (&[][..], ["cargo", "https://sh.rustup.rs"]),
        (&["cargo"], ["c++", "apt-get install g++"]),
        (&["cargo", "c++"], ["python3", "apt-get install python3"]),
    ] {
        let site = Site::new();
        let path = site.path_with(there);
        refused(site.libtorch().env("PATH", path), &said);
        assert!(!site.path(".libtorch").exists());
    }

    let site = Site::new();
    let path = site.path_with(&["cargo", "c++"]);
    symlink("/bin/false", path.join("python3")).expect("a link");
    refused(
        site.libtorch().env("PATH", path),
        &["pip", "apt-get install python3-pip"],
    );
}

#[test]
fn a_libtorch_of_ones_own_is_used_when_it_is_one_of_the_right_version() {
    let site = Site::new();
    let path = site.path_with(&["cargo", "c++"]);
    let mut command = site.libtorch();
    command.env("PATH", path);
    refused(
        command.env("LIBTORCH", site.path("nowhere")),
        &["nowhere", "lib/libtorch_cpu.so", "Unset LIBTORCH"],
    );
    refused(
        command.env("LIBTORCH", site.libtorch_of("2.9.1+cpu")),
        &["2.9.1+cpu", "2.11.0", "Unset LIBTORCH"],
    );
    let end = Process::run(
        "scripts/libtorch",
        command.env("LIBTORCH", site.libtorch_of("2.11.0+cpu")),
    );
    assert_eq!(end.code(), 0, "{}", end.stderr);
    assert!(end.stderr.contains("2.11.0+cpu"), "{}", end.stderr);
    assert!(!site.path(".libtorch").exists());
}

#[test]
fn a_variant_that_does_not_exist_is_refused() {
    let site = Site::new();
    let path = site.path_with(&["cargo", "c++"]);
    refused(
        site.libtorch().env("PATH", path).env("VARIANT", "slim"),
        &["VARIANT=slim", "lean", "full"],
    );
}

#[test]
fn an_interrupted_install_asks_only_for_what_it_lacks() {
    let site = Site::new();
    let index = site.index(true);
    let mut command = site.libtorch();
    command.env("PIP_INDEX_URL", index.url()).process_group(0);
    let third = index.wheel(TORCH).content.len() / 3;

    // As Ctrl-C does it: the signal goes to all.
    index.torch_stops_at(third);
    let first = Process::start("scripts/libtorch", &mut command);
    eventually("a third of torch", || {
        site.has_part(TORCH, third).then_some(())
    });
    killpg(first.pid(), Signal::SIGINT).expect("it runs");
    let end = first.finish();
    assert_eq!(end.code(), 1, "{}", end.stderr);
    assert!(
        end.stderr.contains("Run the command again"),
        "{}",
        end.stderr
    );
    assert_eq!(index.asked(), [(TORCH.to_owned(), 0)]);

    // As a crash does it.
    index.torch_stops_at(2 * third);
    let second = Process::start("scripts/libtorch", &mut command);
    eventually("two thirds of torch", || {
        site.has_part(TORCH, 2 * third).then_some(())
    });
    killpg(second.pid(), Signal::SIGKILL).expect("it runs");
    let _ = second.finish();
    assert_eq!(index.asked(), [(TORCH.to_owned(), third)]);
    fs::create_dir_all(site.path(".libtorch/partial/torch")).expect("a leftover");

    index.torch_stops_at(usize::MAX);
    site.assert_installed(&Process::run("scripts/libtorch", &mut command));
    let rest = index.asked();
    assert_eq!(rest.len(), 3, "{rest:?}");
    assert_eq!(rest[0], (TORCH.to_owned(), 2 * third));

    // And what is installed is not looked for again.
    site.assert_installed(&Process::run("scripts/libtorch", &mut command));
    assert_eq!(index.asked(), []);
}

#[test]
fn a_wheel_that_is_complete_is_not_asked_for_again_and_a_spoilt_one_is_not_used() {
    let site = Site::new();
    let index = site.index(true);
    let wheels = site.path(".libtorch/wheels");
    fs::create_dir_all(&wheels).expect("a folder");
    let torch = index.wheel(TORCH);
    fs::write(wheels.join(&torch.file_name), &torch.content).expect("a wheel");
    let runtime = index.wheel("nvidia_cuda_runtime");
    fs::write(
        wheels.join(format!("{}.part", runtime.file_name)),
        vec![0; runtime.content.len()],
    )
    .expect("a part");

    let end = Process::run(
        "scripts/libtorch",
        site.libtorch().env("PIP_INDEX_URL", index.url()),
    );
    site.assert_installed(&end);
    assert!(end.stderr.contains("left to pip"), "{}", end.stderr);
    let asked = index.asked();
    assert!(asked.iter().all(|(name, _)| name != TORCH), "{asked:?}");
}

#[test]
fn an_index_without_checksums_is_left_to_pip() {
    let site = Site::new();
    let index = site.index(false);
    let end = Process::run(
        "scripts/libtorch",
        site.libtorch().env("PIP_INDEX_URL", index.url()),
    );
    site.assert_installed(&end);
    assert!(end.stderr.contains("left to pip"), "{}", end.stderr);
}
