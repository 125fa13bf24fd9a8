//! What ends a verb early: its exit status and what to try next.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use anyhow::Chain;

use super::exit::Code;
use super::output;
use super::parse::ParseError;
use crate::app;
use crate::app::service::ServiceError;
use crate::client::ClientError;
use crate::config::ConfigError;
use crate::daemon::directory::DirectoryError;
use crate::daemon::log::LogError;
use crate::daemon::privileges::PrivilegeError;
use crate::daemon::process::{Reason, StartError};
use crate::daemon::unit::Unit;
use crate::daemon::{LockError, StopError};
use crate::wire::api::Problem;

/// What goes wrong on this side.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A file that an option names.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A place for files.
    #[error("write to {}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The working directory was removed, or may not be read.
    #[error("tell the working directory")]
    Directory(#[source] io::Error),
    /// A start time beyond the calendar.
    #[error("take the time of --at")]
    Time {
        /// What is wrong.
        #[source]
        source: ParseError,
    },
    /// An option that needs another.
    #[error("{0}")]
    Usage(&'static str),
    /// What was waited for goes on.
    #[error("gave up after {after}: {open} of the tasks {} not ended", if *open == 1 { "has" } else { "have" })]
    Deadline {
        /// How long it was waited.
        after: String,
        /// How many go on.
        open: usize,
    },
    /// A task was removed while it was waited for.
    #[error("task {0} was removed before its end could be told")]
    Removed(crate::task::TaskId),
    /// A daemon that is somebody else's to restart.
    #[error(
        "process {pid} is run by systemd; restart it so: systemctl {}restart {}",
        if unit.user { "--user " } else { "" }, unit.name
    )]
    Unit {
        /// The daemon.
        pid: i32,
        /// Its unit.
        unit: Unit,
    },
    /// No such queue.
    #[error("there is no queue {0}")]
    NoQueue(crate::task::QueueName),
    /// The old daemon is still in charge.
    #[error("not upgraded, and the daemon goes on as it was: {0}")]
    Upgrade(String),
    /// The new daemon is not in charge, nor the old one.
    #[error("the daemon ended while the new program took over; its log says why")]
    UpgradeLost,
    /// The daemon is the new program, the runner is not.
    #[error("the runner stays what it was: {0}")]
    RunnerStays(String),
    /// The daemon did not come up.
    #[error("no daemon was ready within {0}")]
    NotReady(String),
}

/// How a failure of the daemon in the background is told to whoever started it: the exit status, and the same words
/// as in the foreground.
pub(super) fn told(error: &app::Error) -> (u8, String) {
    (code(error).number(), output::words(&message(error), hint(error)))
}

