//! Whose the files of a state directory are. An agent is often enrolled by root and run by its unit's own user, who must be able to read the key: what
//! root made is given to whoever the directory belongs to. Used by the state directory only.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::AsRawFd as _,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown},
    },
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

const ROOT: u32 = 0;

/// A user and a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: u32,
    /// Their group.
    pub group: u32,
}

impl Owner {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            user: metadata.uid(),
            group: metadata.gid(),
        })
    }
}

/// Gives a folder that root has just made to the owner of the folder that it is in. Changes nothing where this process is not root.
pub(crate) fn give_new_folder(folder: &Path) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let folder = fs::canonicalize(folder)?;
    let Some((parent, name)) = folder.parent().zip(folder.file_name()) else {
        return Ok(());
    };
    let parent = open(parent)?;
    let owner = Owner::of(&parent)?;
    give(&within(&parent).join(name), owner)
}

/// Gives root's files and folders directly in a folder to its owner, and answers with who that is. Changes nothing where this process is not root.
pub(crate) fn give_content(folder: &Path) -> io::Result<Option<Owner>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let folder = open(folder)?;
    let owner = Owner::of(&folder)?;
    if owner.user == ROOT {
        return Ok(None);
    }
    for entry in fs::read_dir(within(&folder))? {
        give(&entry?.path(), owner)?;
    }
    Ok(Some(owner))
}

/// The path of an open folder itself, whatever becomes of the name it was opened by: its owner may put another folder there.
fn within(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

fn open(folder: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY)
        .open(folder)
}

/// Gives away what is root's, under this one name, and no link.
fn give(path: &Path, owner: Owner) -> io::Result<()> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        // A link, or gone.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOENT)) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    let is_only_here = metadata.is_dir() || metadata.is_file() && metadata.nlink() == 1;
    if metadata.uid() == ROOT && is_only_here {
        fchown(&file, Some(owner.user), Some(owner.group))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    /// As of a unit's user; any number that is not root's.
    const SOMEBODY: u32 = 61_184;

    fn user(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().uid()
    }

    #[test]
    fn what_root_made_goes_to_the_folders_owner_and_nothing_else_does() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let parent = tempfile::tempdir().unwrap();
        let me = user(parent.path());
        let folder = parent.path().join("state");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("key"), "secret").unwrap();
        fs::create_dir(folder.join("spool")).unwrap();
        symlink(outside.path(), folder.join("link")).unwrap();
        // /tmp may be another file system than the folder's parent; both files lie in it.
        let twice = parent.path().join("twice");
        fs::write(&twice, "elsewhere, too").unwrap();
        fs::hard_link(&twice, folder.join("second-name")).unwrap();

        if !geteuid().is_root() {
            give_new_folder(&folder).unwrap();
            assert_eq!(give_content(&folder).unwrap(), None);
            assert_eq!(user(&folder.join("key")), me);
            return;
        }
        // In a folder of its own nothing changes.
        assert_eq!(give_content(&folder).unwrap(), None);
        assert_eq!(user(&folder.join("key")), ROOT);
        chown(parent.path(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        give_new_folder(&folder).unwrap();
        assert_eq!(user(&folder), SOMEBODY);
        let owner = give_content(&folder).unwrap().unwrap();
        assert_eq!((owner.user, owner.group), (SOMEBODY, SOMEBODY));
        for given in ["key", "spool"] {
            assert_eq!(user(&folder.join(given)), SOMEBODY, "{given}");
        }
        assert_eq!(user(outside.path()), ROOT, "a link leads nowhere");
        assert_eq!(user(&twice), ROOT, "a second name gives nothing away");
    }
}
