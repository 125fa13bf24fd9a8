//! What the main loop hears, and from whom: signals, clients, the engine.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

use tracing::error;

use super::Error;
use super::organs::thread;
use super::upgrade::Tried;
use crate::api::{ReloadTo, UpgradeTo};
use crate::config::Settings;
use crate::daemon::signals::{Signal, Source};
use crate::engine::Pulse;
use crate::sys::signal::Blocked;

/// poll(2) takes no more than 24 days.
const A_DAY: Duration = Duration::from_secs(86_400);

/// What the main loop hears.
pub(super) enum Notice {
    Signal(Signal),
    /// A client wants the configuration read anew.
    Reload(ReloadTo),
    /// It was; with what is in force from now on, where that has changed.
    Reloaded(Option<Box<Settings>>),
    /// A client wants another program to take over.
    Upgrade(Option<PathBuf>, UpgradeTo),
    /// It was tried out.
    Tried(Box<Tried>),
    /// Something has happened to a task, for the first time since somebody wanted to know.
    Stirred,
    /// How much there is to do; `None` where the engine did not say.
    Pulse(Option<Pulse>),
    /// Whether the door has closed.
    Closed(bool),
    /// Nothing runs any more.
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
    /// Whether a signal has told this process to end.
    ends: Arc<AtomicBool>,
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
            if matches!(signal, Signal::Terminate | Signal::Interrupt) {
                self.ends.store(true, Ordering::Release);
            }
            let _ = self.notices.send(Notice::Signal(signal));
        }
        Ok(())
    }
}

/// Tells of the first change since it was armed, and costs nothing besides.
#[derive(Clone)]
pub(super) struct Stir {
    armed: Arc<AtomicBool>,
    notifier: Notifier,
}

impl Stir {
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::Release);
    }

    pub(super) fn stirred(&self) {
        if self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::AcqRel) {
            self.notifier.notify(Notice::Stirred);
        }
    }
}

impl Inbox {
    /// Listens, to signals from now on.
    pub(super) fn new(blocked: &Blocked) -> Result<Self, Error> {
        let (sender, notices) = channel();
        let notifier = Notifier { notices: sender, gate: Arc::default(), ends: Arc::default() };
        let source = Source::new(blocked).map_err(Error::Signals)?;
        let heard = notifier.clone();
        thread("signals", move || listen(&source, &heard))?;
        Ok(Self { notices, notifier })
    }

    pub(super) fn notifier(&self) -> Notifier {
        self.notifier.clone()
    }

    /// One that is not armed.
    pub(super) fn stir(&self) -> Stir {
        Stir { armed: Arc::default(), notifier: self.notifier() }
    }

    /// Whether a signal has told this process to end, taken up or not.
    pub(super) fn is_to_end(&self) -> bool {
        self.notifier.ends.load(Ordering::Acquire)
    }

    /// Hears nothing as long as the guard lives. Signals that came before are put back into the kernel's hands, where
    /// they outlast execve(2); whatever else came is refused.
    pub(super) fn close(&self) -> RwLockWriteGuard<'_, ()> {
        let closed = self.notifier.gate.write().unwrap_or_else(PoisonError::into_inner);
        for notice in self.notices.try_iter() {
            match notice {
                Notice::Signal(Signal::Upgrade) => {}
                Notice::Signal(signal) => signal.put_back(),
                Notice::Reload(_) | Notice::Reloaded(_) | Notice::Upgrade(..) | Notice::Tried(_) => {}
                Notice::Stirred | Notice::Pulse(_) | Notice::Closed(_) | Notice::Drained | Notice::EngineEnded => {}
            }
        }
        closed
    }

    /// The next notice; `None` where none came before the deadline.
    pub(super) fn next(&self, deadline: Option<Instant>) -> Option<Notice> {
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
