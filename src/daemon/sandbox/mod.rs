//! A sandbox of a daemon's own: what it does not need is refused by the kernel from then on, on every init system.
//!
//! [`Sandbox`] names the files that are needed; [`Report`] tells what is in force and what this kernel cannot do.
//! `files` is Landlock, `calls` is seccomp; capabilities and new privileges go first. A child inherits all of it, and so
//! does a program that is executed. [`Commands`] is a milder one for a process that executes other people's commands.
//!
//! ```no_run
//! use taskdaemon::daemon::sandbox::Sandbox;
//!
//! let report = Sandbox { write: vec!["/var/lib/example".into()], ..Sandbox::default() }.enter();
//! assert!(report.missing.is_empty(), "{:?}", report.missing);
//! ```
//!
//! It must not know what the daemon does with its files.

mod calls;
mod commands;
mod files;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use commands::Commands;
pub use files::library_directories;

use super::log::in_full;
use super::privileges::{Extent, PrivilegeError, give_up_capabilities};
use crate::sys::user::{self, Credentials};

/// What is needed; all else is refused. Paths that are not there are passed over. Below a directory the same holds for
/// everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sandbox {
    /// Read.
    pub read: Vec<PathBuf>,
    /// Read, written, made and removed.
    pub write: Vec<PathBuf>,
    /// Removed, such as a socket in a directory that is not the daemon's.
    pub remove: Vec<PathBuf>,
    /// Read and executed.
    pub execute: Vec<PathBuf>,
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What is in force, as short sentences.
    pub in_force: Vec<String>,
    /// What is not, and why.
    pub missing: Vec<String>,
}

impl Report {
    fn note<E: std::error::Error>(&mut self, what: &str, done: Result<(), E>) {
        match done {
            Ok(()) => self.in_force.push(what.to_owned()),
            Err(error) => self.missing.push(format!("{what}: {}", in_full(&error))),
        }
    }
}

impl Sandbox {
    /// Enters it, for good. To be called by the first thread before there are others: those that it starts inherit it.
    #[must_use = "it tells what is missing"]
    pub fn enter(&self) -> Report {
        let mut report = Report::default();
        report.note("no capabilities, and none to be gained", without_capabilities());
        match Credentials::of_this_thread() {
            Ok(found) if found.threads > 1 => report.note("files", Err(PrivilegeError::Threads(found.threads))),
            Ok(_) | Err(_) => files::restrict(self, &mut report),
        }
        report.note("no system calls but those of a daemon", calls::restrict());
        report
    }
}

fn without_capabilities() -> Result<(), PrivilegeError> {
    // Without the right to empty it, the bounding set bounds nothing that could still be gained.
    drop(user::clear_bounding_set());
    give_up_capabilities(Extent::ForGood)
}
