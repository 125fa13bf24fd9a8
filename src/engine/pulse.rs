//! The pulse: a beat on nothing, by which others see that the engine and the store move.

use super::{Engine, Refusal};
use crate::executor::Executor;
use crate::store::Store;
use crate::task::State;

/// What a pulse tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Tasks that run.
    pub running: u64,
    /// Tasks that wait for a free slot.
    pub queued: u64,
    /// Tasks that have ended with a failure and are still kept.
    pub failed: u64,
    /// Whether nothing runs and nothing would ever run by itself: what is left waits for somebody.
    pub idle: bool,
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// Reads the store, so that one that hangs or fails is found out.
    pub(super) fn pulse(&mut self) -> Result<Pulse, Refusal> {
        self.store.last_event()?;
        self.store.free_bytes()?;
        let total = |state| self.memory.total(|other| other == state);
        let (running, queued, failed) = (total(State::Running), total(State::Queued), total(State::Failed));
        let settled = self.trouble.is_none() && self.kept.is_empty() && self.memory.open.is_empty();
        let moves = running + queued + total(State::Scheduled) > 0 || self.next_recurrence().is_some();
        Ok(Pulse { running, queued, failed, idle: settled && !moves })
    }
}
