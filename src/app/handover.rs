//! What a daemon and the program that follows it say to each other: a [`Trial`] before, the [`Estate`] then.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Error, Hold, Options, VERSION};
use crate::config::{self, Environment, Mode, Settings};
use crate::daemon::sandbox::Report;
use crate::daemon::upgrade::{FORM, OLDEST_FORM, UpgradeError, inherited};
use crate::store;
use crate::sys::fd::OpenFiles;
use crate::sys::inherit::Inheritable;
use crate::task::{Bytes, Timestamp};

/// The names of the sockets that are handed over: that of the clients, and the loopback port.
const CONTROL: &str = "control";
const LOOPBACK: &str = "loopback";

/// What the running daemon expects of the program that is to follow it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trial {
    /// The form of the handover.
    form: u16,
    /// The schema of the queue.
    schema: u32,
    system: bool,
    state_directory: Bytes,
    runtime_directory: Bytes,
    socket: Bytes,
}

impl Trial {
    pub(super) fn new(settings: &Settings, mode: Mode) -> Self {
        let bytes = |path: &Path| Bytes::from(path.as_os_str().to_owned());
        let paths = &settings.paths;
        Self {
            form: FORM,
            schema: store::newest_schema(),
            system: mode == Mode::System,
            state_directory: bytes(&paths.state_directory),
            runtime_directory: bytes(&paths.runtime_directory),
            socket: bytes(&paths.socket),
        }
    }

    /// Whether this program can follow the daemon that says so.
    ///
    /// # Errors
    /// What it does not understand, or could not do.
    pub(super) fn stand(text: &str, options: &Options) -> Result<(), Error> {
        let trial: Self = serde_json::from_str(text).map_err(Error::Expectation)?;
        if !(OLDEST_FORM..=FORM).contains(&trial.form) {
            return Err(Error::Handover { found: trial.form });
        }
        let environment = Environment::of_process(mode(trial.system));
        let settings = config::load(&environment, &options.flags)?;
        super::Roles::of(&settings, &environment, None)?;
        store::check_schema(&settings.paths.state_directory.join("queue.db"), trial.schema)?;
        let own = Self::new(&settings, environment.mode);
        let moved = [
            ("the state directory", trial.state_directory, own.state_directory),
            ("the runtime directory", trial.runtime_directory, own.runtime_directory),
            ("the socket", trial.socket, own.socket),
        ];
        match moved.into_iter().find(|(_, before, now)| before != now) {
            Some((what, from, to)) => Err(Error::Moved { what, from, to }),
            None => Ok(()),
        }
    }
}

fn mode(system: bool) -> Mode {
    if system { Mode::System } else { Mode::User }
}

/// What the next program finds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Estate {
    pub(super) version: String,
    /// How many upgrades there were, with the one that this is for.
    pub(super) number: u64,
    system: bool,
    started_at: i64,
    pub(super) open_files: OpenFiles,
    /// The runner's user.
    pub(super) runner: u32,
    /// The sandbox that the process is in, if it is.
    pub(super) sandbox: Option<Report>,
    pub(super) lock: Inheritable,
    pub(super) state_lock: Option<Inheritable>,
    sockets: BTreeMap<String, Inheritable>,
    /// Whether the service manager keeps the socket of the clients.
    #[serde(default)]
    pub(super) is_kept: bool,
}

impl Estate {
    /// What the program before this one left; none where the daemon starts afresh.
    pub(super) fn find() -> Result<Option<Self>, Error> {
        Ok(inherited()?)
    }

    /// What `hold` holds, for upgrade `number`.
    ///
    /// # Errors
    /// Where descriptors run out.
    pub(super) fn of(hold: &Hold, mode: Mode, number: u64) -> Result<Self, UpgradeError> {
        let loopback = hold.entrance.listeners.loopback.as_ref().map(|socket| (LOOPBACK, socket.as_fd()));
        let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(Inheritable::from).map_err(UpgradeError::Record);
        Ok(Self {
            version: VERSION.to_owned(),
            number,
            system: mode == Mode::System,
            started_at: hold.started_at.0,
            open_files: hold.open_files,
            runner: hold.runner,
            sandbox: hold.sandbox.clone(),
            lock: copy(hold.lock.as_fd())?,
            state_lock: hold.state_lock.as_ref().map(|lock| copy(lock.as_fd())).transpose()?,
            sockets: [Some((CONTROL, hold.entrance.listeners.control.as_fd())), loopback]
                .into_iter()
                .flatten()
                .map(|(name, fd)| Ok((name.to_owned(), copy(fd)?)))
                .collect::<Result<_, _>>()?,
            is_kept: hold.entrance.is_kept,
        })
    }

    /// All that has to stay open.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let locks = [Some(&self.lock), self.state_lock.as_ref()].into_iter().flatten();
        locks.chain(self.sockets.values()).map(AsFd::as_fd).collect()
    }

    /// Whose daemon it is: the user may have changed since it was told.
    pub(super) fn mode(&self) -> Mode {
        mode(self.system)
    }

    pub(super) fn started_at(&self) -> Timestamp {
        Timestamp(self.started_at)
    }

    /// The socket of the clients; once.
    pub(super) fn control(&mut self) -> Option<Inheritable> {
        self.sockets.remove(CONTROL)
    }

    /// The loopback port, if there was one; once.
    pub(super) fn loopback(&mut self) -> Option<Inheritable> {
        self.sockets.remove(LOOPBACK)
    }
}
