//! Who the daemon and the runner are, and how they become it.
//!
//! Started by root in system mode, the daemon becomes one user and the runner another: what a task can do to
//! the daemon's files and processes is what the kernel lets any stranger do. Whatever stands in the daemon's
//! directories is made by the daemon's user from the start, so that root follows no name there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::entrance::Passed;
use super::handover::Estate;
use super::runner::{KEEPER, RUNNER, RunnerOptions};
use super::{Error, Hold};
use crate::config::{Environment, Gains, Mode, RootTasks, RunnerStart, Settings};
use crate::daemon::directory::{self, Access};
use crate::daemon::keeper::Keepers;
use crate::daemon::privileges::{self, Account, Acting, Extent};
use crate::daemon::{LockError, publish_pid_file, socket, while_vacant};
use crate::executor::{Dialer, Launched, Launcher, listen_for_runner};
use crate::sys::user;

/// Who does what.
#[derive(Debug)]
pub(super) enum Roles {
    /// Whoever started the daemon is it.
    One {
        /// The daemon.
        uid: u32,
        /// The runner and its tasks: the same, unless a service manager starts it.
        runner: u32,
    },
    /// Root started it: the daemon is one user; the runner and the tasks are another.
    Two {
        /// The daemon.
        daemon: Account,
        /// The runner and its tasks.
        runner: Account,
    },
    /// All of that happened before this program took over from another one.
    Resumed {
        /// The daemon.
        uid: u32,
        /// The runner and its tasks.
        runner: u32,
    },
}

impl Roles {
    /// Who is who here. Tasks run as root only where the configuration says so in words.
    pub(super) fn of(settings: &Settings, environment: &Environment, left: Option<&Estate>) -> Result<Self, Error> {
        if let Some(left) = left {
            return Ok(Self::Resumed { uid: environment.uid, runner: left.runner });
        }
        let security = &settings.security;
        match (environment.uid, security.allow_root_tasks, environment.mode) {
            (0, RootTasks::Refused, Mode::System) => {
                let daemon = Account::find(&security.user, &security.group)?;
                let runner = Account::find(&security.runner_user, &security.runner_group)?;
                if daemon.uid == runner.uid {
                    return Err(Error::SameUser(security.user.clone()));
                }
                Ok(Self::Two { daemon, runner })
            }
            (0, RootTasks::Refused, Mode::User) => {
                // What stands in the last file that was read wins.
                let read = settings.files().last().map(Path::to_owned);
                let file = read.unwrap_or_else(|| environment.config_directory().join("config.yml"));
                Err(Error::RootTasks { words: RootTasks::Allowed.word(), file })
            }
            (0, RootTasks::Allowed, Mode::System | Mode::User) | (1.., RootTasks::Refused | RootTasks::Allowed, _) => {
                let runner = match (settings.runner.start, environment.mode) {
                    (RunnerStart::Service, Mode::System) => {
                        Account::find(&security.runner_user, &security.runner_group)?.uid
                    }
                    (RunnerStart::Service, Mode::User) | (RunnerStart::Daemon, _) => environment.uid,
                };
                Ok(Self::One { uid: environment.uid, runner })
            }
        }
    }

    /// The daemon's user.
    pub(super) fn uid(&self) -> u32 {
        match self {
            Self::One { uid, .. } | Self::Resumed { uid, .. } => *uid,
            Self::Two { daemon, .. } => daemon.uid,
        }
    }

    /// The runner's user.
    fn runner_uid(&self) -> u32 {
        match self {
            Self::One { runner, .. } | Self::Resumed { runner, .. } => *runner,
            Self::Two { runner, .. } => runner.uid,
        }
    }

    /// Whom the daemon is to become.
    pub(super) fn account(&self) -> Option<&Account> {
        match self {
            Self::One { .. } | Self::Resumed { .. } => None,
            Self::Two { daemon, .. } => Some(daemon),
        }
    }

    /// Makes a directory of the daemon's, or takes the one that is there.
    pub(super) fn prepare(&self, path: &Path, access: Access) -> Result<(), Error> {
        match self {
            Self::One { .. } | Self::Resumed { .. } => directory::prepare(path, access)?,
            Self::Two { daemon, .. } => directory::prepare_for(path, access, daemon.uid, daemon.gid)?,
        }
        Ok(())
    }

