//! One daemon per directory: a lock that the kernel releases when its process dies.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::Flock;

use super::lockfile;
use super::pidfile::{self, PidFileError};
use super::record::{Phase, Record, RecordError};
use crate::sys::fs::{is_at, try_lock};
use crate::sys::holder::Holder;

/// The name of the lock file in its directory. It stays there for good: were it removed, two
/// daemons could each lock a file of that name.
pub const LOCK_FILE: &str = "daemon.lock";
/// The name of the PID file beside it.
pub const PID_FILE: &str = "daemon.pid";

/// How long a lock without a living holder on record is waited for: whoever has it is about to
/// write its record, or only looks. Where a hundred start at once on one core that may take a while.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pause between two looks meanwhile.
const PAUSE: Duration = Duration::from_millis(5);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another daemon has it.
    #[error(
        "the daemon is already running as process {pid}, version {version}; stop it first, or use other directories"
    )]
    AlreadyRunning {
        /// Its process.
        pid: i32,
        /// When it took the lock, in microseconds since 1970.
        since_us: i64,
        /// The version of its program.
        version: String,
    },
    /// A process that does not say who it is has it.
    #[error("{} is locked by {}, which it does not name; end that process, or use other directories", path.display(), stranger(holder.as_ref()))]
    HeldByStranger {
        /// The lock file.
        path: PathBuf,
        /// Who has it, where the kernel tells.
        holder: Option<Holder>,
        /// What is wrong with the record; none where it names a process that is gone.
        #[source]
        record: Option<RecordError>,
    },
    /// Something else stands in the place of the lock file.
    #[error("refuse {}: it is {found}; remove it", path.display())]
    Planted {
        /// The path.
        path: PathBuf,
        /// What stands there.
        found: &'static str,
    },
    /// The lock file belongs to somebody who could read or hold it.
    #[error("refuse {}: it belongs to user {owner}; remove it", path.display())]
    ForeignOwner {
        /// The path.
        path: PathBuf,
        /// The owner's numeric user ID.
        owner: u32,
    },
    /// The PID file beside it cannot be written.
    #[error(transparent)]
    PidFile(#[from] PidFileError),
    /// Only another user may.
    #[error("{verb} {}: only root or its owner may; try it as one of them", path.display())]
    PermissionDenied {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{verb} {}", path.display())]
    FileSystem {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

fn stranger(holder: Option<&Holder>) -> String {
    holder.map_or_else(|| "a process out of sight".to_owned(), Holder::to_string)
}

/// The lock, held as long as this lives.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
    directory: PathBuf,
    record: Record,
    found: Result<Record, RecordError>,
}

impl Lock {
    /// Takes the lock of `directory` for this process, and writes record and PID file.
    ///
    /// To be called after the last fork: the record names the process that calls.
    ///
    /// # Errors
    /// [`LockError::AlreadyRunning`] where another daemon has it, and what else can be wrong with
    /// the two files.
    pub fn acquire(directory: &Path, version: &str, now_us: i64) -> Result<Self, LockError> {
        let lock = Self::acquire_without_pid_file(directory, version, now_us)?;
        pidfile::write(&directory.join(PID_FILE), lock.record.pid)?;
        Ok(lock)
    }

    /// The same without a PID file: for a directory that a daemon needs to itself, but that nobody
    /// looks for it in.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub fn acquire_without_pid_file(directory: &Path, version: &str, now_us: i64) -> Result<Self, LockError> {
        let path = directory.join(LOCK_FILE);
        let file = hold(&path)?;
        let found = lockfile::read(&file).map_err(|source| LockError::FileSystem {
            verb: "read",
            path: path.clone(),
            source,
        })?;
        let record = Record::of_this_process(version, now_us);
        let record =
            record.map_err(|source| LockError::FileSystem { verb: "look at", path: "/proc/self".into(), source })?;
        let lock = Self { file, directory: directory.to_owned(), record, found };
        lock.write_record()?;
        Ok(lock)
    }

    /// Takes up the lock that the program before this one held in the same process; it was held all the time. The
    /// record then names `version`, and the PID file stays as it is.
    ///
    /// # Errors
    /// [`LockError::FileSystem`] where `file` is not the lock file of `directory` any more, or cannot be written.
    pub fn inherit(file: OwnedFd, directory: &Path, version: &str) -> Result<Self, LockError> {
        let path = directory.join(LOCK_FILE);
        let io = |verb| move |source| LockError::FileSystem { verb, path: directory.join(LOCK_FILE), source };
        let file = try_lock(file.into()).map_err(io("lock"))?.ok_or(io::ErrorKind::WouldBlock.into());
        let file = file.map_err(io("lock"))?;
        if !is_at(&file, &path).map_err(io("look at"))? {
            return Err(io("find")(io::ErrorKind::NotFound.into()));
        }
        let found = lockfile::read(&file).map_err(io("read"))?;
        let since_us = found.as_ref().map_or(0, |record| record.since_us);
        let record = Record::of_this_process(version, since_us);
        let record =
            record.map_err(|source| LockError::FileSystem { verb: "look at", path: "/proc/self".into(), source })?;
        let phase = found.as_ref().map_or(record.phase, |found| found.phase);
        let lock = Self { file, directory: directory.to_owned(), record: Record { phase, ..record }, found };
        lock.write_record()?;
        Ok(lock)
    }

    /// Notes where the daemon is in its life, for `status` to tell.
    ///
    /// # Errors
    /// [`LockError::FileSystem`] where the file cannot be written.
    pub fn set_phase(&mut self, phase: Phase) -> Result<(), LockError> {
        self.record.phase = phase;
        self.write_record()
    }

    /// What the lock file says of this process.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What the lock file said before: a record is that of a daemon that died.
    ///
    /// # Errors
    /// [`RecordError::Empty`] after an end in good order, [`RecordError::Torn`] after none.
    pub fn predecessor(&self) -> Result<&Record, RecordError> {
        self.found.as_ref().map_err(|error| *error)
    }

    /// Removes the PID file, empties the record and gives the lock back.
    ///
    /// # Errors
    /// [`LockError`] tells which file could not be changed; the lock is given back all the same.
    pub fn release(self) -> Result<(), LockError> {
        clear(&self.file, &self.directory)
    }

    fn write_record(&self) -> Result<(), LockError> {
        let line = self.record.to_string().into_bytes();
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        // Nobody reads half of it as a whole: the checksum stands at the end.
        self.file
            .write_all_at(&line, 0)
            .and_then(|()| self.file.set_len(length))
            .map_err(|source| LockError::FileSystem { verb: "write", path: self.directory.join(LOCK_FILE), source })
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A start that fails later on leaves nothing behind either; there is nobody left to tell.
        drop(clear(&self.file, &self.directory));
    }
}

/// Does something while no daemon is in `directory`, and none can start there; `None` where one is.
///
/// # Errors
/// What can be wrong with the files.
pub fn while_vacant<Done>(directory: &Path, act: impl FnOnce() -> Done) -> Result<Option<Done>, LockError> {
    match hold(&directory.join(LOCK_FILE)) {
        Ok(_held) => Ok(Some(act())),
        Err(LockError::AlreadyRunning { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes what a daemon that died has left in `directory`.
///
/// # Errors
/// [`LockError::AlreadyRunning`] where one runs after all, and what else can be wrong with the files.
pub(super) fn clean(directory: &Path) -> Result<(), LockError> {
    let file = hold(&directory.join(LOCK_FILE))?;
    clear(&file, directory)
}

fn clear(file: &File, directory: &Path) -> Result<(), LockError> {
    let path = directory.join(LOCK_FILE);
    let io = |verb| move |source| LockError::FileSystem { verb, path: directory.join(LOCK_FILE), source };
    // Where somebody removed our file, the directory may be another daemon's by now.
    if is_at(file, &path).map_err(io("look at"))? {
        pidfile::remove(&directory.join(PID_FILE))?;
    }
    file.set_len(0).map_err(io("empty"))
}

/// Locks the file, made where it is missing.
fn hold(path: &Path) -> Result<Flock<File>, LockError> {
    let io = |verb| move |source| LockError::FileSystem { verb, path: path.to_owned(), source };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let file = lockfile::open(path)?;
        let looking = file.try_clone().map_err(io("open"))?;
        match try_lock(file).map_err(io("lock"))? {
            Some(lock) if is_at(&lock, path).map_err(io("look at"))? => return Ok(lock),
            // Somebody removed the file meanwhile, and another daemon may have locked a new one.
            Some(_) => continue,
            None => {}
        }
        let record = match lockfile::read(&looking).map_err(io("read"))? {
            Ok(record) if lockfile::names_a_holder(&looking, &record).map_err(io("look at"))? => {
                let Record { pid, since_us, version, .. } = record;
                return Err(LockError::AlreadyRunning { pid, since_us, version });
            }
            Ok(_) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= deadline {
            let holder = Holder::of_lock(&looking).unwrap_or_default();
            return Err(LockError::HeldByStranger { path: path.to_owned(), holder, record });
        }
        thread::sleep(PAUSE);
    }
}
