//! Forgetting: ended tasks and events go by age, number and size, the oldest first, a few in each beat.

use std::time::Duration;

use super::Engine;
use super::outbox::Order;
use crate::executor::Executor;
use crate::store::{self, Store};
use crate::task::{EventKind, State, Task, Timestamp};

/// Tasks removed in one beat at most.
const TASKS_PER_BEAT: usize = 200;

/// Events removed in one beat at most.
const EVENTS_PER_BEAT: usize = 2000;

/// Ended tasks are looked for no more often than this, as long as none is left over.
const PAUSE: Duration = Duration::from_secs(60);

impl<S: Store, E: Executor> Engine<S, E> {
    /// Removes what is too old or too much; while something is, the next beat goes on.
    pub(super) fn retain(&mut self, now: Timestamp) -> store::Result<()> {
        if self.retain_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        let too_old = now.before(self.settings.max_age);
        let mut removed = self.remove_ended(now, too_old, TASKS_PER_BEAT)?;
        let excess = self.memory.total(State::is_ended).saturating_sub(self.settings.max_ended);
        let excess = usize::try_from(excess).unwrap_or(usize::MAX).min(TASKS_PER_BEAT - removed);
        removed += self.remove_ended(now, Timestamp(i64::MAX), excess)?;
        while removed < TASKS_PER_BEAT && self.store.output_bytes()? > self.settings.max_output_bytes {
            match self.remove_ended(now, Timestamp(i64::MAX), 1)? {
                0 => break,
                one => removed += one,
            }
        }
        let events = self.store.remove_events(too_old, EVENTS_PER_BEAT)?;
        self.dirty |= events > 0;
        self.more |= removed == TASKS_PER_BEAT || events == EVENTS_PER_BEAT;
        self.retain_at = self.next_retention(now)?;
        Ok(())
    }

    /// Looks again once something new has ended.
    pub(super) fn retain_later(&mut self, now: Timestamp) {
        let next = now + PAUSE;
        self.retain_at = Some(self.retain_at.map_or(next, |at| at.min(next)));
    }

    /// A pass with work left over is due at once, else when the oldest ended task is too old.
    fn next_retention(&mut self, now: Timestamp) -> store::Result<Option<Timestamp>> {
        if self.more {
            return Ok(Some(now));
        }
        let oldest = self.store.ended_before(Timestamp(i64::MAX), 1)?;
        let ended_at = oldest.first().and_then(|task| task.ended_at);
        Ok(ended_at.map(|at| (at + self.settings.max_age).max(now + PAUSE)))
    }

    fn remove_ended(&mut self, now: Timestamp, before: Timestamp, limit: usize) -> store::Result<usize> {
        if limit == 0 {
            return Ok(0);
        }
        let tasks = self.store.ended_before(before, limit)?;
        for task in &tasks {
            self.remove(now, task)?;
        }
        Ok(tasks.len())
    }

    /// Removes an ended task with its output.
    pub(super) fn remove(&mut self, now: Timestamp, task: &Task) -> store::Result<()> {
        self.store.remove_task(task)?;
        self.memory.count(&task.queue, Some(task.state), None);
        self.outbox.orders.push(Order::RemoveOutput(vec![(task.id, task.attempts)]));
        self.tell(now, task, EventKind::Removed)
    }
}
