//! What keeps a process of this service from doing its work.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use nix::libc::{EADDRINUSE, EBUSY, EINVAL, EIO};

use crate::config::ConfigError;
use crate::daemon::LockError;
use crate::daemon::directory::DirectoryError;
use crate::daemon::lifecycle::{IllegalTransition, PassedOver};
use crate::daemon::log::LogError;
use crate::daemon::port::PortError;
use crate::daemon::process::StartError;
use crate::daemon::service::ActivationError;
use crate::daemon::socket::ListenError;
use crate::daemon::upgrade::{FORM, OLDEST_FORM, UpgradeError};
use crate::task::Bytes;

/// Why the daemon or the runner did not start, or did not end in good order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration has faults.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It was started as root without permission to run tasks as root.
    #[error(
        "refuse to run tasks as root: start the daemon as another user, or set security.allow_root_tasks in {} to \"{words}\"",
        file.display()
    )]
    RootTasks {
        /// What the configuration has to say.
        words: &'static str,
        /// In which file.
        file: PathBuf,
    },
    /// A directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The lock is taken or cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The control socket cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The service manager passed on a port that other hosts reach.
    #[error(
        "take over the socket health: {0} is no loopback address, and health is told to this host alone; change ListenStream="
    )]
    NotLoopback(SocketAddr),
    /// The loopback port cannot be had.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The queue cannot be opened.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The log is in use.
    #[error("set up the log")]
    Log(#[source] tracing_subscriber::util::TryInitError),
    /// What the daemon runs.
    #[error("find this program's own file")]
    Program(#[source] io::Error),
    /// The handover from the program before this one.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// What a running daemon expects of this program.
    #[error("understand what the running daemon expects; restart it instead")]
    Expectation(#[source] serde_json::Error),
    /// It hands over in another way.
    #[error(
        "the running daemon hands over in form {found}, and this version knows {OLDEST_FORM} to {FORM}; restart instead"
    )]
    Handover {
        /// The form.
        found: u16,
    },
    /// An upgrade stays where it is.
    #[error("{what} has moved from {from} to {to}, and an upgrade stays where it is; restart instead")]
    Moved {
        /// What.
        what: &'static str,
        /// Where the running daemon has it.
        from: Bytes,
        /// Where the configuration has it now.
        to: Bytes,
    },
    /// A socket that was not handed over.
    #[error("the program before this one left no socket for clients; start again")]
    NoSocket,
    /// The log cannot be opened.
    #[error(transparent)]
    LogTarget(#[from] LogError),
    /// The log is to go where nothing is.
    #[error(
        "in the background there is no standard error to log to: set log.target to auto, journal, file or syslog, or start with --foreground"
    )]
    NoStderr,
    /// The daemon did not start in the background.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Signals.
    #[error("take over the signals")]
    Signals(#[source] io::Error),
    /// Descriptors.
    #[error("sort the inherited descriptors")]
    Descriptors(#[source] io::Error),
    /// The group of those who may submit.
    #[error("look up the group {name}")]
    Group {
        /// Its name.
        name: String,
        /// What the system's databases said.
        source: io::Error,
    },
    /// The limit on open files.
    #[error("raise the limit on open files")]
    OpenFiles(#[source] io::Error),
    /// The runner was not started by the daemon.
    #[error("standard input is not a listening socket: the daemon starts the runner by itself")]
    NoListener(#[source] io::Error),
    /// Daemon and runner would be one.
    #[error(
        "user {0} cannot be both the daemon and its tasks: they could change the queue; name two users in section security of the configuration"
    )]
    SameUser(String),
    /// Rights could not be given up.
    #[error(transparent)]
    Privileges(#[from] crate::daemon::privileges::PrivilegeError),
    /// A sandbox was required.
    #[error("not all of the sandbox is to be had here ({0}); see to that, or set security.sandbox to auto")]
    Sandbox(String),
    /// The runner was not started.
    #[error(transparent)]
    Launch(#[from] crate::executor::LaunchError),
    /// The runner's command line.
    #[error("the runner does not know {0:?}, or its value")]
    RunnerArgument(String),
    /// The keeper of the runner.
    #[error("keep the runner")]
    Keep(#[source] io::Error),
    /// A process could not be prepared.
    #[error("prepare the process: {step}")]
    Prepare {
        /// What could not be done.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A thread.
    #[error("start a thread for {what}")]
    Thread {
        /// What it was to do.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// What the service manager passed on cannot be used.
    #[error(transparent)]
    Activation(#[from] ActivationError),
    /// Something happened out of turn.
    #[error(transparent)]
    OutOfTurn(#[from] IllegalTransition),
    /// A part of the daemon did not end in its time.
    #[error(transparent)]
    Hung(#[from] PassedOver),
    /// A part of the daemon ended by itself.
    #[error("the {0} ended unexpectedly; the log says more")]
    Ended(&'static str),
    /// Not everything ended in time.
    #[error("stopped before everything had ended; what still ran is taken up at the next start")]
    Unfinished,
    /// What a daemon that is gone has started does not end.
    #[error("end the runner of a daemon that is gone, with its tasks")]
    LeftBehind(#[source] io::Error),
    /// The runner.
    #[error(transparent)]
    Runner(#[from] crate::runner::Error),
}

/// The number of the system's error that is behind it, else of the one that comes closest; errno(3). There is always
/// one: `start-stop-daemon --notify-await` takes nothing else for a failure, and would wait for its time to pass.
pub(super) fn errno(error: &Error) -> i32 {
    let first: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |cause| cause.source());
    causes.find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error()).unwrap_or(match error {
        Error::Config(_) | Error::RootTasks { .. } | Error::SameUser(_) | Error::NoStderr => EINVAL,
        Error::Listen(ListenError::Taken { .. }) | Error::Port(PortError::Taken { .. }) => EADDRINUSE,
        Error::Lock(LockError::AlreadyRunning { .. } | LockError::HeldByStranger { .. }) => EBUSY,
        _ => EIO,
    })
}
