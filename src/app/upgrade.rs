//! The upgrade in place: how a new program is tried out, and what of ours it is left.
//!
//! [`Upgrades`] leads through it, a [`Trial`] is what the new program has to stand, the [`Estate`] is what it finds.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::error::chain;
use super::inbox::{Notice, Notifier};
use super::organs::thread;
use super::{Error, Hold, Options, VERSION};
use crate::api::{self, UpgradeFailure, UpgradeTo};
use crate::config::{self, Environment, Mode, Settings};
use crate::daemon::sandbox::Report;
use crate::daemon::upgrade::{Candidate, FORM, OLDEST_FORM, UpgradeError, inherited};
use crate::executor::Replacer;
use crate::store;
use crate::sys::fd::OpenFiles;
use crate::sys::inherit::Inheritable;
use crate::task::{Bytes, Timestamp};
use crate::wire::api::{RunnerUpgradeDocument, UpgradeDocument, UpgradeState};

/// How long a trial may take: it loads the configuration, no more.
const TRIAL: Duration = Duration::from_secs(10);

/// What a program that stood its trial says, before its version.
pub(crate) const WORD: &str = "taskdaemon can take over: version ";

/// The exit status of a trial for which the configuration is at fault: EX_CONFIG, sysexits(3).
const CONFIGURATION: i32 = 78;

/// The names of the sockets that are handed over: that of the clients, and the loopback port.
const CONTROL: &str = "control";
const LOOPBACK: &str = "loopback";

