//! Becoming a daemon: a process without a terminal, whose starter returns once it is ready.

use std::collections::VecDeque;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::libc::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

use super::readiness::{self, Heard, Readiness, Waiting};
use super::wait::{any_readable, readable};
use crate::sys::detach::{self, Side};
use crate::sys::process::{self, Exit};
use crate::sys::signal::{Blocked, Signals};
use crate::sys::{fd, pidfd};

/// How many of the last lines of the log are kept for the case of a failure.
const LINES: usize = 20;
/// How long a daemon whose start is given up may take to end before it is killed, and then to be gone.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// How a process goes into the background.
#[derive(Debug)]
pub struct Background<'fd> {
    /// What new files are not permitted; umask(2).
    pub umask: u32,
    /// Where it works from then on; `/` keeps no file system busy.
    pub directory: PathBuf,
    /// What standard output and standard error become. Standard input is /dev/null.
    pub output: Output,
    /// The descriptors that stay open.
    pub keep: Vec<BorrowedFd<'fd>>,
    /// How long the daemon may take until it is ready.
    pub patience: Duration,
    /// From when on that counts.
    pub since: Instant,
}

/// What standard output and standard error of a daemon become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// /dev/null.
    Null,
    /// What they were: for a daemon whose service manager reads them.
    Kept,
}

/// In which process [`Background::detach`] has returned.
#[derive(Debug)]
pub enum Detached {
    /// In the one that was started first: the daemon is ready.
    Started {
        /// The daemon's process.
        pid: i32,
    },
    /// In the daemon, which is to tell once it is ready.
    Daemon(Readiness),
}

/// Why there is no daemon now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It was started and did not become ready.
    #[error("{reason}")]
    StartFailed {
        /// What happened.
        reason: Reason,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// The first process of a container.
    #[error("process 1 cannot go into the background: all others end with it; stay in the foreground")]
    FirstProcess,
    /// The system refused.
    #[error("{verb}")]
    System {
        /// What was tried.
        verb: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// What kept a daemon from becoming ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It said so.
    Told {
        /// With which status it wants its starter to end.
        code: u8,
        /// In which words.
        words: String,
    },
    /// It ended without a word.
    Died {
        /// Its process.
        pid: i32,
        /// How, where that can be told.
        exit: Option<Exit>,
    },
    /// It took too long, and was ended.
    TimedOut {
        /// Its process.
        pid: i32,
        /// How long it was waited for.
        after: Duration,
    },
    /// The one who waited was told to end, and so was it.
    Interrupted {
        /// Its process.
        pid: i32,
        /// By which signal.
        signal: i32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told { words, .. } => out.write_str(words),
            Self::Died { pid, exit } => {
                write!(out, "the daemon (process {pid}) ended before it was ready")?;
                match exit {
                    Some(Exit::Code(code)) => write!(out, ", with exit status {code}"),
                    Some(Exit::Signal { number, core_dumped }) => {
                        let core = if *core_dumped { "; it left a core file" } else { "" };
                        write!(out, ", by {}{core}", name(*number))
                    }
                    None => Ok(()),
                }
            }
            Self::TimedOut { pid, after } => {
                let seconds = after.as_secs_f32();
                write!(out, "the daemon (process {pid}) was not ready within {seconds} s and was ended")
            }
            Self::Interrupted { pid, signal } => {
                write!(out, "{} came before the daemon (process {pid}) was ready; it was ended", name(*signal))
            }
        }
    }
}

fn name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |known| known.as_str().to_owned())
}

