//! A world that changes under a running process: devices that come, go and hang, and drivers that are replaced.

use std::{
    process::Command,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use batchstep_tests::fake_nvml::{Call, device};
use nvml_wrapper::{Nvml, error::NvmlError};

use crate::{fake, wrapper::open};

#[test]
fn a_call_hangs_until_the_file_says_otherwise() {
    let mut fake = fake(&format!(
        "{}{}hang = \"nvmlDeviceGetPowerUsage\"\n",
        device("t4"),
        device("v100")
    ));
    let path = fake.nvml.load().to_owned();
    let (sender, answered) = mpsc::channel();
    let caller = thread::spawn(move || {
        let nvml = open(&path).unwrap();
        let gpus = [0, 1].map(|index| nvml.device_by_index(index).unwrap());
        assert_eq!(gpus[0].power_usage().unwrap(), 9840, "only the other hangs");
        assert_eq!(gpus[1].enforced_power_limit().unwrap(), 300_000);
        sender.send(0).unwrap();
        sender.send(gpus[1].power_usage().unwrap()).unwrap();
    });
    assert_eq!(answered.recv().unwrap(), 0);
    // A call that answered at once would have been seen here; one that hangs cannot be told from a slow one sooner.
    assert_eq!(
        answered.recv_timeout(Duration::from_millis(300)),
        Err(RecvTimeoutError::Timeout)
    );
    fake.nvml.write(&format!(
        "{}{}power.usage = 50_000\n",
        device("t4"),
        device("v100")
    ));
    assert_eq!(
        answered.recv().unwrap(),
        50_000,
        "from the file that let it go"
    );
    caller.join().unwrap();
}

#[test]
fn a_device_is_lost_from_its_nth_call_on() {
    let mut fake = fake(&format!(
        "{}lost_after_calls = 3\n{}",
        device("t4"),
        device("v100")
    ));
    let nvml = open(fake.nvml.load()).unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    let other = nvml.device_by_index(1).unwrap();
    assert!(gpu.name().is_ok());
    assert!(gpu.uuid().is_ok());
    for _ in 0..2 {
        assert!(matches!(gpu.name(), Err(NvmlError::GpuLost)));
        assert!(other.name().is_ok());
    }
    fake.nvml.write(&device("t4"));
    assert!(gpu.name().is_ok(), "it came back");
    assert!(
        matches!(other.name(), Err(NvmlError::GpuLost)),
        "its handle outlives it"
    );
    fake.nvml.write(&format!("lost = true\n{}", device("t4")));
    assert!(matches!(gpu.name(), Err(NvmlError::GpuLost)));
    assert!(matches!(
        nvml.device_by_index(0).map(|_| ()),
        Err(NvmlError::GpuLost)
    ));
}

#[test]
fn a_device_is_added_in_front_and_handles_stay_with_theirs() {
    let mut fake = fake(&device("h200"));
    let nvml = open(fake.nvml.load()).unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    let uuid = gpu.uuid().unwrap();
    fake.nvml.write(&format!(
        "{}{}uuid = \"{uuid}\"\n",
        device("t4"),
        device("h200")
    ));
    assert_eq!(nvml.device_count().unwrap(), 2);
    assert_eq!(gpu.index().unwrap(), 1);
    assert_eq!(gpu.name().unwrap(), "NVIDIA H200");
    assert_eq!(nvml.device_by_index(0).unwrap().name().unwrap(), "Tesla T4");
}

#[test]
fn a_replaced_driver_needs_a_new_start() {
    let mut fake = fake(&device("t4"));
    let nvml = open(fake.nvml.load()).unwrap();
    fake.nvml
        .write(&format!("driver_version = \"595.10\"\n{}", device("t4")));
    assert!(matches!(
        nvml.device_count(),
        Err(NvmlError::LibRmVersionMismatch)
    ));
    assert!(matches!(
        nvml.sys_driver_version(),
        Err(NvmlError::LibRmVersionMismatch)
    ));
    assert!(matches!(
        nvml.sys_nvml_version(),
        Err(NvmlError::LibRmVersionMismatch)
    ));
    drop(nvml);
    let nvml = open(fake.nvml.load()).unwrap();
    assert_eq!(nvml.sys_driver_version().unwrap(), "595.10");
    assert_eq!(nvml.device_count().unwrap(), 1);
}

#[test]
fn a_library_that_does_not_start_says_why() {
    for (world, matches) in [
        (
            "init_error = \"driver_not_loaded\"",
            (|error| matches!(error, NvmlError::DriverNotLoaded)) as fn(&NvmlError) -> bool,
        ),
        ("init_error = \"library_rm_version_mismatch\"", |error| {
            matches!(error, NvmlError::LibRmVersionMismatch)
        }),
        ("init_error = ", |error| matches!(error, NvmlError::Unknown)),
        ("fail = { nvmlInit_v2 = \"no_permission\" }", |error| {
            matches!(error, NvmlError::NoPermission)
        }),
    ] {
        let mut fake = fake(world);
        let error = open(fake.nvml.load()).map(|_| ()).unwrap_err();
        assert!(matches(&error), "{world}: {error:?}");
        fake.nvml.write("");
        let nvml = open(fake.nvml.load()).unwrap();
        assert_eq!(nvml.device_count().unwrap(), 0);
        fake.nvml.write("seriall = 1");
        assert!(matches!(nvml.device_count(), Err(NvmlError::Unknown)));
    }
}

#[test]
fn threads_read_while_the_world_changes() {
    let mut fake = fake(&device("t4"));
    let path = fake.nvml.load().to_owned();
    let nvml = open(&path).unwrap();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let gpu = nvml.device_by_index(0).unwrap();
                    let mut seen = [0, 0];
                    while seen[1] < 50 {
                        match gpu.power_usage().unwrap() {
                            9840 => seen[0] += 1,
                            5 => seen[1] += 1,
                            other => panic!("{other} mW is in no file"),
                        }
                    }
                    seen
                })
            })
            .collect();
        for draw in [9840, 5].repeat(20) {
            let text = format!("{}power.usage = {draw}\n", device("t4"));
            fake.nvml.write(&text);
        }
        for reader in readers {
            let seen = reader.join().unwrap();
            assert!(seen[1] >= 50, "{seen:?}");
        }
    });
}

