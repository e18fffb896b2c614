//! The disks of simulated hosts: after a power cut they hold what was flushed, and of the rest some and not other.
//!
//! Files lie in real folders, whose content the kernel never loses; so what was flushed is written down here, where the C library's `fsync` is defined
//! anew, and [`cut_power`] takes the rest away. Called by the world when a machine dies with its agent.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::system;

/// Content of a file; `None`: written and never flushed.
type Content = Option<Vec<u8>>;

#[derive(Debug, Default)]
struct Flushed {
    /// By inode, as they were flushed last.
    files: BTreeMap<u64, Vec<u8>>,
    /// By folder, the names in it when it was flushed last.
    folders: BTreeMap<PathBuf, BTreeMap<OsString, Content>>,
}

static FLUSHED: Mutex<Flushed> = Mutex::new(Flushed {
    files: BTreeMap::new(),
    folders: BTreeMap::new(),
});

fn flushed() -> MutexGuard<'static, Flushed> {
    FLUSHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In the place of the C library's, which would flush a real disk.
#[unsafe(no_mangle)]
extern "C" fn fsync(file: libc::c_int) -> libc::c_int {
    if !system::is_simulated() {
        // SAFETY: takes a number and no memory.
        let result = unsafe { libc::syscall(libc::SYS_fsync, file) };
        return libc::c_int::try_from(result).unwrap_or(-1);
    }
    // What has no path any more cannot be found after a power cut either.
    if let Ok(path) = fs::read_link(format!("/proc/self/fd/{file}")) {
        let _ = flushed().take(&path);
    }
    0
}

impl Flushed {
    fn take(&mut self, path: &Path) -> io::Result<()> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            let mut names = BTreeMap::new();
            for name in files(path)? {
                let content = self.content(&path.join(&name));
                names.insert(name, content);
            }
            self.folders.insert(path.to_owned(), names);
        } else {
            self.files.insert(metadata.ino(), fs::read(path)?);
        }
        Ok(())
    }

    /// What of a file is on the disk.
    fn content(&self, path: &Path) -> Content {
        let inode = fs::metadata(path).ok()?.ino();
        let now = fs::read(path).ok()?;
        self.files
            .get(&inode)
            .filter(|content| **content == now)
            .cloned()
            .or_else(|| now.is_empty().then_some(now))
    }
}

fn files(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.insert(entry.file_name());
        }
    }
    Ok(names)
}

/// Takes from a folder and those in it what a power cut takes: a name that came, went or changed since its folder was flushed did so or did not, and
/// half of a file that was not flushed is gone.
///
/// # Errors
/// When the real disk fails.
pub fn cut_power(folder: &Path) -> io::Result<()> {
    let known = flushed().folders.get(folder).cloned().unwrap_or_default();
    let mut names = files(folder)?;
    names.extend(known.keys().cloned());
    for name in names {
        let path = folder.join(&name);
        let before = known.get(&name);
        let now = path.exists().then(|| flushed().content(&path));
        // The change of the name was lost with the power, half of the time.
        let after = if before != now.as_ref() && system::random().is_multiple_of(2) {
            before.cloned()
        } else {
            now
        };
        match after {
            None => {
                if path.exists() {
                    fs::remove_file(&path)?;
                }
            }
            Some(Some(content)) => fs::write(&path, content)?,
            Some(None) => {
                let half = fs::read(&path).unwrap_or_default();
                fs::write(&path, &half[..half.len() / 2])?;
            }
        }
        // What is there now is what the disk has.
        if let Ok(metadata) = fs::metadata(&path) {
            flushed().files.insert(metadata.ino(), fs::read(&path)?);
        }
    }
    let _ = flushed().take(folder);
    for entry in sorted(folder)? {
        if entry.is_dir() {
            cut_power(&entry)?;
        }
    }
    Ok(())
}

fn sorted(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    Ok(entries)
}
