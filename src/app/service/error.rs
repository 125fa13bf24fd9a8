//! Why a service is not installed, or not removed.

use std::io;
use std::path::PathBuf;

/// What keeps a service from being installed or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No service manager was named, and none that is known runs here.
    #[error("no service manager that is known runs here; name one, as in `taskdaemon service print sysv`")]
    Unknown,
    /// Another one runs here.
    #[error("{0} does not run here; `taskdaemon service print {0}` prints its files")]
    Elsewhere(&'static str),
    /// What nobody has tried.
    #[error("launchd's file is text alone, never tried on its system; `taskdaemon service print launchd` prints it")]
    TextOnly,
    /// It takes root.
    #[error("a service of the whole host is root's to {verb}; run: sudo {} service {verb} {manager}", program.display())]
    NotRoot {
        /// Which program.
        program: PathBuf,
        /// What was to be done.
        verb: &'static str,
        /// Under whom.
        manager: &'static str,
    },
    /// Root has no need of one.
    #[error("root runs the service of the whole host: taskdaemon service install systemd")]
    RootsOwn,
    /// Others could change what it would run.
    #[error("refuse {}: {reason}; {advice}", path.display())]
    Unsafe {
        /// What is not safe.
        path: PathBuf,
        /// Why.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// A package has it already.
    #[error("{} is there: a package brings this service; run: {start}", path.display())]
    Packaged {
        /// Its file.
        path: PathBuf,
        /// How to start it.
        start: &'static str,
    },
    /// A file is not what was written by this.
    #[error("leave {} alone: {reason}; nothing was changed", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is, or what became of it.
        reason: String,
    },
    /// One runs that is not this service's.
    #[error("process {pid} is a daemon already, and not this service's; end it first: taskdaemon stop")]
    Running {
        /// The daemon.
        pid: i32,
    },
    /// A command failed.
    #[error("{command}: {told}")]
    Command {
        /// Its words.
        command: String,
        /// What it said.
        told: String,
    },
    /// It is installed and does not run.
    #[error("the service does not run: {0}")]
    NotRunning(String),
    /// It was installed, came to nothing, and is gone again.
    #[error("what was written is removed again")]
    Undone(#[source] Box<ServiceError>),
    /// The system refused.
    #[error("{verb} {}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}
