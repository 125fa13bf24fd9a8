//! Why there was no answer.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};

use crate::wire::api::Problem;

/// Why the daemon could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket: no daemon was started here.
    #[error("no daemon listens on {}; start it with 'taskdaemon start'", path.display())]
    NotListening {
        /// The socket.
        path: PathBuf,
    },
    /// There is a socket, and nobody behind it.
    #[error("the daemon behind {} is gone; start it again with 'taskdaemon start'", path.display())]
    StaleSocket {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is not for this user.
    #[error("no permission to use {}: {whose}", path.display())]
    PermissionDenied {
        /// The socket.
        path: PathBuf,
        /// For whom it is, and what to do.
        whose: String,
    },
    /// The daemon took too long.
    #[error("the daemon on {} did not answer in time", path.display())]
    Timeout {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke before the answer was whole.
    #[error("{action} {}", path.display())]
    Broken {
        /// What was being done.
        action: &'static str,
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The answer was not one that this version understands.
    #[error("the daemon's answer was not understood: {0}")]
    Protocol(String),
    /// The daemon refused.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// The tasks of a batch could not be read.
    #[error("read the tasks after line {line}")]
    Input {
        /// The last line that was read.
        line: u64,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A line of a batch is at fault; `accepted` tasks before it were accepted and stay so.
    #[error("line {line}: {detail} ({})", accepted_before(*accepted))]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        detail: String,
        /// Tasks accepted before.
        accepted: u64,
        /// The daemon's own words, where it was the daemon that refused.
        problem: Option<Box<Problem>>,
    },
    /// A batch stopped in the middle; `accepted` tasks were accepted and stay so.
    #[error("stopped before line {line}, after {accepted} tasks were accepted")]
    Stopped {
        /// The first line that was not accepted, from 1.
        line: u64,
        /// Tasks accepted before.
        accepted: u64,
        /// Why.
        #[source]
        source: Box<ClientError>,
    },
}

impl ClientError {
    pub(super) fn connect(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotListening { path },
            io::ErrorKind::ConnectionRefused => Self::StaleSocket { path },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { whose: whose(&path), path },
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Timeout { path },
            _ => Self::Broken { action: "connect to", path, source: error },
        }
    }

    pub(super) fn broken(action: &'static str, path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Timeout { path },
            _ => Self::Broken { action, path, source: error },
        }
    }

    /// Whether the daemon ended the connection before it took the request, which may be sent again on another.
    pub(super) fn was_not_taken(&self) -> bool {
        matches!(self, Self::Problem(problem) if problem.kind() == Problem::NOT_TAKEN)
    }

    /// Whether the daemon may be on its way back: asking again later makes sense.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        match self {
            Self::NotListening { .. } | Self::StaleSocket { .. } | Self::Broken { .. } => true,
            Self::Problem(problem) => problem.status == 503 || self.was_not_taken(),
            Self::PermissionDenied { .. }
            | Self::Timeout { .. }
            | Self::Protocol(_)
            | Self::Input { .. }
            | Self::Line { .. }
            | Self::Stopped { .. } => false,
        }
    }
}

fn accepted_before(count: u64) -> String {
    match count {
        0 => "nothing was accepted".to_owned(),
        1 => "1 task from the lines before it was accepted".to_owned(),
        more => format!("{more} tasks from the lines before it were accepted"),
    }
}

/// The members of its group may write to a socket with this bit: only then is it of use to belong to it.
const GROUP_WRITES: u32 = 0o020;

/// Whose socket it is: where it cannot be looked at, its owner is that of the directory in the way.
fn whose(path: &Path) -> String {
    if let Ok(socket) = path.metadata()
        && socket.mode() & GROUP_WRITES != 0
    {
        let group = Group::from_gid(socket.gid().into()).ok().flatten();
        let group = group.map_or_else(|| socket.gid().to_string(), |group| group.name);
        return format!("it is for group {group}; ask to be added to it");
    }
    let Some(found) = path.ancestors().find_map(|above| above.metadata().ok()) else {
        return "it is another user's".to_owned();
    };
    let owner = User::from_uid(found.uid().into()).ok().flatten();
    format!("it belongs to user {}", owner.map_or_else(|| found.uid().to_string(), |user| user.name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn whoever_may_not_use_a_socket_hears_whose_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(whose(&path).starts_with("it belongs to user "), "{}", whose(&path));
        assert_eq!(whose(&directory.path().join("gone")), whose(&path), "the directory tells as well");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
        assert!(whose(&path).contains("ask to be added"), "{}", whose(&path));
    }
}
