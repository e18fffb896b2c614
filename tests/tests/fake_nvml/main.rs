//! The fake NVML against its three readers: NVIDIA's own Python client, a program on it, and the wrapper that the agent uses.

mod clients;
mod expected;
mod faults;
mod wrapper;

use batchstep_tests::fake_nvml::FakeNvml;

/// A fake in a folder that goes away with it.
struct Fake {
    nvml: FakeNvml,
    _folder: tempfile::TempDir,
}

fn fake(world: &str) -> Fake {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nvml = FakeNvml::new(folder.path());
    nvml.write(world);
    Fake {
        nvml,
        _folder: folder,
    }
}
