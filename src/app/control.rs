//! The main loop: signals, reloads and ends, one at a time.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::logging::level;
use super::organs::{Given, Organs, thread};
use super::upgrade::{self, Tried, Upgrades};
use super::{Error, Hold};
use crate::api::{ReloadFailure, ReloadTo, UpgradeFailure, UpgradeTo};
use crate::config::{self, Environment, Flags, Settings};
use crate::daemon::signals::{Signal, Source};
use crate::daemon::upgrade::Candidate;
use crate::daemon::{Phase, log};
use crate::engine::{Refusal, Reply, RunnerState};
use crate::sys::signal::Blocked;
use crate::task::Size;
use crate::wire::api::ReloadDocument;

/// poll(2) takes no more than 24 days.
const A_DAY: Duration = Duration::from_secs(86_400);

/// What the main loop hears.
pub(super) enum Notice {
    Signal(Signal),
    Reload(ReloadTo),
    Upgrade(Option<PathBuf>, UpgradeTo),
    Tried(Box<Tried>),
    Drained,
    EngineEnded,
}

/// Where it hears it.
pub(super) struct Inbox {
    notices: Receiver<Notice>,
    notifier: Notifier,
}

/// A way to be heard.
#[derive(Clone)]
pub(super) struct Notifier {
    notices: Sender<Notice>,
    /// Closed for writing while nobody hears: then signals wait in the kernel, and all else is refused.
    gate: Arc<RwLock<()>>,
}

impl Notifier {
    pub(super) fn notify(&self, notice: Notice) {
        if let Err(TryLockError::WouldBlock) = self.gate.try_read() {
            // With the notice goes its reply, and whoever waits for that is told.
            return;
        }
        // Nobody listens any more only when the process is about to end.
        let _ = self.notices.send(notice);
    }

    /// Passes the next signal on, if there is one.
    fn pass_on(&self, source: &Source) -> io::Result<()> {
        let _open = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(signal) = source.next()? {
            let _ = self.notices.send(Notice::Signal(signal));
        }
        Ok(())
    }
}

impl Inbox {
    /// Listens, to signals from now on.
    pub(super) fn new(blocked: &Blocked) -> Result<Self, Error> {
        let (sender, notices) = channel();
        let notifier = Notifier { notices: sender, gate: Arc::default() };
        let source = Source::new(blocked).map_err(Error::Signals)?;
        let heard = notifier.clone();
        thread("signals", move || listen(&source, &heard))?;
        Ok(Self { notices, notifier })
    }

    pub(super) fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// Hears nothing as long as the guard lives. Signals that came before are put back into the kernel's hands, where
    /// they outlast execve(2); whatever else came is refused.
    fn close(&self) -> RwLockWriteGuard<'_, ()> {
        let closed = self.notifier.gate.write().unwrap_or_else(PoisonError::into_inner);
        for notice in self.notices.try_iter() {
            match notice {
                Notice::Signal(Signal::Upgrade) => {}
                Notice::Signal(signal) => signal.put_back(),
                Notice::Reload(_) | Notice::Upgrade(..) | Notice::Tried(_) | Notice::Drained | Notice::EngineEnded => {}
            }
        }
        closed
    }

    /// The next notice; `None` where none came before the deadline.
    fn next(&self, deadline: Option<Instant>) -> Option<Notice> {
        match deadline {
            None => self.notices.recv().ok(),
            Some(deadline) => self.notices.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok(),
        }
    }
}

fn listen(source: &Source, notifier: &Notifier) {
    loop {
        if let Err(error) = source.ready(A_DAY).and_then(|_| notifier.pass_on(source)) {
            error!(%error, "signals cannot be heard any more");
            return;
        }
    }
}

/// What a reload reads again.
pub(super) struct Reloader {
    pub(super) environment: Environment,
    pub(super) flags: Flags,
    pub(super) log: log::Handle,
}

/// The daemon from the moment that it is ready.
pub(super) struct Life {
    pub(super) inbox: Inbox,
    pub(super) reloader: Reloader,
    pub(super) settings: Settings,
    pub(super) upgrades: Upgrades,
    pub(super) hold: Hold,
}

/// What ends the main loop.
enum Turn {
    End(Result<(), Error>),
    Upgrade(Candidate),
}

impl Life {
    /// Runs until the daemon is to end, and ends it.
    pub(super) fn live(&mut self, mut organs: Organs, given: Given) -> Result<(), Error> {
        loop {
            match self.run(&organs) {
                Turn::End(end) => {
                    organs.join();
                    return end;
                }
                Turn::Upgrade(candidate) => {
                    let closed = self.inbox.close();
                    organs.join();
                    let error = self.upgrades.take_over(&candidate, &self.hold);
                    drop(closed);
                    organs = Organs::start(&self.settings, given, &self.hold, &self.inbox, &self.upgrades)?;
                    self.upgrades.fail(&error);
                }
            }
        }
    }

    fn run(&mut self, organs: &Organs) -> Turn {
        loop {
            match self.inbox.next(None) {
                Some(Notice::Signal(signal @ (Signal::Terminate | Signal::Interrupt))) => {
                    info!(?signal, "draining");
                    return Turn::End(self.stop(organs));
                }
                Some(Notice::Signal(Signal::Reload)) => self.reload(organs, Box::new(log_reload)),
                Some(Notice::Reload(reply)) => self.reload(organs, reply),
                Some(Notice::Signal(Signal::Dump)) => organs.look(Box::new(log_status)),
                Some(Notice::Signal(Signal::Upgrade)) => self.upgrades.begin(None, &self.settings, upgrade::nobody()),
                Some(Notice::Upgrade(binary, reply)) => self.upgrades.begin(binary, &self.settings, reply),
                Some(Notice::Tried(tried)) => {
                    if let Some(candidate) = self.upgrades.tried(*tried) {
                        return Turn::Upgrade(candidate);
                    }
                }
                Some(Notice::Drained) => {}
                Some(Notice::EngineEnded) | None => return Turn::End(Err(Error::Ended("engine"))),
            }
        }
    }

