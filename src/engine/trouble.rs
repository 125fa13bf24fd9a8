//! When the store fails: nothing is lost, intake closes, and the next try is not far.

use std::time::Duration;

use super::memory::Memory;
use super::{Engine, Envelope, Message, Refusal};
use crate::executor::{Executor, Report};
use crate::store::{Error, Result, Store};
use crate::task::Timestamp;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A store that fails.
pub(super) struct Trouble {
    /// What it said last.
    pub(super) error: Error,
    /// When it is tried again.
    pub(super) retry_at: Timestamp,
    /// Failures in a row.
    failures: u32,
    /// Whether the memory may differ from the store, for it could not be read either.
    stale: bool,
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// Puts the engine back to what is committed; the beat's commands are refused, its reports kept.
    pub(super) fn give_up(&mut self, now: Timestamp, error: Error, reports: Vec<Report>) {
        self.store.rollback();
        tracing::error!(error = &error as &dyn std::error::Error, "the queue could not be written");
        let outbox = std::mem::take(&mut self.outbox);
        for (reply, answer) in outbox.answers {
            reply(answer.and_then(|_| Err(Refusal::Store(copy(&error)))));
        }
        for report in reports.into_iter().rev() {
            self.kept.push_front(report);
        }
        (self.dirty, self.more) = (false, false);
        self.tally.failed_commits += 1;
        let failures = self.trouble.as_ref().map_or(0, |trouble| trouble.failures) + 1;
        let pause = FIRST_PAUSE.saturating_mul(1 << (failures - 1).min(10)).min(LONGEST_PAUSE);
        let stale = self.reload().is_err();
        self.trouble = Some(Trouble { error, retry_at: now + pause, failures, stale });
        self.recall(now);
    }

    /// Whether the store failed a moment ago and is left alone for now.
    pub(super) fn is_waiting_out(&mut self, now: Timestamp) -> bool {
        let Some(trouble) = &mut self.trouble else { return false };
        // A clock that was set back must not make the pause longer than any pause is.
        trouble.retry_at = trouble.retry_at.min(now + LONGEST_PAUSE);
        if now < trouble.retry_at {
            return true;
        }
        if !trouble.stale {
            return false;
        }
        let reloaded = self.reload();
        let Some(trouble) = &mut self.trouble else { return false };
        trouble.stale = reloaded.is_err();
        if trouble.stale {
            trouble.retry_at = now + LONGEST_PAUSE;
        }
        trouble.stale
    }

    /// A beat without the right to write: reads are answered, reports kept, everything else is refused.
    pub(super) fn wait_out(&mut self, now: Timestamp) {
        self.free = None;
        self.take_up_held();
        while let Some(message) = self.inbox.pop_front() {
            let Some(message) = self.answer_at_once(now, message) else { continue };
            match message {
                Message::Report(report) => self.kept.push_back(report),
                Message::Leave => self.left = true,
                Message::Command(Envelope { reply, .. }) => {
                    let refusal = self.trouble.as_ref().map(|trouble| Refusal::Store(copy(&trouble.error)));
                    reply(Err(refusal.unwrap_or(Refusal::Stopping)));
                }
            }
        }
        self.finish_shutdown();
        self.clock = now;
    }

    /// Writes something that changes nothing, so that the commit shows whether the store works again.
    pub(super) fn prove_writable(&mut self) -> Result<()> {
        if let Some(lane) = self.memory.lanes.values().next() {
            self.store.put_queue(&lane.queue)?;
            self.dirty = true;
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<()> {
        self.store.begin()?;
        let loaded = Memory::load(&mut self.store, self.settings.slots);
        self.store.rollback();
        self.memory = loaded?;
        Ok(())
    }
}

/// The same error once more: one failed commit refuses many commands.
pub(super) fn copy(error: &Error) -> Error {
    match error {
        Error::Full { path } => Error::Full { path: path.clone() },
        Error::Damaged { path, detail } => Error::Damaged { path: path.clone(), detail: detail.clone() },
        Error::Newer { path, found, known } => Error::Newer { path: path.clone(), found: *found, known: *known },
        Error::InUse { path } => Error::InUse { path: path.clone() },
        Error::File { action, path, source } => {
            let source = std::io::Error::new(source.kind(), source.to_string());
            Error::File { action, path: path.clone(), source }
        }
        Error::Database { action, path, source } => {
            Error::Database { action, path: path.clone(), source: source.to_string().into() }
        }
    }
}
