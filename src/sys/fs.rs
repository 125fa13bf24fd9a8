//! Private files, their identity, locks and free space.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::statvfs;

/// Bytes that this user may still write below `path`: statvfs(3).
///
/// # Errors
/// Where `path` does not exist or cannot be reached.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let at = statvfs(path)?;
    Ok(at.blocks_available().saturating_mul(at.fragment_size()))
}

/// Files that this user may still make below `path`: statvfs(3); `None` where the file system does not count them.
///
/// # Errors
/// Where `path` does not exist or cannot be reached.
pub fn free_inodes(path: &Path) -> io::Result<Option<u64>> {
    let at = statvfs(path)?;
    Ok((at.files() > 0).then(|| at.files_available()))
}

/// Opens `path` for writing from its start, empty, readable by its owner alone; a symbolic link in its
/// place is refused.
///
/// # Errors
/// ELOOP for a symbolic link, else as open(2).
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW).open(path)
}

/// Opens `path` for reading; a symbolic link in its place is refused.
///
/// # Errors
/// ELOOP for a symbolic link, else as open(2).
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Holds what is at `path`, whatever it is, without opening it; of a symbolic link the link itself.
///
/// # Errors
/// As open(2) with O_PATH.
pub fn hold(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)
}

/// What tells a file from every other one, for as long as somebody holds it: no other one gets its number meanwhile.
#[must_use]
pub fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Whether `file` is still the one at `path`.
///
/// # Errors
/// As stat(2); that nothing is there is none.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(identity(&found) == identity(&held)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Locks `file` for as long as the lock lives; `None` where another process holds it. See flock(2).
///
/// # Errors
/// Where the file system cannot lock.
pub fn try_lock(file: File) -> io::Result<Option<Flock<File>>> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_planted_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let link = directory.path().join("link");
        symlink("/dev/null", &link).unwrap();
        assert_eq!(create_private(&link).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(open_regular(&link).unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn a_private_file_is_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = create_private(&directory.path().join("file")).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_lock_is_held_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = try_lock(create_private(&path).unwrap()).unwrap();
        assert!(held.is_some());
        assert!(try_lock(create_private(&path).unwrap()).unwrap().is_none());
        drop(held);
        assert!(try_lock(create_private(&path).unwrap()).unwrap().is_some());
    }

    #[test]
    fn free_space_is_told() {
        assert!(free_bytes(Path::new("/")).unwrap() > 0);
    }
}
