//! A daemon's process: one of it per directory, its signals, its directories, its log.
//!
//! [`process`] puts it into the background, [`Lock`] makes it the only one, [`inspect()`] and [`stop()`] see and end
//! it from another process, [`signals`] turns signals into values, [`lifecycle`] says what may follow what,
//! [`service`] speaks to the service manager, [`directory`] keeps others out, [`privileges`] gives up what root may,
//! [`sandbox`] what else is not needed, [`keeper`] starts another process anew, [`log`] writes down, [`health`] tells
//! how well it is, [`socket`] and [`port`] listen, [`upgrade`] becomes another program, [`program`] tells whether there
//! is one, [`mod@unit`] who runs it.
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
//! # A daemon of one's own
//!
//! `examples/minimal.rs` is a whole one. What belongs where, for each step stands on those before it:
//!
//! 1. While there is one thread and one process: what the service manager said ([`service::Manager::of_environment`],
//!    [`service::Inherited::adopt`]), a log that keeps what it is told ([`log::install`]), and the signals blocked
//!    ([`signals::block_all`]).
//! 2. [`process::Background::detach`], or not: in the foreground [`Readiness::unheard`] stands in for the one who waits.
//! 3. In the process that stays: [`directory::prepare`], [`Lock::acquire`], the place of the log
//!    ([`log::Handle::open`]), sockets ([`socket::listen`], [`port::listen`]), and the privileges that are not needed
//!    any more ([`privileges`], [`sandbox::Sandbox::enter`]).
//! 4. Threads, and the work. A [`lifecycle::Lifecycle`] tells the service manager, a [`health::Registry`] whoever asks,
//!    a [`service::Watchdog`] that it moves.
//! 5. Ready: [`Lock::set_phase`], [`Readiness::ready`]. From here on one loop waits for signals ([`signals::Source`]).
//! 6. The end: [`lifecycle::Hooks`] in reverse order, [`Lock::release`].
//!
//! A failure before the fork is returned, one after it is told by [`Readiness::failed`]: both reach whoever started the
//! daemon. Other processes see it by [`inspect()`], and end it by [`stop()`].
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
pub mod sandbox;
pub mod service;
pub mod signals;
pub mod socket;
mod stop;
#[cfg(test)]
mod tests;
pub mod unit;
pub mod upgrade;
mod wait;

pub use inspect::{Left, Status, inspect, inspect_settled};
pub use lock::{LOCK_FILE, Lock, LockError, PID_FILE, while_vacant};
pub use pidfile::{PidFileError, publish as publish_pid_file};
pub use readiness::Readiness;
pub use record::{Phase, Record, RecordError};
pub use stop::{StopError, Stopped, stop};
