//! The way to the runner: its start, where nobody answers yet, and its socket.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::iter;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, umask};

use super::link::Connect;
use crate::daemon::service;
use crate::sys::fd::{self, OpenFiles};
use crate::sys::process::{Exit, Limit, Started, Starter};
use crate::sys::program::{Program, environment_without};
use crate::sys::{signal, socket};
use crate::wire::runner::mark;

/// How long a runner that lives may take to hang up.
const HANG_UP: Duration = Duration::from_secs(2);

/// Starts the runner, before the daemon gives up what that takes.
///
/// It leaves this process by itself, into a session of its own, a child of init, so that it outlives this one, with the
/// listening socket as its standard input: whoever connects at once waits in the socket's queue, and
/// nobody has to wait for it to be there.
///
/// Two launchers for one socket must be kept apart by their daemons' lock.
#[derive(Debug)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// The runner's limits on open files, which become its tasks'; `None` leaves it this process's own.
    pub open_files: Option<OpenFiles>,
}

/// Why the runner was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Its socket.
    #[error("listen at {}", path.display())]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The runner itself.
    #[error("start the runner {}", program.display())]
    Launch {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Listens where the runner is to be found; `None` where one answers there, of a daemon before this one.
///
/// Only this user can connect there. To be called before there are threads, which would see another umask meanwhile.
///
/// # Errors
/// [`LaunchError::Listen`].
pub fn listen_for_runner(path: &Path) -> Result<Option<OwnedFd>, LaunchError> {
    let failed = |source| LaunchError::Listen { path: path.to_owned(), source };
    match connect_to_the_living(path) {
        Ok(_) => return Ok(None),
        Err(error) if nobody_answers(&error) => {}
        Err(error) => return Err(failed(error)),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = socket::listen(path);
    umask(before);
    listener.map(Some).map_err(failed)
}

/// A runner that is on its way out of this process. What it is worth is told by [`Launched::settle`].
#[derive(Debug)]
#[must_use]
pub struct Launched {
    starter: Starter,
    child: Started,
    program: PathBuf,
}

impl Launcher {
    /// Starts it, to accept from `listener`. Blocks every signal in the calling thread, as a daemon has them anyway.
    ///
    /// # Errors
    /// [`LaunchError::Launch`] where there is no process.
    pub fn launch(&self, listener: &OwnedFd) -> Result<Launched, LaunchError> {
        let begin = || -> io::Result<_> {
            let (null, limit) = (fd::null()?, self.open_files.map(Limit::of_open_files));
            // This process may be a task's child, and is the one that a service manager speaks to; the runner is neither.
            let about_this = [mark::NAMES.as_slice(), &service::VARIABLES].concat();
            let words = iter::once(self.program.as_os_str()).chain(self.arguments.iter().map(OsString::as_os_str));
            let program = Program {
                arguments: &words.map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>(),
                environment: &environment_without(&about_this),
                directory: b"/",
                umask: 0o077,
                nice: 0,
                limits: limit.as_slice(),
                input: listener.as_fd(),
                output: null.as_fd(),
                domain: None,
                door: None,
            };
            let mut starter = Starter::new(signal::block_all()?)?;
            let child = starter.start(&program)?;
            Ok((starter, child))
        };
        let (starter, child) = begin().map_err(|source| failed(&self.program, source))?;
        Ok(Launched { starter, child, program: self.program.clone() })
    }
}

impl Launched {
    /// Waits until it is on its own.
    ///
    /// # Errors
    /// [`LaunchError::Launch`] where the program cannot be executed, or ended instead.
    pub fn settle(mut self) -> Result<(), LaunchError> {
        let ended = self.starter.await_end(self.child).map_err(|source| failed(&self.program, source))?;
        let source = match (ended.failure, ended.exit) {
            (None, Exit::Code(0)) => return Ok(()),
            (Some(failure), _) => failure.error.into(),
            (None, Exit::Code(code)) => io::Error::other(format!("it ended with status {code}")),
            (None, Exit::Signal { number, .. }) => io::Error::other(format!("it was ended by signal {number}")),
        };
        Err(failed(&self.program, source))
    }
}

fn failed(program: &Path, source: io::Error) -> LaunchError {
    LaunchError::Launch { program: program.to_owned(), source }
}

/// Connects to the runner at its socket, and to nobody else.
#[derive(Debug, Clone)]
pub struct Dialer {
    /// The socket, in a directory that only this user changes.
    pub socket: PathBuf,
    /// Who may be at its other end: the runner's user, and whoever opened the socket for it.
    pub users: Vec<u32>,
}

/// Why no runner was reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers.
    #[error(
        "connect to the runner at {}; whoever starts it should (a service manager its service, else restart the daemon)",
        path.display()
    )]
    Connect {
        /// Its socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else answers.
    #[error("refuse the runner at {}: it is a process of user {user}; end that one", path.display())]
    Stranger {
        /// Its socket.
        path: PathBuf,
        /// Whose process it is.
        user: u32,
    },
}

impl Connect for Dialer {
    fn connect(&mut self) -> Result<OwnedFd, ConnectError> {
        let failed = |source| ConnectError::Connect { path: self.socket.clone(), source };
        let link = socket::connect(&self.socket).map_err(failed)?;
        let user = socket::peer(&link).map_err(failed)?.uid;
        if self.users.contains(&user) {
            return Ok(link);
        }
        Err(ConnectError::Stranger { path: self.socket.clone(), user })
    }
}

/// Connects where a process takes connections. One that is dying still has its socket: it is given up by the kernel,
/// while one that lives takes what waits there, finds nothing said, and hangs up. Then a second connection tells.
fn connect_to_the_living(path: &Path) -> io::Result<OwnedFd> {
    let first = socket::connect(path)?;
    socket::end_writing(&first);
    // One that takes longer has much to do, which the dead have not.
    let timeout = PollTimeout::try_from(HANG_UP).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(first.as_fd(), PollFlags::POLLIN)];
    while poll(&mut fds, timeout) == Err(Errno::EINTR) {}
    socket::connect(path)
}

fn nobody_answers(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}