    /// Takes what the daemon holds, as the daemon's user, and starts the runner, as root where that is needed.
    pub(super) fn begin(
        &self,
        settings: &Settings,
        group: Option<u32>,
        passed: Passed,
        program: &Path,
    ) -> Result<(Hold, Option<Launched>), Error> {
        let acting = self.account().map(|daemon| privileges::act_as(daemon, group)).transpose()?;
        let mut hold = Hold::acquire(settings, group, passed, self.runner_uid())?;
        let listener = match settings.runner.start {
            RunnerStart::Service => None,
            RunnerStart::Daemon => listen_for_runner(&runner_socket(&settings.paths.runtime_directory))?,
        };
        acting.map_or(Ok(()), Acting::end)?;
        let Some(listener) = listener else { return Ok((hold, None)) };
        hold.traces.note(runner_socket(&settings.paths.runtime_directory));
        let launcher = Launcher {
            program: program.to_owned(),
            arguments: self.runner_arguments(settings.security.task_privileges),
            open_files: Some(hold.open_files),
        };
        let launched = launcher.launch(&listener)?;
        if self.account().is_some() {
            // Until it executes it has root's rights and this process's memory, which must not be another user's by then.
            launched.settle()?;
            return Ok((hold, None));
        }
        Ok((hold, Some(launched)))
    }

    /// The runner and its keeper, which starts anew what fails: the daemon gives up what that takes.
    fn runner_arguments(&self, gains: Gains) -> Vec<OsString> {
        let (account, daemon) = match self {
            Self::One { .. } | Self::Resumed { .. } => (None, None),
            Self::Two { daemon, runner } => (Some(runner.clone()), Some(daemon.uid)),
        };
        let no_new_privileges = self.tasks_gain_nothing(gains);
        let options = RunnerOptions { keep: true, account, daemon, no_new_privileges, ..RunnerOptions::default() };
        [RUNNER.into()].into_iter().chain(options.arguments()).collect()
    }

    fn tasks_gain_nothing(&self, gains: Gains) -> bool {
        match gains {
            Gains::None => true,
            Gains::Setuid => false,
            Gains::Auto => self.account().is_some(),
        }
    }

    /// Whether the runner keeps its tasks from each other. What a service manager starts is told by its own arguments.
    pub(super) fn tasks_are_apart(&self, settings: &Settings) -> bool {
        match settings.runner.start {
            RunnerStart::Service => false,
            RunnerStart::Daemon => self.tasks_gain_nothing(settings.security.task_privileges),
        }
    }

    /// Becomes the daemon's user for good. Before that root leaves a PID file where nobody else can write.
    pub(super) fn descend(&self, settings: &Settings) -> Result<(), Error> {
        match self {
            Self::Two { daemon, .. } => {
                publish_pid_file(&settings.paths.runtime_directory).map_err(LockError::from)?;
                privileges::drop_to(daemon, Extent::ForGood)?;
            }
            Self::One { uid, runner } | Self::Resumed { uid, runner } if uid != runner => {
                user::hide_process().map_err(|source| Error::Prepare { step: "hide it from others", source })?;
            }
            Self::One { .. } | Self::Resumed { .. } => {}
        }
        Ok(())
    }
}

/// How the daemon `uid` finds the runner, and as whom it accepts it.
pub(super) fn dialer(settings: &Settings, uid: u32, runner: u32) -> Dialer {
    // Until the runner has taken the socket over, its other end is whoever opened it: this user, or a service manager
    // as root.
    Dialer { socket: runner_socket(&settings.paths.runtime_directory), users: vec![runner, uid, 0] }
}

/// Has the runner that the daemon started not be started again once it ends.
pub(super) fn end_runner(settings: &Settings) {
    match settings.runner.start {
        RunnerStart::Daemon => socket::remove(&runner_socket(&settings.paths.runtime_directory)),
        RunnerStart::Service => {}
    }
}

/// Waits for the end of the runner, and of its keeper, that a daemon which is gone has started. Where that had no end in
/// good order, it ends them, with its tasks: their stop signal, their grace, and the next daemon finds them interrupted.
/// Whether it had to. What a service manager started, or another daemon by now, is left alone.
///
/// # Errors
/// [`Error::LeftBehind`] where they have not ended after `patience`, [`Error::Lock`] where nobody can tell whether there
/// is another daemon.
pub fn end_runner_left_behind(runtime_directory: &Path, patience: Duration) -> Result<bool, Error> {
    let socket = runner_socket(runtime_directory);
    let keepers = Keepers::find(&socket, KEEPER).map_err(Error::LeftBehind)?;
    if keepers.is_empty() {
        return Ok(false);
    }
    let removed = match while_vacant(runtime_directory, || std::fs::remove_file(&socket))? {
        None => return Ok(false),
        Some(Ok(())) => true,
        // The daemon has told them to end.
        Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => false,
        Some(Err(error)) => return Err(Error::LeftBehind(error)),
    };
    keepers.await_end(patience).map_err(Error::LeftBehind)?;
    Ok(removed)
}

/// Where the runner listens.
fn runner_socket(runtime_directory: &Path) -> PathBuf {
    runtime_directory.join("runner.sock")
}
