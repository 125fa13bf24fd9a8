//! Whether a daemon runs, told from its files and the kernel alone.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::lock::{LOCK_FILE, LockError, PID_FILE};
use super::lockfile;
use super::pidfile;
use super::record::{Phase, Record, RecordError};
use super::wait::readable;
use crate::sys::holder::Holder;

/// How long a record that does not fit its lock is looked at again: it may be being written.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two looks meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// What was found.
#[derive(Debug)]
pub enum Status {
    /// It has the lock, and does not answer yet.
    Starting(Record),
    /// It runs.
    Running(Record),
    /// It is on its way out.
    Stopping(Record),
    /// It died and left its files.
    Stale {
        /// The number that it had, where it is still to be read.
        pid: Option<i32>,
        /// Which of its files tells.
        left: Left,
    },
    /// It does not run, and left in good order or never ran.
    Stopped,
    /// It cannot be told.
    Unknown(LockError),
}

/// Which file a daemon that died has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// The PID file, with or without a record.
    PidFile,
    /// A record in the lock file alone.
    Lock,
}

impl Status {
    /// The code with which `status` exits: LSB Core 5.0, 22.2, "Init Script Actions".
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Starting(_) | Self::Running(_) | Self::Stopping(_) => 0,
            Self::Stale { left: Left::PidFile, .. } => 1,
            Self::Stale { left: Left::Lock, .. } => 2,
            Self::Stopped => 3,
            Self::Unknown(_) => 4,
        }
    }

    /// The process, where one lives.
    #[must_use]
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Starting(record) | Self::Running(record) | Self::Stopping(record) => Some(record),
            Self::Stale { .. } | Self::Stopped | Self::Unknown(_) => None,
        }
    }

    /// One word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Starting(_) => "starting",
            Self::Running(_) => "running",
            Self::Stopping(_) => "stopping",
            Self::Stale { .. } => "stale",
            Self::Stopped => "stopped",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// Looks at the files of `directory`, changing nothing.
#[must_use]
pub fn inspect(directory: &Path) -> Status {
    look(directory).unwrap_or_else(Status::Unknown)
}

/// The same, once a daemon that is on its way out is gone, or at `deadline`.
#[must_use]
pub fn inspect_settled(directory: &Path, deadline: Instant) -> Status {
    loop {
        let status = inspect(directory);
        let Status::Stopping(record) = &status else { return status };
        let gone = record.hold().and_then(|held| held.map_or(Ok(true), |process| readable(&process, deadline)));
        if !gone.unwrap_or(false) {
            return status;
        }
    }
}

fn look(directory: &Path) -> Result<Status, LockError> {
    let path = directory.join(LOCK_FILE);
    let io = |verb| move |source| LockError::FileSystem { verb, path: directory.join(LOCK_FILE), source };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Some(file) = lockfile::open_existing(&path)? else {
            return left(directory, Err(RecordError::Empty));
        };
        let held = lockfile::is_held(&file).map_err(io("lock"))?;
        let record = lockfile::read(&file).map_err(io("read"))?;
        if !held {
            return left(directory, record);
        }
        let record = match record {
            Ok(record) if lockfile::names_a_holder(&file, &record).map_err(io("look at"))? => return Ok(alive(record)),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= deadline {
            let holder = Holder::of_lock(&file).unwrap_or_default();
            return Err(LockError::HeldByStranger { path, holder, record });
        }
        thread::sleep(PAUSE);
    }
}

fn alive(record: Record) -> Status {
    match record.phase {
        Phase::Starting => Status::Starting(record),
        Phase::Running | Phase::Reloading => Status::Running(record),
        Phase::Draining | Phase::Stopping => Status::Stopping(record),
    }
}

/// What there is where nobody holds the lock. A number in the PID file may be a stranger's by now;
/// whether it lives does not matter.
fn left(directory: &Path, record: Result<Record, RecordError>) -> Result<Status, LockError> {
    let in_pid_file = pidfile::read(&directory.join(PID_FILE))?;
    let in_record = record.as_ref().ok().map(|record| record.pid);
    Ok(match (in_pid_file, record) {
        (Some(pid), _) => Status::Stale { pid: in_record.or(pid), left: Left::PidFile },
        (None, Err(RecordError::Empty)) => Status::Stopped,
        (None, Ok(_) | Err(RecordError::Torn)) => Status::Stale { pid: in_record, left: Left::Lock },
    })
}
