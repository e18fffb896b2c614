//! What the library remembers within a process: the file as last read, initialisations, handles, and counters. The lock is held for moments only: a
//! call that hangs waits without it.

use std::{
    collections::HashMap,
    env,
    ffi::OsString,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use crate::{
    answer::{Answer, Code, Text},
    config::{self, World},
};

const FILE: &str = "BATCHSTEP_FAKE_NVML";
const LOG: &str = "BATCHSTEP_FAKE_NVML_LOG";

/// A world and what its devices are called here: a key stays with a device when its place in the file changes.
pub struct Loaded {
    pub world: World,
    pub keys: Vec<String>,
}

/// What a handle stands for: a device by its key, or a slot of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    pub key: String,
    pub slot: Option<u32>,
}

#[derive(PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Default)]
pub struct State {
    path: Option<PathBuf>,
    read: Option<(Stamp, Option<Arc<Loaded>>)>,
    /// Initialisations that were not shut down.
    pub initialised: u32,
    driver_at_init: Option<Answer<Text>>,
    targets: Vec<Target>,
    calls: HashMap<String, (u64, u64)>,
    ecc_reads: HashMap<(Target, &'static str), u64>,
    complained: String,
}

/// The state of this process.
pub fn state() -> MutexGuard<'static, State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    STATE
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Handles are odd-looking numbers, so that a wild pointer is not taken for one.
const HANDLES: usize = 0x4E56_0000_0000;
const STRIDE: usize = 0x40;

impl State {
    /// Names the file in place of the environment.
    pub fn use_file(&mut self, path: PathBuf) {
        self.path = Some(path);
    }

    /// The world as the file has it now; none where the file is missing or says nothing, after one line on stderr.
    pub fn world(&mut self) -> Option<Arc<Loaded>> {
        let Some(path) = self
            .path
            .clone()
            .or_else(|| env::var_os(FILE).map(Into::into))
        else {
            self.complain(format!("{FILE} names no file"));
            return None;
        };
        let stamp = match fs::metadata(&path) {
            Ok(file) => Stamp {
                path: path.clone(),
                inode: file.ino(),
                size: file.size(),
                modified: (file.mtime(), file.mtime_nsec()),
                changed: (file.ctime(), file.ctime_nsec()),
            },
            Err(error) => {
                self.complain(format!("{}: {error}", path.display()));
                self.read = None;
                return None;
            }
        };
        if let Some((read, loaded)) = &self.read
            && *read == stamp
        {
            return loaded.clone();
        }
        let loaded = fs::read_to_string(&path)
            .map_err(|error| error.to_string())
            .and_then(|text| config::read(&text).map_err(|error| error.to_string()))
            .map(|world| {
                Arc::new(Loaded {
                    keys: keys(&world),
                    world,
                })
            })
            .map_err(|reason| self.complain(format!("{}: {reason}", path.display())))
            .ok();
        if loaded.is_some() {
            self.complained.clear();
        }
        self.read = Some((stamp, loaded.clone()));
        loaded
    }

    /// The same complaint once, not at every call.
    fn complain(&mut self, reason: String) {
        if self.complained != reason {
            // A closed stderr is no reason to end the host process.
            let _ = writeln!(std::io::stderr(), "fake libnvidia-ml.so.1: {reason}");
            self.complained = reason;
        }
    }

    /// One initialisation more; the first remembers the driver.
    pub fn initialise(&mut self, world: &World) {
        if self.initialised == 0 {
            self.driver_at_init = Some(world.driver_version.clone());
        }
        self.initialised += 1;
    }

    /// One less.
    pub fn shut_down(&mut self) -> Result<(), Code> {
        self.initialised = self.initialised.checked_sub(1).ok_or(Code::UNINITIALIZED)?;
        Ok(())
    }

    /// Whether the driver is another one than at the first initialisation.
    pub fn driver_changed(&self, world: &World) -> bool {
        self.initialised > 0 && self.driver_at_init.as_ref() != Some(&world.driver_version)
    }

    /// The handle of a target, the same one every time.
    pub fn handle(&mut self, target: Target) -> usize {
        let number = match self.targets.iter().position(|known| *known == target) {
            Some(number) => number,
            None => {
                self.targets.push(target);
                self.targets.len() - 1
            }
        };
        HANDLES + STRIDE * number
    }

    /// What a handle stands for.
    pub fn target(&self, handle: usize) -> Option<&Target> {
        let offset = handle.checked_sub(HANDLES)?;
        if offset % STRIDE != 0 {
            return None;
        }
        self.targets.get(offset / STRIDE)
    }

    /// Counts a call on a device and says whether it is the `limit`-th or a later one since the file has this limit.
    pub fn reaches(&mut self, key: &str, limit: u64) -> bool {
        let (known, calls) = self.calls.entry(key.to_owned()).or_insert((limit, 0));
        if *known != limit {
            (*known, *calls) = (limit, 0);
        }
        *calls += 1;
        *calls >= limit
    }

    /// How often a counter was read before, and counts this read.
    pub fn read_before(&mut self, target: &Target, counter: &'static str) -> u64 {
        let reads = self.ecc_reads.entry((target.clone(), counter)).or_insert(0);
        *reads += 1;
        *reads - 1
    }
}

/// UUIDs, which may repeat, with the number of their repetition.
fn keys(world: &World) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for (index, device) in world.devices.iter().enumerate() {
        let base = match device.uuid.get() {
            Ok(uuid) => format!("{uuid:?}"),
            Err(_) => format!("device {index}"),
        };
        let mut key = base.clone();
        let mut repetition = 1;
        while keys.contains(&key) {
            repetition += 1;
            key.clone_from(&base);
            // Writing to a String does not fail.
            let _ = write!(key, " {repetition}");
        }
        keys.push(key);
    }
    keys
}

/// Appends a call to the log, where there is one.
pub fn log(function: &str, device: Option<usize>) {
    static PATH: OnceLock<Option<OsString>> = OnceLock::new();
    let Some(path) = PATH.get_or_init(|| env::var_os(LOG)) else {
        return;
    };
    let line = match device {
        Some(index) => format!("{function} {index}\n"),
        None => format!("{function} -\n"),
    };
    // The caller learns nothing from a log that cannot be written; the test that reads it does.
    let _ = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
}
