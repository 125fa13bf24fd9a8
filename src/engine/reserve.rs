//! Claims written ahead: when a slot becomes free, the next task starts without waiting for a commit.
//!
//! With each commit, the attempts of a few tasks that are likely to be next are written beside them; the tasks
//! stay queued. When the plan chooses one of them, its claim is durable already, so it is *begun*: the order is
//! given at once, and that it runs is written with the round. What the plan chooses, and when, is not changed by
//! any of this, and a reservation that is not used is removed.
//!
//! - A reservation goes with its task's turn: whatever else becomes of the task, it is removed in the same
//!   transaction.
//! - Where the round fails, what was begun is remembered, and is the first thing that the next one writes.
//! - Where the daemon dies, the next one takes all reserved attempts for begun, and the runner tells it better.
//!   So only those are reserved that would run again after an interruption.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::Engine;
use super::link::{Link, Runner};
use super::memory::{Claimed, Reserved};
use crate::executor::Executor;
use crate::scheduler::Gate;
use crate::store::{self, Store};
use crate::task::{AttemptKey, Breaker, OnInterrupt, QueueName, TaskId, Timestamp};

/// Reservations for each slot: short tasks take a few of them between two commits.
const AHEAD_PER_SLOT: u32 = 12;

/// Reservations at most.
const MOST_AHEAD: u32 = 64;

impl<S: Store, E: Executor> Engine<S, E> {
    /// Reserves what is likely to be next, and lets go what is not any more; on the way out, all.
    pub(super) fn reserve(&mut self, now: Timestamp) -> store::Result<()> {
        if self.stopping.is_some() || self.left {
            return self.unreserve_unless(|_, _| false);
        }
        let most = usize::try_from(self.settings.slots.saturating_mul(AHEAD_PER_SLOT).min(MOST_AHEAD)).unwrap_or(1);
        let Link::Up(runner) = self.link.clone() else { return Ok(()) };
        let next = self.next_up(now, 2 * most)?;
        let near: BTreeSet<TaskId> = next.iter().copied().collect();
        self.unreserve_unless(|id, _| near.contains(&id))?;
        for id in next {
            // What cannot be reserved is waited for: nothing behind it starts before it.
            if self.memory.reserved.len() >= most || !self.reserve_one(now, &runner, id)? {
                break;
            }
        }
        self.specs.retain(|id, _| self.memory.reserved.contains_key(id));
        Ok(())
    }

    /// The tasks that the plan would choose next, roughly: which queue goes first depends on what ends first.
    fn next_up(&mut self, now: Timestamp, most: usize) -> store::Result<Vec<TaskId>> {
        let mut heads = Vec::new();
        for (name, _, gate) in self.memory.waiting(now) {
            // Hooks have slots of their own, and are in no hurry.
            if gate == Gate::Open && !name.is_of_hooks() {
                let found = self.store.candidates(name, most)?.into_iter().enumerate();
                heads.extend(found.map(|(place, head)| (Reverse(head.priority), place, head.id)));
            }
        }
        heads.sort_unstable();
        Ok(heads.into_iter().take(most).map(|(_, _, id)| id).collect())
    }

    /// False where the task is none for it.
    fn reserve_one(&mut self, now: Timestamp, runner: &Runner, id: TaskId) -> store::Result<bool> {
        if self.memory.reserved.contains_key(&id) {
            return Ok(true);
        }
        let (Some(task), Some(spec)) = (self.store.task(id)?, self.store.spec(id)?) else { return Ok(false) };
        if spec.on_interrupt == OnInterrupt::End || task.interruptions >= self.settings.max_interruptions {
            return Ok(false);
        }
        let key = AttemptKey { task: id, attempt: task.attempts.saturating_add(1) };
        let claimed = self.write_claim(now, runner, key)?;
        self.memory.reserved.insert(id, Reserved { attempt: key.attempt, claimed });
        self.specs.insert(id, spec);
        Ok(true)
    }

    /// Removes the task's reservation, where it has one.
    pub(super) fn unreserve(&mut self, id: TaskId) -> store::Result<()> {
        let Some(reserved) = self.memory.reserved.remove(&id) else { return Ok(()) };
        self.dirty = true;
        self.store.remove_attempt(AttemptKey { task: id, attempt: reserved.attempt })
    }

    /// Removes all reservations but those that `keep` names, and those that the runner may use at any moment.
    pub(super) fn unreserve_unless(&mut self, keep: impl Fn(TaskId, &Reserved) -> bool) -> store::Result<()> {
        let reserved = self.memory.reserved.iter();
        let goes = |(id, one): &(&TaskId, &Reserved)| !keep(**id, one) && !self.standby.contains(**id);
        let others: Vec<TaskId> = reserved.filter(goes).map(|(id, _)| *id).collect();
        others.into_iter().try_for_each(|id| self.unreserve(id))
    }

    /// Whether a reserved attempt of that queue may be ordered before the commit. Commands of the same beat may yet
    /// be refused, a new link is not adopted before, and a probe's start is itself written to its queue.
    pub(super) fn may_begin(&self, queue: &QueueName, is_news: bool) -> bool {
        let breaker = self.memory.lanes.get(queue).map(|lane| lane.queue.breaker);
        is_news && matches!(breaker, Some(Breaker::Closed { .. }))
    }

    /// Writes down what was begun in a round that failed.
    pub(super) fn write_begun(&mut self, now: Timestamp) -> store::Result<()> {
        for key in self.begun.clone() {
            self.run_reserved(now, key.task, false)?;
        }
        Ok(())
    }

    /// Takes all that is reserved for begun: the last daemon died, and may have given the order.
    pub(super) fn doubt_reserved(&mut self, now: Timestamp) -> store::Result<()> {
        let ids: Vec<TaskId> = self.memory.reserved.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.run_reserved(now, id, true))
    }

    pub(super) fn run_reserved(&mut self, now: Timestamp, id: TaskId, is_doubtful: bool) -> store::Result<()> {
        let Some(Reserved { claimed, .. }) = self.memory.reserved.remove(&id) else { return Ok(()) };
        let Some(task) = self.store.task(id)? else { return Ok(()) };
        self.set_running(now, &task, Claimed { is_doubtful, ..claimed })
    }

    /// Whether the attempt, whose runner is gone, is known never to have started: it was only reserved, and
    /// nothing touched its output. After a power cut that proves nothing.
    pub(super) fn never_began(&self, key: AttemptKey) -> bool {
        let (Some(open), Link::Up(runner)) = (self.memory.open.get(&key), &self.link) else { return false };
        let claimed = &open.claimed;
        claimed.is_doubtful && claimed.boot == runner.boot && !self.executor.may_have_begun(key)
    }
}
