//! What the clock brings: tasks that are due, cool-downs that end, runs that recur, and clocks that are set back.

use std::time::Duration;

use super::Engine;
use crate::executor::Executor;
use crate::store::{self, Store};
use crate::task::Timestamp;

/// Due tasks released in one beat at most.
const DUE_PER_BEAT: usize = 1000;

/// A clock that goes back by less is being corrected, not set.
const CORRECTION: Duration = Duration::from_secs(60);

impl<S: Store, E: Executor> Engine<S, E> {
    pub(super) fn follow_clock(&mut self, now: Timestamp) -> store::Result<()> {
        if now + CORRECTION < self.clock {
            self.clock_was_set_back(now)?;
        }
        self.release_due(now)?;
        self.begin_probes(now)?;
        self.recur(now)?;
        self.retain(now)
    }

    /// What was computed from a clock that was ahead is computed again.
    fn clock_was_set_back(&mut self, now: Timestamp) -> store::Result<()> {
        tracing::warn!(was = %self.clock, is = %now, "the clock was set back");
        self.retain_at = self.retain_at.map(|_| now);
        self.shorten_cooldowns(now)?;
        self.recompute_schedules(now)
    }

    fn release_due(&mut self, now: Timestamp) -> store::Result<()> {
        if self.memory.next_due.is_none_or(|due| due > now) {
            return Ok(());
        }
        let due = self.store.due(now, DUE_PER_BEAT)?;
        self.more |= due.len() == DUE_PER_BEAT;
        for id in due {
            if let Some(task) = self.store.task(id)? {
                self.release(now, &task, None)?;
            }
        }
        Ok(())
    }
}