/// Also what `nvml_wrapper` does not ask: nothing works before the start or after the end.
#[test]
fn a_library_counts_its_starts() {
    let mut fake = fake(&device("t4"));
    let path = fake.nvml.load().to_owned();
    let [one, other]: [Nvml; 2] = [open(&path).unwrap(), open(&path).unwrap()];
    drop(one);
    let gpu = other.device_by_index(0).unwrap();
    assert!(gpu.name().is_ok());
    let shutdown = other.lib().nvmlShutdown.as_ref().unwrap();
    // SAFETY: it takes nothing.
    assert_eq!([unsafe { shutdown() }, unsafe { shutdown() }], [0, 1]);
    assert!(matches!(gpu.name(), Err(NvmlError::Uninitialized)));
    assert!(matches!(
        other.sys_driver_version(),
        Err(NvmlError::Uninitialized)
    ));
    assert!(other.sys_nvml_version().is_ok(), "needs no start");
}

/// The environment's way, which programs take: what is wrong is said in one line.
#[test]
fn a_program_is_told_what_is_wrong_with_the_file() {
    const ASK: &str = "import ctypes, sys
nvml = ctypes.CDLL('libnvidia-ml.so.1')
sys.exit(nvml.nvmlInit_v2() % 256)";
    let fake = fake("[[device]]\nserial = 5\n");
    let mut python = Command::new("python3");
    python.args(["-c", ASK]).env("LD_LIBRARY_PATH", "/nowhere");
    fake.nvml.env(&mut python);
    let folder = fake.nvml.library().parent().unwrap().display();
    let path = python
        .get_envs()
        .find(|(name, _)| *name == "LD_LIBRARY_PATH");
    assert_eq!(path.unwrap().1.unwrap(), &*format!("{folder}:/nowhere"));
    let finished = python.output().unwrap();
    let errors = String::from_utf8(finished.stderr).unwrap();
    assert_eq!(finished.status.code(), Some(999 % 256), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(
        errors.contains("nvml.toml: device 0") && errors.contains("serial"),
        "{errors}"
    );
    python.env_remove("BATCHSTEP_FAKE_NVML");
    let finished = python.output().unwrap();
    let errors = String::from_utf8(finished.stderr).unwrap();
    assert_eq!(finished.status.code(), Some(999 % 256), "{errors}");
    assert!(
        errors.contains("BATCHSTEP_FAKE_NVML names no file"),
        "{errors}"
    );
    let start = Call {
        function: "nvmlInit_v2".into(),
        device: None,
    };
    assert_eq!(fake.nvml.calls(), [start.clone(), start]);
}
