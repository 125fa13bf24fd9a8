//! The control socket: where clients find the daemon.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::libc::{EAGAIN, EPROTOTYPE};
use nix::sys::stat::{Mode, umask};

use crate::sys::holder::Holder;
use crate::sys::socket;

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Another process answers there.
    #[error("{} listens at {}; {}", told(holder.as_ref()), path.display(), advice(holder.as_ref()))]
    Taken {
        /// The socket.
        path: PathBuf,
        /// Who does, where the kernel tells.
        holder: Option<Holder>,
    },
    /// Something else stands in its place.
    #[error("refuse to replace {}: it is not a socket; move it away, or choose another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{verb} the socket {}", path.display())]
    FileSystem {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn told(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "another process".to_owned(), Holder::to_string)
}

fn advice(holder: Option<&Holder>) -> &'static str {
    match holder {
        Some(Holder { pid: 1, .. }) => "it is the service manager: start the daemon through it",
        Some(_) | None => "stop it, or choose another socket",
    }
}

/// What is at a path.
enum Found {
    Nothing,
    /// The socket of a process that is gone.
    Stale,
}

/// Looks who is at `path`, without waiting; somebody who lives is an error.
fn look(path: &Path) -> Result<Found, ListenError> {
    let io = |verb| move |source| ListenError::FileSystem { verb, path: path.to_owned(), source };
    let taken = |holder| ListenError::Taken { path: path.to_owned(), holder };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket { path: path.to_owned() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(io("look at")(error)),
    }
    match socket::connect_stream(path) {
        Ok(connection) => Err(taken(holder(&connection))),
        // Too many wait for it already, or it is for something else than streams: somebody has it.
        Err(error) if matches!(error.raw_os_error(), Some(EAGAIN | EPROTOTYPE)) => Err(taken(None)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Found::Stale),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(io("look who answers at")(error)),
    }
}

/// The process that began to listen, which the kernel noted then: unix(7), `SO_PEERCRED`.
fn holder(connection: &OwnedFd) -> Option<Holder> {
    let pid = socket::peer(connection).ok()?.pid;
    (pid > 0).then(|| Holder::of(pid))
}

/// Tells whether [`listen`] would be refused, changing nothing.
///
/// # Errors
/// [`ListenError`], where somebody or something stands in the way.
pub fn refuse_taken(path: &Path) -> Result<(), ListenError> {
    look(path).map(drop)
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
    let io = |verb| move |source| ListenError::FileSystem { verb, path: path.to_owned(), source };
    match look(path)? {
        Found::Stale => fs::remove_file(path).map_err(io("replace"))?,
        Found::Nothing => {}
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
        let told = refuse_taken(&path).unwrap_err();
        let ListenError::Taken { holder: Some(holder), .. } = &told else { panic!("{told}") };
        assert_eq!(u32::try_from(holder.pid).unwrap(), std::process::id());
        assert!(
            told.to_string().starts_with(&format!("process {} ({}) listens at", holder.pid, holder.name)),
            "{told}"
        );
        assert!(matches!(listen(&path, None), Err(ListenError::Taken { .. })));
        drop(first);
        refuse_taken(&path).unwrap();
        assert!(path.exists(), "to look changes nothing");
        listen(&path, None).unwrap();
    }

    #[test]
    fn d12_a_socket_that_cannot_be_connected_to_is_taken_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let packets = directory.path().join("packets");
        let _other = socket::listen(&packets).unwrap();
        assert!(matches!(listen(&packets, None), Err(ListenError::Taken { holder: None, .. })));
        let busy = directory.path().join("busy");
        let _deaf = listen(&busy, None).unwrap();
        let mut waiting = Vec::new();
        while let Ok(connection) = socket::connect_stream(&busy) {
            waiting.push(connection);
        }
        assert!(matches!(refuse_taken(&busy), Err(ListenError::Taken { holder: None, .. })));
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
