//! Ends a running daemon, and no other process.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::libc::{EPERM, ESRCH, SIGKILL, SIGTERM};

use super::inspect::{Status, inspect};
use super::lock::{LockError, clean};
use super::pidfile;
use super::record::Record;
use super::wait::readable;
use crate::sys::pidfd;

/// How long the kernel may take to end a process that was killed: it may have to wait for a disk.
const KILL_PATIENCE: Duration = Duration::from_secs(10);
/// How long the files of a process that ended may stay locked, by a child that has yet to go.
const CLEAN_PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two looks meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// There was none to stop.
    NotRunning,
    /// There was none; what one that died had left was removed.
    StaleCleaned,
    /// It ended within the grace.
    Terminated {
        /// The number that it had.
        pid: i32,
    },
    /// It did not, and was killed.
    Killed {
        /// The number that it had.
        pid: i32,
    },
}

/// Why it may still run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// It cannot be told whether one runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It is another user's.
    #[error("stop process {pid}: it belongs to another user; try it as root, or as that user")]
    PermissionDenied {
        /// The process.
        pid: i32,
    },
    /// Not even SIGKILL ended it in time.
    #[error("stop process {pid}: it was killed and is not gone yet; it may wait for a disk")]
    ShutdownTimeout {
        /// The process.
        pid: i32,
    },
    /// The system refused.
    #[error("{verb} process {pid}")]
    System {
        /// What was tried.
        verb: &'static str,
        /// On which process.
        pid: i32,
        /// Why it failed.
        source: io::Error,
    },
}

/// Asks the daemon of `directory` to end, kills it after `grace`, and returns once it is gone.
///
/// # Errors
/// [`StopError`] tells why it may still run.
pub fn stop(directory: &Path, grace: Duration) -> Result<Stopped, StopError> {
    match inspect(directory) {
        Status::Stopped => {
            pidfile::retract(directory);
            Ok(Stopped::NotRunning)
        }
        Status::Stale { .. } => match clean(directory) {
            Ok(()) => {
                pidfile::retract(directory);
                Ok(Stopped::StaleCleaned)
            }
            // One has started meanwhile.
            Err(LockError::AlreadyRunning { .. }) => stop(directory, grace),
            Err(error) => Err(error.into()),
        },
        Status::Unknown(error) => Err(error.into()),
        Status::Starting(record) | Status::Running(record) | Status::Stopping(record) => {
            let stopped = end(&record, grace)?;
            clean_after(directory, &record)?;
            pidfile::retract(directory);
            Ok(stopped)
        }
    }
}

fn end(record: &Record, grace: Duration) -> Result<Stopped, StopError> {
    let pid = record.pid;
    let held = record.hold().map_err(|source| StopError::System { verb: "hold", pid, source })?;
    let Some(process) = held else { return Ok(Stopped::Terminated { pid }) };
    if signal(pid, &process, SIGTERM)? || ends_within(pid, &process, grace)? {
        return Ok(Stopped::Terminated { pid });
    }
    if signal(pid, &process, SIGKILL)? || ends_within(pid, &process, KILL_PATIENCE)? {
        return Ok(Stopped::Killed { pid });
    }
    Err(StopError::ShutdownTimeout { pid })
}

/// Sends a signal; true where the process has ended already.
fn signal(pid: i32, process: &OwnedFd, signal: i32) -> Result<bool, StopError> {
    match pidfd::send_signal(process, signal) {
        Ok(()) => Ok(false),
        Err(error) if error.raw_os_error() == Some(ESRCH) => Ok(true),
        Err(error) if error.raw_os_error() == Some(EPERM) => Err(StopError::PermissionDenied { pid }),
        Err(source) => Err(StopError::System { verb: "signal", pid, source }),
    }
}

fn ends_within(pid: i32, process: &OwnedFd, time: Duration) -> Result<bool, StopError> {
    readable(process, Instant::now() + time).map_err(|source| StopError::System { verb: "wait for", pid, source })
}

/// Removes what the process left, unless it left nothing or a new daemon has taken over.
fn clean_after(directory: &Path, gone: &Record) -> Result<(), StopError> {
    let deadline = Instant::now() + CLEAN_PATIENCE;
    loop {
        match inspect(directory) {
            Status::Stopped => return Ok(()),
            Status::Stale { .. } => match clean(directory) {
                Ok(()) | Err(LockError::AlreadyRunning { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            },
            Status::Starting(record) | Status::Running(record) | Status::Stopping(record) => {
                if record.pid != gone.pid || record.start_ticks != gone.start_ticks || Instant::now() >= deadline {
                    return Ok(());
                }
            }
            Status::Unknown(error) if Instant::now() >= deadline => return Err(error.into()),
            Status::Unknown(_) => {}
        }
        thread::sleep(PAUSE);
    }
}
