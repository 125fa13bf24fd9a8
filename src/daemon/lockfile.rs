//! The lock file as it lies on disk: opened without falling for what is planted there, and read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::{EISDIR, ELOOP, ENXIO, O_NOFOLLOW, O_NONBLOCK};

use super::directory::odd_kind;
use super::lock::LockError;
use super::record::{Record, RecordError};
use crate::sys::procfs;

/// The longest record that is read, in bytes.
const MOST: usize = 4096;

/// Opens the file to lock it; where it is missing it is made, for its owner alone, because whoever
/// can open it could hold the lock.
pub(super) fn open(path: &Path) -> Result<File, LockError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = open_with(&mut options, path)?;
    let found = file.metadata().map_err(|source| failed("look at", path, source))?;
    let user = nix::unistd::geteuid();
    if !user.is_root() && found.uid() != user.as_raw() {
        return Err(LockError::ForeignOwner { path: path.to_owned(), owner: found.uid() });
    }
    Ok(file)
}

/// Opens the file to look at it; `None` where it is missing.
pub(super) fn open_existing(path: &Path) -> Result<Option<File>, LockError> {
    match open_with(OpenOptions::new().read(true), path) {
        Ok(file) => Ok(Some(file)),
        Err(LockError::FileSystem { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn open_with(options: &mut OpenOptions, path: &Path) -> Result<File, LockError> {
    let planted = |found| LockError::Planted { path: path.to_owned(), found };
    let file =
        options.custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path).map_err(|error| match error.raw_os_error() {
            Some(ELOOP) => planted("a symbolic link"),
            Some(EISDIR) => planted("a directory"),
            Some(ENXIO) => planted("a pipe or a socket"),
            _ => failed("open", path, error),
        })?;
    let found = file.metadata().map_err(|source| failed("look at", path, source))?;
    match odd_kind(found.file_type()) {
        Some(kind) => Err(planted(kind)),
        // It would write to whatever the other name is.
        None if found.nlink() > 1 => Err(planted("a file that has another name too")),
        None => Ok(file),
    }
}

fn failed(verb: &'static str, path: &Path, source: io::Error) -> LockError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied => LockError::PermissionDenied { verb, path },
        _ => LockError::FileSystem { verb, path, source },
    }
}

/// What the file says.
pub(super) fn read(file: &File) -> io::Result<Result<Record, RecordError>> {
    let mut bytes = [0; MOST];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, u64::try_from(length).unwrap_or(u64::MAX)) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Record::parse(bytes.get(..length).unwrap_or_default()))
}

/// Whether some process holds the lock. A shared lock is taken for a moment to find out, so that
/// those who look at the same time do not take each other for the daemon.
pub(super) fn is_held(file: &File) -> io::Result<bool> {
    match Flock::lock(file.try_clone()?, FlockArg::LockSharedNonblock) {
        Ok(_) => Ok(false),
        Err((_, Errno::EWOULDBLOCK)) => Ok(true),
        Err((_, error)) => Err(error.into()),
    }
}

/// Whether the record names a process that lives and that the file's owner could have meant: were
/// it anyone's, whoever can write the file could have a stranger's process signalled by root.
pub(super) fn names_a_holder(file: &File, record: &Record) -> io::Result<bool> {
    if !record.is_alive() {
        return Ok(false);
    }
    let owner = file.metadata()?.uid();
    Ok(owner == 0 || procfs::owner(record.pid).is_ok_and(|user| user == owner))
}
