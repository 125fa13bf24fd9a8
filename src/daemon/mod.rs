//! A daemon's process: one of it per directory, its signals, its directories, its log.
//!
//! [`Lock`] makes it the only one, [`inspect`] and [`stop`] see and end it from another process,
//! [`signals`] turns signals into values, [`directory`] keeps others out, [`log`] writes down.
//!
//! It must not know tasks, queues or settings: any daemon could use it.

pub mod directory;
mod inspect;
mod lock;
mod lockfile;
pub mod log;
mod pidfile;
mod record;
pub mod signals;
mod stop;
#[cfg(test)]
mod tests;
mod wait;

pub use inspect::{Left, Status, inspect};
pub use lock::{LOCK_FILE, Lock, LockError, PID_FILE};
pub use pidfile::PidFileError;
pub use record::{Phase, Record, RecordError};
pub use stop::{StopError, Stopped, stop};
