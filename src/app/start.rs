//! Into the background, with whoever started the daemon told the truth.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracing::error;

use super::Error;
use super::entrance::Passed;
use super::logging::Log;
use crate::config::Settings;
use crate::daemon::process::{self, Detached, Output};
use crate::daemon::service::Manager;
use crate::daemon::socket::ListenError;
use crate::daemon::{LockError, Readiness, Record, Status, inspect_settled, port, socket};
use crate::sys::signal::Blocked;

/// What new files of the daemon are not permitted, whatever it is started with: all but their owner everything.
const UMASK: u32 = 0o077;

/// How the daemon goes into the background.
#[derive(Debug, Clone, Copy)]
pub struct Background {
    /// How long it may take until it is ready.
    pub patience: Duration,
    /// From when on that counts.
    pub since: Instant,
    /// With which exit status and in which words a failure is told to whoever started it.
    pub describe: fn(&Error) -> (u8, String),
}

/// Waits for a daemon that is on its way out. Refuses, while the terminal is still there, what can be known to fail:
/// another daemon, a socket or a port that is taken, unless it was passed on. They are looked at again once the lock is
/// held, for they may change meanwhile. What else is wrong is told in its turn, as in the foreground.
pub(super) fn await_turn(background: &Background, settings: &Settings, passed: &Passed) -> Result<(), Error> {
    let deadline = background.since + background.patience;
    for directory in [&settings.paths.runtime_directory, &settings.paths.state_directory] {
        match inspect_settled(directory, deadline) {
            Status::Starting(record) | Status::Running(record) | Status::Stopping(record) => {
                let Record { pid, since_us, version, .. } = record;
                return Err(LockError::AlreadyRunning { pid, since_us, version }.into());
            }
            Status::Unknown(error @ LockError::HeldByStranger { .. }) => return Err(error.into()),
            Status::Unknown(_) | Status::Stale { .. } | Status::Stopped => {}
        }
    }
    // Taken for a moment, to be told who has it.
    if passed.loopback.is_none() {
        settings.health.listen.map(port::listen).transpose()?;
    }
    if passed.control.is_some() {
        return Ok(());
    }
    match socket::refuse_taken(&settings.paths.socket) {
        Err(error @ ListenError::Taken { .. }) => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Goes into the background; see [`process::Background::detach`].
pub(super) fn detach(
    background: &Background,
    log: &Log,
    blocked: &Blocked,
    (manager, passed): (&Manager, &Passed),
) -> Result<Detached, Error> {
    let how = process::Background {
        umask: UMASK,
        directory: PathBuf::from("/"),
        output: if log.is_standard_error() { Output::Kept } else { Output::Null },
        keep: passed.descriptors().chain(manager.descriptor()).collect(),
        patience: background.patience,
        since: background.since,
    };
    let detached = how.detach(blocked)?;
    if let Detached::Daemon(ready) = &detached {
        log.show_to(ready);
    }
    Ok(detached)
}

/// Tells a failure to whoever waits, who has the log's last lines already, and to the log.
pub(super) fn tell_failure(failure: &Error, background: &Background, ready: &Readiness, log: &Log) {
    let (code, words) = (background.describe)(failure);
    // The log of the daemon that runs has no use for those that did not come to be.
    let log_it = !matches!(failure, Error::Lock(LockError::AlreadyRunning { .. })) && log.open().is_ok();
    ready.failed(code, &words);
    if log_it {
        error!(error = failure as &dyn std::error::Error, "the daemon failed");
    }
}
