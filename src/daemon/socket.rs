//! The control socket: where clients find the daemon.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another process answers there.
    #[error("another process listens at {}; stop it, or choose another socket", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// Something else stands in its place.
    #[error("refuse to replace {}: it is not a socket; move it away, or choose another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// Anything else.
    #[error("{verb} the socket {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Listens at `path`, for this user and, where one is given, for a group. A socket that a dead process left is
/// replaced; one that answers is not.
///
/// To be called with the daemon's lock held, so that no two daemons replace each other's. Until its rights are
/// set, only this user can connect, for a new socket is never writable by others.
///
/// # Errors
/// [`ListenError`] tells who or what stands in the way.
pub fn listen(path: &Path, group: Option<u32>) -> Result<UnixListener, ListenError> {
    let io = |verb| move |source| ListenError::Io { verb, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => return Err(ListenError::Taken { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(io("replace"))?;
            }
            Err(error) => return Err(io("look who answers at")(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io("look at")(error)),
    }
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    let listener = listener.map_err(io("listen at"))?;
    if group.is_some() {
        chown(path, None, group).map_err(io("give the group"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(io("open to the group"))?;
    }
    Ok(listener)
}

/// Removes the socket of a daemon that ends. One that is gone already is as good.
pub fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "the socket stays behind");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let first = listen(&path, None).unwrap();
        assert!(matches!(listen(&path, None), Err(ListenError::Taken { .. })));
        drop(first);
        listen(&path, None).unwrap();
    }

    #[test]
    fn what_is_not_a_socket_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(listen(&path, None), Err(ListenError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
