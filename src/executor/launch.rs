//! The way to the runner: its socket, and its start where nobody answers there.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Command;

use super::link::Connect;
use crate::daemon::service;
use crate::sys::fd::OpenFiles;
use crate::sys::{process, socket};
use crate::wire::runner::mark;

/// Finds the runner at its socket, or starts it.
///
/// It is started in a session of its own, a child of init, so that it outlives this process, with the
/// listening socket as its standard input: whoever connects at once waits in the socket's queue, and
/// nobody has to wait for it to be there.
///
/// Two launchers for one socket must be kept apart by their daemons' lock.
#[derive(Debug)]
pub struct Launcher {
    /// The socket, in a directory that only this user and the runner's may enter.
    pub socket: PathBuf,
    /// The program and its arguments; `None` where somebody else (a service manager) starts it.
    pub command: Option<(PathBuf, Vec<OsString>)>,
    /// The runner's limits on open files, which become its tasks'; `None` leaves it this process's own.
    pub open_files: Option<OpenFiles>,
}

/// Why no runner was reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Somebody else should have started it.
    #[error("connect to the runner at {}; start its service", path.display())]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket for a new one.
    #[error("listen at {}", path.display())]
    Listen {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The new one itself.
    #[error("start the runner {}", program.display())]
    Launch {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Connect for Launcher {
    fn connect(&mut self) -> Result<OwnedFd, ConnectError> {
        let path = || self.socket.clone();
        match (socket::connect(&self.socket), &self.command) {
            (Ok(link), _) => Ok(link),
            (Err(error), Some((program, arguments))) if nobody_answers(&error) => {
                self.launch(program, arguments)?;
                socket::connect(&self.socket).map_err(|source| ConnectError::Connect { path: path(), source })
            }
            (Err(source), _) => Err(ConnectError::Connect { path: path(), source }),
        }
    }
}

impl Launcher {
    fn launch(&self, program: &PathBuf, arguments: &[OsString]) -> Result<(), ConnectError> {
        let listen = |source| ConnectError::Listen { path: self.socket.clone(), source };
        match fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(listen(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = socket::listen(&self.socket).map_err(listen)?;
        let mut command = Command::new(program);
        // This process may be a task's child; the runner is not.
        command.args(arguments);
        // Nor is it the one that the service manager speaks to.
        for name in mark::NAMES.iter().chain(&service::VARIABLES) {
            command.env_remove(name);
        }
        process::launch(command, listener, self.open_files)
            .map_err(|source| ConnectError::Launch { program: program.clone(), source })
    }
}

fn nobody_answers(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}
