//! Becoming another program without ceasing to be: trial run, handover, execve(2).
//!
//! A [`Candidate`] is looked at, then tried out in a process of its own, and only then takes this one's place: same
//! process ID, same parent, same children, and the descriptors that it is left, with facts about them, in a sealed
//! memory file. The new program finds them by [`inherited`]. What fails before the kernel has let go of the old program
//! is an error, and nothing has changed; what fails after that is a crash, for whoever restarts the service.
//!
//! ```no_run
//! use std::os::fd::{AsFd, OwnedFd};
//! use std::time::Duration;
//! use taskdaemon::daemon::upgrade::{Candidate, inherited};
//! use taskdaemon::sys::inherit::Inheritable;
//!
//! # fn listen() -> std::io::Result<OwnedFd> { taskdaemon::sys::fd::null() }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let socket: Inheritable = match inherited()? {
//!     Some(left) => left,
//!     None => listen()?.into(),
//! };
//! // … and when told to upgrade:
//! let candidate = Candidate::at("/usr/sbin/mydaemon".as_ref())?;
//! let version = candidate.try_out(&["--check".into()], "mydaemon ", Duration::from_secs(10))?;
//! let error = candidate.take_over(&["mydaemon".into()], &socket, &[socket.as_fd()]);
//! eprintln!("{version} could not take over, this one goes on: {error}");
//! # Ok(())
//! # }
//! ```
//!
//! It must not know what is handed over, nor what for.

mod candidate;
mod record;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

pub use candidate::Candidate;
pub use record::{FORM, OLDEST_FORM, inherited};

/// Why this program stays in charge, or what the one before it left is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// There is no such program, or it may not be read.
    #[error("open the new program {}", path.display())]
    Open {
        /// Where it should be.
        path: PathBuf,
        /// Why it could not be opened.
        source: io::Error,
    },
    /// Somebody else could put anything there.
    #[error(
        "refuse {}: it is no regular file that only root or this user could change (owner {owner}, mode {mode:04o}); \
        see to that with chown and chmod go-w", path.display()
    )]
    Unsafe {
        /// The program.
        path: PathBuf,
        /// Its owner's numeric user ID.
        owner: u32,
        /// Its permissions.
        mode: u32,
    },
    /// It is no program for this machine.
    #[error("run the new program {}", path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// Why it does not run.
        source: io::Error,
    },
    /// It refused, or crashed.
    #[error("the new program {} failed its trial ({status}): {said}", path.display())]
    Trial {
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        said: String,
    },
    /// It is something else than was expected.
    #[error("the new program {} is not one that can take over: it answered the trial with {said:?}", path.display())]
    Stranger {
        /// The program.
        path: PathBuf,
        /// What it said.
        said: String,
    },
    /// It took too long.
    #[error("the new program {} did not end its trial within {} s", path.display(), after.as_secs())]
    Slow {
        /// The program.
        path: PathBuf,
        /// How long it was waited for.
        after: Duration,
    },
    /// It is another one than was tried.
    #[error("the program {} was changed while it was tried out; upgrade again", path.display())]
    Changed {
        /// The program.
        path: PathBuf,
    },
    /// The kernel did not execute it.
    #[error("execute the new program")]
    Execute(#[source] io::Error),
    /// What is to be handed over.
    #[error("write the handover down")]
    Record(#[source] io::Error),
    /// What was handed over.
    #[error("take the handover {variable:?} up")]
    Inherit {
        /// What names it.
        variable: OsString,
        /// What is wrong with it.
        source: io::Error,
    },
}
