//! A daemon's process: one of it per directory, its signals, its directories, its log.
//!
//! [`process`] puts it into the background, [`Lock`] makes it the only one, [`inspect()`] and [`stop()`] see and end
//! it from another process, [`signals`] turns signals into values, [`lifecycle`] says what may follow what,
//! [`service`] speaks to the service manager, [`directory`] keeps others out, [`log`] writes down, [`health`] tells
//! how well it is, [`port`] listens on one, [`upgrade`] becomes another program, [`program`] tells whether there is one,
//! [`unit`] who runs it.
//!
//! ```
//! use std::time::Duration;
//! use taskdaemon::daemon::{Lock, Phase, Status, Stopped, inspect, stop};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let directory = tempfile::tempdir()?;
//! let mut lock = Lock::acquire(directory.path(), "1.0", 1_700_000_000_000_000)?;
//! assert!(Lock::acquire(directory.path(), "1.0", 1_700_000_000_000_001).is_err());
//!
//! lock.set_phase(Phase::Running)?;
//! assert!(matches!(inspect(directory.path()), Status::Running(_)));
//!
//! lock.release()?;
//! assert_eq!(stop(directory.path(), Duration::from_secs(10))?, Stopped::NotRunning);
//! # Ok(())
//! # }
//! ```
//!
//! It must not know tasks, queues or settings: any daemon could use it.

pub mod directory;
pub mod health;
mod inspect;
pub mod keeper;
pub mod lifecycle;
mod lock;
mod lockfile;
pub mod log;
mod pidfile;
pub mod port;
pub mod privileges;
pub mod process;
pub mod program;
mod readiness;
mod record;
pub mod service;
pub mod signals;
pub mod socket;
mod stop;
#[cfg(test)]
mod tests;
pub mod unit;
pub mod upgrade;
mod wait;

pub use inspect::{Left, Status, inspect};
pub use lock::{LOCK_FILE, Lock, LockError, PID_FILE};
pub use pidfile::{PidFileError, publish as publish_pid_file};
pub use readiness::Readiness;
pub use record::{Phase, Record, RecordError};
pub use stop::{StopError, Stopped, stop};