/// The program that this process runs, and how it was called.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// Where it was when it started: a package puts the next one there.
    pub(super) path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// To be called at the start: later the file may be another.
    pub(super) fn of_process(arguments: Vec<OsString>) -> Result<Self, Error> {
        let running = std::env::current_exe().map_err(Error::Program)?;
        // A link may lead to the next version one day, where the file itself does not.
        let called = std::env::args_os().next().filter(|name| name.as_bytes().contains(&b'/'));
        let called = called.and_then(|name| std::path::absolute(name).ok());
        let path = called.filter(|path| is_same(path, &running)).unwrap_or(running);
        let line = [path.clone().into_os_string()].into_iter().chain(arguments).collect();
        Ok(Self { path, arguments: line })
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let name = |path: &Path| path.metadata().map(|found| (found.dev(), found.ino())).ok();
    name(one).is_some_and(|one| Some(one) == name(other))
}

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
    fn new(settings: &Settings, mode: Mode) -> Self {
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
    version: String,
    /// How many upgrades there were, with the one that this is for.
    number: u64,
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

    fn of(hold: &Hold, mode: Mode, number: u64) -> Result<Self, UpgradeError> {
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

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
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

/// How this program came to be the daemon.
pub(super) fn told(left: Option<&Estate>) -> UpgradeDocument {
    left.map_or_else(UpgradeDocument::default, |left| {
        info!(from = left.version, to = VERSION, "upgraded");
        let (from, to) = (left.version.clone(), Some(VERSION.to_owned()));
        let state = UpgradeState::ReplacingRunner;
        UpgradeDocument { number: left.number, state, from, to, reason: None, runner: None }
    })
}

/// The upgrades of this process.
pub(super) struct Upgrades {
    pub(super) program: Program,
    mode: Mode,
    notifier: Notifier,
    document: Arc<Mutex<UpgradeDocument>>,
    /// Who waits for the end of a trial.
    waiting: Option<UpgradeTo>,
}

/// A new program that was tried out.
pub(super) struct Tried {
    result: Result<(Candidate, String), UpgradeError>,
}

impl Upgrades {
    pub(super) fn new(program: Program, mode: Mode, notifier: Notifier, document: UpgradeDocument) -> Self {
        Self { program, mode, notifier, document: Arc::new(Mutex::new(document)), waiting: None }
    }

    /// Has the runner follow, where this program has just taken over.
    pub(super) fn replace_runner(&self, runner: &Replacer) {
        if self.document().state != UpgradeState::ReplacingRunner {
            return;
        }
        let document = Arc::clone(&self.document);
        let then = Box::new(move |result: Result<String, String>| {
            match &result {
                Ok(version) => info!(version, "the runner is upgraded too"),
                Err(reason) => warn!(reason, "the runner stays what it was"),
            }
            let mut document = document.lock().unwrap_or_else(PoisonError::into_inner);
            document.state = UpgradeState::Done;
            document.runner = Some(RunnerUpgradeDocument { version: result.clone().ok(), reason: result.err() });
        });
        // This very file: by its path there may be another one by now.
        match File::open("/proc/self/exe") {
            Ok(program) => runner.replace(program.into(), then),
            Err(error) => then(Err(format!("open this program's own file: {error}"))),
        }
    }

    /// The way of clients to it.
    pub(super) fn service(&self) -> api::Upgrade {
        let (notifier, document) = (self.notifier.clone(), Arc::clone(&self.document));
        api::Upgrade {
            begin: Arc::new(move |binary, reply| notifier.notify(Notice::Upgrade(binary, reply))),
            look: Arc::new(move || document.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }

    fn document(&self) -> MutexGuard<'_, UpgradeDocument> {
        self.document.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to try out the program at `binary`, or where this one was; the end comes as [`Notice::Tried`].
    pub(super) fn begin(&mut self, binary: Option<PathBuf>, settings: &Settings, reply: UpgradeTo) {
        if self.waiting.is_some() {
            return reply(Err(UpgradeFailure::Busy("another upgrade is under way; wait for its end".into())));
        }
        let path = binary.unwrap_or_else(|| self.program.path.clone());
        let expected = serde_json::to_string(&Trial::new(settings, self.mode)).unwrap_or_default();
        info!(program = %path.display(), "an upgrade begins: the new program is tried out");
        let number = self.document().number + 1;
        let from = VERSION.to_owned();
        *self.document() = UpgradeDocument { number, state: UpgradeState::Trying, from, ..UpgradeDocument::default() };
        self.waiting = Some(reply);
        let mut arguments: Vec<OsString> = self.program.arguments.iter().skip(1).cloned().collect();
        arguments.extend(["--trial".into(), expected.into()]);
        let notifier = self.notifier.clone();
        let try_out = move || {
            let candidate = Candidate::at(&path);
            let result = candidate
                .and_then(|candidate| candidate.try_out(&arguments, WORD, TRIAL).map(|version| (candidate, version)));
            notifier.notify(Notice::Tried(Box::new(Tried { result })));
        };
        if let Err(error) = thread("trial", try_out) {
            self.failed(UpgradeFailure::Busy(chain(&error)));
        }
    }

    /// Takes up how a trial ended; a program that stood it is to take over.
    pub(super) fn tried(&mut self, tried: Tried) -> Option<Candidate> {
        match tried.result {
            Ok((candidate, version)) => {
                let mut document = self.document();
                document.state = UpgradeState::Replacing;
                document.to = Some(version);
                let told = document.clone();
                drop(document);
                if let Some(reply) = self.waiting.take() {
                    reply(Ok(told));
                }
                Some(candidate)
            }
            Err(error) => {
                self.fail(&error);
                None
            }
        }
    }

    /// Has the new program take over all that `hold` holds. Returns only where that failed.
    #[must_use]
    pub(super) fn take_over(&self, candidate: &Candidate, hold: &Hold) -> UpgradeError {
        let number = self.document().number;
        match Estate::of(hold, self.mode, number) {
            Ok(estate) => candidate.take_over(&self.program.arguments, &estate, &estate.descriptors()),
            Err(error) => error,
        }
    }

    /// Takes up that this program stays in charge.
    pub(super) fn fail(&mut self, error: &UpgradeError) {
        let reason = chain(error);
        let faulty = matches!(error, UpgradeError::Trial { status, .. } if status.code() == Some(CONFIGURATION));
        self.failed(if faulty { UpgradeFailure::Configuration(reason) } else { UpgradeFailure::Unfit(reason) });
    }

    /// Gives an upgrade up whose trial is under way, for the daemon has something else to do.
    pub(super) fn give_up(&mut self, why: &str) {
        if self.waiting.is_some() {
            self.failed(UpgradeFailure::Busy(why.to_owned()));
        }
    }

    fn failed(&mut self, failure: UpgradeFailure) {
        let (UpgradeFailure::Busy(reason) | UpgradeFailure::Configuration(reason) | UpgradeFailure::Unfit(reason)) =
            &failure;
        error!(reason, "the upgrade failed; this program stays in charge");
        let mut document = self.document();
        document.state = UpgradeState::Failed;
        document.reason = Some(reason.clone());
        drop(document);
        if let Some(reply) = self.waiting.take() {
            reply(Err(failure));
        }
    }
}

/// The end of an upgrade that a signal asked for; the log has told it already.
pub(super) fn nobody() -> UpgradeTo {
    Box::new(drop)
}
