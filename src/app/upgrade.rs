//! The upgrade in place, from the wish to its end: [`Upgrades`] leads through it.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{error, info, warn};

use super::handover::{Estate, Trial};
use super::inbox::{Notice, Notifier};
use super::organs::thread;
use super::{Error, Hold, VERSION};
use crate::api::{self, UpgradeFailure, UpgradeTo};
use crate::config::{Mode, Settings};
use crate::daemon::log::in_full;
use crate::daemon::upgrade::{Candidate, UpgradeError};
use crate::executor::Replacer;
use crate::sys::fs::identity;
use crate::wire::api::{RunnerUpgradeDocument, UpgradeDocument, UpgradeState};

/// How long a trial may take: it loads the configuration, no more.
const TRIAL: Duration = Duration::from_secs(10);

/// What a program that stood its trial says, before its version.
pub(crate) const WORD: &str = "taskdaemon can take over: version ";

/// The exit status of a trial for which the configuration is at fault: EX_CONFIG, sysexits(3).
const CONFIGURATION: i32 = 78;

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
    let name = |path: &Path| path.metadata().map(|found| identity(&found)).ok();
    name(one).is_some_and(|one| Some(one) == name(other))
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
    /// Whether it is in a sandbox, which leaves it the programs beside its own.
    is_confined: bool,
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
    pub(super) fn new(
        program: Program,
        mode: Mode,
        hold: &Hold,
        notifier: Notifier,
        document: UpgradeDocument,
    ) -> Self {
        let is_confined = hold.sandbox.as_ref().is_some_and(|report| !report.in_force.is_empty());
        Self { program, mode, is_confined, notifier, document: Arc::new(Mutex::new(document)), waiting: None }
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
            if document.state != UpgradeState::ReplacingRunner {
                // The next upgrade has begun meanwhile.
                return;
            }
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
            self.failed(UpgradeFailure::Busy(in_full(&error)));
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
        let mut reason = in_full(error);
        if let Some(directory) = self.within_reach_instead(error) {
            let place = directory.display();
            reason.push_str(&format!("; from inside its sandbox the daemon reaches programs in {place} alone: "));
            reason.push_str("put it there, or stop the daemon and start that program");
        }
        let faulty = matches!(error, UpgradeError::Trial { status, .. } if status.code() == Some(CONFIGURATION));
        self.failed(if faulty { UpgradeFailure::Configuration(reason) } else { UpgradeFailure::Unfit(reason) });
    }

    /// Where a new program has to be, where it failed for being elsewhere.
    fn within_reach_instead(&self, error: &UpgradeError) -> Option<&Path> {
        let (UpgradeError::Open { path, source } | UpgradeError::Run { path, source }) = error else { return None };
        let refused = self.is_confined && source.kind() == io::ErrorKind::PermissionDenied;
        let reach = self.program.path.parent().filter(|reach| path.parent() != Some(reach));
        reach.filter(|_| refused)
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
