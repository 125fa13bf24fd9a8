//! The way out: of everything that runs, and of the runner itself.

use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::serve::Runner;
use crate::wire::runner::Cause;

/// How long an ended runner waits for its last reports to be acknowledged.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Whether the runner is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// The daemon said so; the next daemon may keep it.
    Asked,
    /// By SIGTERM. `by` is set once nothing runs any more.
    Terminated {
        by: Option<Instant>,
    },
}

impl Leaving {
    /// When its patience ends.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Terminated { by } => by,
            Self::No | Self::Asked => None,
        }
    }
}

impl Runner {
    /// Whether all is said and done.
    pub(super) fn may_leave(&mut self, now: Instant) -> bool {
        if !self.table.attempts.is_empty() || self.sweeping.is_some() {
            return false;
        }
        match &mut self.leaving {
            Leaving::No => false,
            Leaving::Asked => self.table.ended.is_empty(),
            Leaving::Terminated { by } => {
                let by = *by.get_or_insert(now + LAST_WORDS);
                self.table.ended.is_empty() || self.link.is_none() || by <= now
            }
        }
    }

    /// Takes one signal; an event for the next one follows at once.
    pub(super) fn take_signal(&mut self) {
        match (self.signals.next().ok().flatten(), self.leaving) {
            (None, _) => {}
            (Some(libc::SIGCHLD), _) => self.reap(),
            (Some(_), Leaving::No | Leaving::Asked) => {
                self.leaving = Leaving::Terminated { by: None };
                self.drain();
            }
            // A second one will not wait.
            (Some(_), Leaving::Terminated { .. }) => self.table.attempts.values_mut().for_each(Attempt::kill),
        }
    }

    /// Stops everything that runs.
    pub(super) fn drain(&mut self) {
        self.table.attempts.values_mut().for_each(|attempt| attempt.stop_its_way(Cause::Drained));
    }
}