/// The last lines of the log of a daemon that did not start.
pub(super) fn log<'a>(error: &'a (dyn Error + 'static)) -> &'a [String] {
    let start = Chain::new(error).find_map(|cause| match cause.downcast_ref() {
        Some(app::Error::Start(StartError::StartFailed { log, .. })) => Some(log.as_slice()),
        _ => None,
    });
    start.unwrap_or_default()
}

/// What went wrong, with every cause once: those on this side, and those that the daemon told.
pub(super) fn message(error: &(dyn Error + 'static)) -> String {
    let causes: Vec<String> = Chain::new(error).map(ToString::to_string).collect();
    let mut text = causes.join(": ");
    let problem = Chain::new(error).find_map(|cause| match cause.downcast_ref() {
        Some(ClientError::Problem(problem)) => Some(problem),
        _ => None,
    });
    if let Some(problem) = problem {
        // The faults of a configuration stand beside one another, the causes of anything else below.
        let separator = if problem.kind() == "invalid-configuration" { "\n" } else { ": " };
        for cause in &problem.causes {
            text.push_str(separator);
            text.push_str(cause);
        }
    }
    text
}

/// The exit status for an error.
pub(super) fn code(error: &(dyn Error + 'static)) -> Code {
    let known = Chain::new(error).find_map(|cause| {
        let client = || cause.downcast_ref().map(of_client);
        let own = || cause.downcast_ref().map(of_own);
        let config = || cause.downcast_ref::<ConfigError>().map(|_| Code::Config);
        let app = || cause.downcast_ref().map(of_app);
        let stop = || cause.downcast_ref().map(of_stop);
        let io = || cause.downcast_ref().map(of_io);
        let service = || cause.downcast_ref().map(of_service);
        client().or_else(own).or_else(app).or_else(stop).or_else(config).or_else(service).or_else(io)
    });
    known.unwrap_or(Code::Failure)
}

fn of_client(error: &ClientError) -> Code {
    match error {
        ClientError::NotListening { .. } | ClientError::StaleSocket { .. } | ClientError::Broken { .. } => {
            Code::Unavailable
        }
        ClientError::Timeout { .. } => Code::Unavailable,
        ClientError::PermissionDenied { .. } => Code::Forbidden,
        ClientError::Protocol(_) => Code::Protocol,
        ClientError::Problem(problem) => of_problem(problem),
        ClientError::Input { .. } => Code::Io,
        ClientError::Line { problem, .. } => problem.as_deref().map_or(Code::Data, of_problem),
        ClientError::Stopped { source, .. } => of_client(source),
    }
}

fn of_problem(problem: &Problem) -> Code {
    Code::of_problem(problem.kind(), problem.status)
}

fn of_own(failure: &Failure) -> Code {
    match failure {
        Failure::Read { source, .. } | Failure::Write { source, .. } | Failure::Directory(source) => of_io(source),
        Failure::Time { .. } | Failure::Usage(_) | Failure::Unit { .. } => Code::Usage,
        Failure::Deadline { .. } => Code::Deadline,
        Failure::Removed(_) | Failure::NoQueue(_) => Code::NoInput,
        Failure::NotReady(_) | Failure::UpgradeLost => Code::Unavailable,
        Failure::Upgrade(_) | Failure::RunnerStays(_) => Code::Failure,
    }
}

fn of_app(error: &app::Error) -> Code {
    match error {
        app::Error::Config(_)
        | app::Error::RootTasks { .. }
        | app::Error::SameUser(_)
        | app::Error::Privileges(PrivilegeError::Unknown { .. } | PrivilegeError::IsRoot { .. })
        | app::Error::NoStderr => Code::Config,
        app::Error::Lock(LockError::PermissionDenied { .. }) => Code::Forbidden,
        app::Error::Start(StartError::StartFailed { reason, .. }) => match reason {
            Reason::Told { code, .. } => Code::Told(*code),
            Reason::TimedOut { .. } => Code::Deadline,
            Reason::Died { .. } | Reason::Interrupted { .. } => Code::Failure,
        },
        // The others differ in nothing that a service manager or a script could act on.
        _ => Code::Failure,
    }
}

fn of_service(error: &ServiceError) -> Code {
    match error {
        ServiceError::NotRoot { .. } | ServiceError::RootsOwn => Code::Forbidden,
        ServiceError::Unknown | ServiceError::TextOnly => Code::Usage,
        _ => Code::Failure,
    }
}

fn of_stop(error: &StopError) -> Code {
    match error {
        StopError::PermissionDenied { .. } | StopError::Lock(LockError::PermissionDenied { .. }) => Code::Forbidden,
        _ => Code::Failure,
    }
}

fn of_io(error: &io::Error) -> Code {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Code::Unread,
        io::ErrorKind::NotFound => Code::NoInput,
        io::ErrorKind::PermissionDenied => Code::Forbidden,
        _ => Code::Io,
    }
}

/// What a person may try next, where the error itself does not say.
pub(super) fn hint(error: &(dyn Error + 'static)) -> Option<&'static str> {
    Chain::new(error).find_map(|cause| {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return of_failure(failure);
        }
        if let Some(error) = cause.downcast_ref::<app::Error>() {
            return of_daemon(error);
        }
        match cause.downcast_ref::<ClientError>()? {
            ClientError::Timeout { .. } => Some("taskdaemon status"),
            ClientError::Protocol(_) => Some("taskdaemon --version, and compare with taskdaemon status"),
            ClientError::Problem(problem) if problem.status == 404 && problem.id.is_some() => Some("taskdaemon list"),
            ClientError::NotListening { .. }
            | ClientError::StaleSocket { .. }
            | ClientError::PermissionDenied { .. }
            | ClientError::Broken { .. }
            | ClientError::Problem(_)
            | ClientError::Input { .. }
            | ClientError::Line { .. }
            | ClientError::Stopped { .. } => None,
        }
    })
}

fn of_daemon(error: &app::Error) -> Option<&'static str> {
    match error {
        app::Error::Directory(DirectoryError::Io { .. }) | app::Error::LogTarget(LogError::FileSystem { .. }) => {
            Some("taskdaemon config show, which says where each path comes from")
        }
        // The others say so themselves.
        _ => None,
    }
}

fn of_failure(failure: &Failure) -> Option<&'static str> {
    match failure {
        Failure::Directory(_) => Some("--directory PATH"),
        Failure::Deadline { .. } => Some("taskdaemon wait again, with a longer --deadline"),
        Failure::NotReady(_) => Some("taskdaemon start --foreground, to see why"),
        Failure::NoQueue(_) => Some("taskdaemon queue list"),
        Failure::UpgradeLost => Some("taskdaemon status, and taskdaemon start where no service manager does"),
        Failure::RunnerStays(_) => Some("taskdaemon upgrade, once that is mended"),
        Failure::Read { .. }
        | Failure::Write { .. }
        | Failure::Time { .. }
        | Failure::Usage(_)
        | Failure::Upgrade(_)
        | Failure::Unit { .. }
        | Failure::Removed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> ClientError {
        ClientError::Problem(Box::new(Problem::new(status, "x", "X", "x")))
    }

    #[test]
    fn what_the_daemon_told_is_told_in_full() {
        let causes = vec!["inner".to_owned(), "innermost".to_owned()];
        let problem = Problem { causes, ..Problem::new(500, "store", "X", "outer") };
        assert_eq!(message(&ClientError::Problem(Box::new(problem))), "outer: inner: innermost");
    }

    #[test]
    fn a_queue_that_drains_may_be_asked_again() {
        let problem = Problem::new(409, "queue-draining", "X", "x");
        assert_eq!(code(&ClientError::Problem(Box::new(problem))), Code::TryAgain);
    }

    #[test]
    fn each_refusal_has_its_exit_status() {
        let numbers = [400, 403, 404, 409, 422, 429, 500, 503, 507].map(|status| code(&refused(status)).number());
        assert_eq!(numbers, [65, 77, 66, 1, 65, 75, 1, 75, 75]);
    }

    #[test]
    fn a_daemon_that_is_away_is_told_from_one_that_is_closed_to_us() {
        let path = PathBuf::from("/s");
        assert_eq!(code(&ClientError::NotListening { path: path.clone() }), Code::Unavailable);
        assert_eq!(code(&ClientError::PermissionDenied { path, whose: String::new() }), Code::Forbidden);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_to_tell() {
        let error = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("print");
        assert_eq!(code(error.as_ref()), Code::Unread);
    }

    #[test]
    fn a_batch_that_stopped_has_the_status_of_its_reason() {
        let source = Box::new(ClientError::Problem(Box::new(Problem::new(507, "x", "X", "x"))));
        assert_eq!(code(&ClientError::Stopped { line: 3, accepted: 2, source }), Code::TryAgain);
    }
}