    fn reload(&mut self, organs: &Organs, reply: ReloadTo) {
        self.reloader.reload(organs, &mut self.settings, reply);
    }

    fn stop(&mut self, organs: &Organs) -> Result<(), Error> {
        self.hold.lock.set_phase(Phase::Stopping)?;
        self.upgrades.give_up("the daemon is stopping");
        drain(&self.inbox, organs, &self.settings)
    }
}

/// Lets what runs end, within the time that stopping may take; a second signal ends it now.
fn drain(inbox: &Inbox, organs: &Organs, settings: &Settings) -> Result<(), Error> {
    let notifier = inbox.notifier();
    organs.drain(settings.host.stop_grace, Box::new(move |_| notifier.notify(Notice::Drained)));
    let deadline = Instant::now() + settings.host.shutdown_timeout;
    loop {
        match inbox.next(Some(deadline)) {
            Some(Notice::Drained) => return Ok(()),
            Some(Notice::Signal(Signal::Terminate | Signal::Interrupt)) => {
                warn!("stopping now: what still runs is taken up at the next start");
                return Err(Error::Unfinished);
            }
            Some(Notice::Reload(reply)) => reply(Err(ReloadFailure { faults: vec!["the daemon is stopping".into()] })),
            Some(Notice::Upgrade(_, reply)) => reply(Err(UpgradeFailure::Busy("the daemon is stopping".into()))),
            Some(Notice::Tried(_) | Notice::Signal(Signal::Reload | Signal::Dump | Signal::Upgrade)) => {}
            Some(Notice::EngineEnded) => return Err(Error::Ended("engine")),
            None => {
                error!(timeout = ?settings.host.shutdown_timeout, "not everything ended in time");
                return Err(Error::Unfinished);
            }
        }
    }
}

impl Reloader {
    /// Reads the configuration anew; only a faultless one comes into force.
    fn reload(&self, organs: &Organs, settings: &mut Settings, reply: ReloadTo) {
        if let Err(error) = self.log.reopen() {
            error!(
                error = &error as &dyn std::error::Error,
                "the log file cannot be opened again; the old one goes on"
            );
        }
        let new = match config::load(&self.environment, &self.flags) {
            Ok(new) => new,
            Err(error) => return reply(Err(ReloadFailure { faults: faults(&error) })),
        };
        let document = ReloadDocument {
            changed: changed(settings, &new),
            needs_restart: new.restart_needed(settings).iter().map(ToString::to_string).collect(),
            remarks: Vec::new(),
        };
        self.log.set_level(level(new.log.level));
        let then = move |answer: Result<Reply, _>| match answer {
            Ok(Reply::Reconfigured { kept }) => {
                let remarks = kept.iter().map(|queue| format!("queue {queue} is kept, because tasks need it"));
                reply(Ok(ReloadDocument { remarks: remarks.collect(), ..document }));
            }
            Ok(other) => reply(Err(ReloadFailure { faults: vec![format!("the engine answered {other:?}")] })),
            Err(refusal) => reply(Err(ReloadFailure { faults: vec![chain(&refusal)] })),
        };
        organs.reconfigure(&new, Box::new(then));
        *settings = new;
    }
}

fn changed(old: &Settings, new: &Settings) -> Vec<String> {
    let was = |key| old.values().iter().find(|entry| entry.key == key).map(|entry| &entry.text);
    let values = new.values().iter().filter(|entry| was(entry.key.clone()) != Some(&entry.text));
    values.map(|entry| entry.key.to_string()).collect()
}

fn faults(error: &config::ConfigError) -> Vec<String> {
    error.faults().iter().map(ToString::to_string).collect()
}

fn log_reload(result: Result<ReloadDocument, ReloadFailure>) {
    match result {
        Ok(done) => info!(changed = ?done.changed, needs_restart = ?done.needs_restart, "reloaded"),
        Err(failure) => {
            for fault in failure.faults {
                error!(%fault, "not reloaded; the old configuration stays in force");
            }
        }
    }
}

/// How everything stands, in one line.
fn log_status(answer: Result<Reply, Refusal>) {
    let status = match answer {
        Ok(Reply::Status(status)) => status,
        Ok(other) => return error!(?other, "the engine answered something else than it was asked"),
        Err(refusal) => return error!(error = chain(&refusal), "the engine did not tell how it stands"),
    };
    let counts = status.counts.iter().map(|(state, count)| format!("{state} {count}"));
    let tasks = counts.collect::<Vec<_>>().join(", ");
    let (used, all) = status.slots;
    let runner = match &status.runner {
        RunnerState::Linked { pid, .. } => format!("process {pid}"),
        RunnerState::Lost { reason } => reason.clone(),
    };
    let (health, intake, free) = (status.health(), status.intake, Size(status.free_bytes));
    let problems: Vec<&str> = status.problems().collect();
    info!(tasks, slots = format!("{used}/{all}"), runner, intake, %health, ?problems, %free, "as it stands");
}

/// An error and its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