impl Background<'_> {
    /// Forks twice: daemon(7). The daemon has a session without a terminal, and its starter waits for its word.
    ///
    /// To be called while there is a single thread. The starter sleeps until the daemon has told that it is ready,
    /// and what it returns is true: a daemon that fails, ends or takes too long is an error, and is gone by then.
    ///
    /// # Errors
    /// [`StartError`], in the starter alone.
    pub fn detach(self, blocked: &Blocked) -> Result<Detached, StartError> {
        if nix::unistd::getpid().as_raw() == 1 {
            return Err(StartError::FirstProcess);
        }
        // The daemon becomes a child of this process when the one between them ends, so that its end can be told.
        process::adopt_orphans().map_err(system("become the parent of the daemon"))?;
        let signals = Signals::new(blocked, &[SIGTERM, SIGINT, SIGHUP, SIGQUIT]).map_err(system("take signals"))?;
        let (ready, waiting) = readiness::pair().map_err(system("make the readiness pipe"))?;
        match detach::fork(blocked).map_err(system("fork"))? {
            Side::Parent { child } => {
                drop(ready);
                Starter { waiting, signals, between: child, pid: child, log: VecDeque::new() }
                    .wait(self.since, self.patience)
            }
            Side::Child => {
                drop((waiting, signals));
                if let Err(error) = self.settle(blocked, &ready) {
                    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
                    ready.failed(1, &format!("{error}{cause}"));
                    detach::end(1);
                }
                Ok(Detached::Daemon(ready))
            }
        }
    }

    /// The second fork, and all that makes a daemon of what it leaves.
    fn settle(self, blocked: &Blocked, ready: &Readiness) -> Result<(), StartError> {
        detach::new_session().map_err(system("leave the session"))?;
        // Whoever leads a session may get a terminal by opening one; its child cannot.
        if let Side::Parent { child } = detach::fork(blocked).map_err(system("fork again"))? {
            ready.forked(child);
            detach::end(0);
        }
        umask(Mode::from_bits_truncate(self.umask));
        std::env::set_current_dir(&self.directory).map_err(system("enter the working directory"))?;
        let null = fd::null().map_err(system("open /dev/null"))?;
        detach::replace_standard(&null, &[0]).map_err(system("replace standard input"))?;
        match &self.output {
            Output::Null => detach::replace_standard(&null, &[1, 2]),
            Output::Kept => Ok(()),
        }
        .map_err(system("replace standard output"))?;
        drop(null);
        ready
            .with_descriptor(|own| {
                let keep: Vec<BorrowedFd<'_>> = self.keep.iter().copied().chain(own).collect();
                detach::close_strays(&keep)
            })
            .map_err(system("close inherited descriptors"))
    }
}

fn system(verb: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::System { verb, source }
}

/// The process that waits.
struct Starter {
    waiting: Waiting,
    signals: Signals,
    /// The process that only forked.
    between: i32,
    /// The daemon; until it is known, the one that forks it.
    pid: i32,
    log: VecDeque<String>,
}

impl Starter {
    fn wait(mut self, since: Instant, patience: Duration) -> Result<Detached, StartError> {
        match self.failure(since, patience) {
            Ok(None) => Ok(Detached::Started { pid: self.pid }),
            Ok(Some(reason)) => Err(StartError::StartFailed { reason, log: self.log.into() }),
            Err(source) => Err(StartError::System { verb: "wait for the daemon", source }),
        }
    }

    /// What kept the daemon from becoming ready; `None` once it is.
    fn failure(&mut self, since: Instant, patience: Duration) -> io::Result<Option<Reason>> {
        let deadline = since + patience;
        loop {
            match self.waiting.hear()? {
                Some(Heard::Forked(pid)) => self.pid = pid,
                Some(Heard::Line(line)) => self.keep(line),
                Some(Heard::Ready) => return Ok(None),
                Some(Heard::Failed { code, words }) => {
                    self.end(None)?;
                    return Ok(Some(Reason::Told { code, words }));
                }
                Some(Heard::End) => return Ok(Some(Reason::Died { pid: self.pid, exit: self.end(None)? })),
                None => {
                    if let Some(signal) = self.signals.next()? {
                        self.end(Some(SIGTERM))?;
                        return Ok(Some(Reason::Interrupted { pid: self.pid, signal }));
                    }
                    if !any_readable(&[self.waiting.as_fd(), self.signals.as_fd()], deadline)? {
                        self.end(Some(SIGTERM))?;
                        return Ok(Some(Reason::TimedOut { pid: self.pid, after: patience }));
                    }
                }
            }
        }
    }

    fn keep(&mut self, line: String) {
        if self.log.len() == LINES {
            self.log.pop_front();
        }
        self.log.push_back(line);
    }

    /// Sees the daemon end, with a signal to begin with or without, and by SIGKILL where it does not.
    fn end(&self, signal: Option<i32>) -> io::Result<Option<Exit>> {
        // Only when the one between has ended is the daemon this process's child.
        end_child(self.between, None)?;
        end_child(self.pid, signal)
    }
}

/// Nobody else collects this child, so its number is its own until it is collected here.
fn end_child(pid: i32, signal: Option<i32>) -> io::Result<Option<Exit>> {
    let Ok(child) = pidfd::open(pid) else { return Ok(None) };
    if let Some(signal) = signal {
        pidfd::send_signal(&child, signal)?;
    }
    if !readable(&child, Instant::now() + END_PATIENCE)? {
        pidfd::send_signal(&child, SIGKILL)?;
        readable(&child, Instant::now() + END_PATIENCE)?;
    }
    detach::collect(pid)
}
