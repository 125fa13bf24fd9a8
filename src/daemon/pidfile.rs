//! The PID file: one line with a number, for service managers and people.
//!
//! Nothing is decided by it; the lock decides.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK};

/// What could not be done with a PID file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PidFileError {
    /// Something else stands in its place.
    #[error("refuse {}: it is {found}, not a regular file; remove it", path.display())]
    Planted {
        /// The path.
        path: PathBuf,
        /// What stands there.
        found: &'static str,
    },
    /// The system refused.
    #[error("{verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Writes the file as a whole or not at all, readable by everyone.
///
/// # Errors
/// [`PidFileError::Planted`] where a link, pipe or directory stands in its place, else as open(2)
/// and rename(2).
pub(super) fn write(path: &Path, pid: i32) -> Result<(), PidFileError> {
    regular(path)?;
    let new = path.with_extension("pid.new");
    // What a daemon that died while writing has left; a link is removed, not followed.
    remove_if_there(&new)?;
    let io = |verb| move |path: &Path, source| PidFileError::Io { verb, path: path.to_owned(), source };
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .custom_flags(O_NOFOLLOW)
        .open(&new)
        .and_then(|mut file| {
            // Whatever the daemon's umask is.
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            file.write_all(format!("{pid}\n").as_bytes())
        })
        .map_err(|error| io("write")(&new, error))?;
    fs::rename(&new, path).map_err(|error| io("replace")(path, error))
}

/// Leaves a second PID file, of this process, beside `directory`, where only root can write: `/run/example.pid` for
/// `/run/example`. Root's scripts can trust it, while `directory` may be another user's. Where others can write
/// there too, it is left out.
///
/// # Errors
/// As for any PID file.
pub fn publish(directory: &Path) -> Result<(), PidFileError> {
    let path = beside(directory);
    let above = path.parent().unwrap_or(Path::new("/"));
    let found =
        fs::metadata(above).map_err(|source| PidFileError::Io { verb: "look at", path: above.to_owned(), source })?;
    if found.uid() != 0 || found.mode() & 0o022 != 0 {
        return Ok(());
    }
    write(&path, i32::try_from(std::process::id()).unwrap_or_default())
}

/// Removes what [`publish`] left, for a daemon that is gone. Only root can: others leave it.
pub(super) fn retract(directory: &Path) {
    if nix::unistd::geteuid().is_root() {
        // The next start writes it anew, whatever stands there.
        drop(remove(&beside(directory)));
    }
}

fn beside(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(".pid");
    PathBuf::from(name)
}

/// The number in the file: `Ok(None)` where there is no file, `Ok(Some(None))` where it holds none.
///
/// # Errors
/// [`PidFileError::Planted`] where a link, pipe or directory stands in its place, else as open(2).
pub(super) fn read(path: &Path) -> Result<Option<Option<i32>>, PidFileError> {
    if !regular(path)? {
        return Ok(None);
    }
    let opened = OpenOptions::new().read(true).custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path);
    let mut text = String::new();
    match opened.and_then(|file| file.take(64).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(text.trim_end().parse().ok().filter(|pid| *pid > 0))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(None)),
        Err(source) => Err(PidFileError::Io { verb: "read", path: path.to_owned(), source }),
    }
}

/// Removes the file, if it is there.
///
/// # Errors
/// [`PidFileError::Planted`] where a directory stands in its place, else as unlink(2).
pub(super) fn remove(path: &Path) -> Result<(), PidFileError> {
    if regular(path)? { remove_if_there(path) } else { Ok(()) }
}

/// Whether the file is there; anything that is no regular file is a fault.
fn regular(path: &Path) -> Result<bool, PidFileError> {
    match fs::symlink_metadata(path) {
        Ok(found) => match super::directory::odd_kind(found.file_type()) {
            None => Ok(true),
            Some(found) => Err(PidFileError::Planted { path: path.to_owned(), found }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(PidFileError::Io { verb: "look at", path: path.to_owned(), source }),
    }
}

fn remove_if_there(path: &Path) -> Result<(), PidFileError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(PidFileError::Io { verb: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn it_is_one_plain_line_for_everyone_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.pid");
        assert_eq!(read(&path).unwrap(), None);
        for pid in [4242, 7] {
            write(&path, pid).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{pid}\n"));
            assert_eq!(read(&path).unwrap(), Some(Some(pid)));
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_without_a_number_is_told_apart_from_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("daemon.pid");
        for text in [&b""[..], b"\n", b"-1\n", b"0\n", b"12 34\n", b"\xff\xfe", b"99999999999999\n"] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap(), Some(None), "{text:?}");
        }
    }

    #[test]
    fn what_is_planted_in_its_place_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let path = directory.path().join("daemon.pid");
        symlink(&victim, &path).unwrap();
        let told = write(&path, 1).unwrap_err().to_string();
        assert!(told.contains("it is a symbolic link, not a regular file"), "{told}");
        assert!(read(&path).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");

        // A link where the new file is prepared is removed, not followed.
        fs::remove_file(&path).unwrap();
        symlink(&victim, directory.path().join("daemon.pid.new")).unwrap();
        write(&path, 5).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }
}
