//! Claims: what the plan chose is written as an attempt, and started once that is committed, or at once where it
//! was written ahead.

use std::time::Duration;

use super::Engine;
use super::link::{Link, Runner};
use super::memory::{Claimed, Open};
use super::outbox::Order;
use crate::executor::{Executor, Start};
use crate::scheduler::{self, Head, Snapshot};
use crate::store::{self, Store};
use crate::task::{AttemptKey, Claim, EventKind, Task, TaskId, Timestamp, Trigger};

/// Claims in one beat at most.
const CLAIMS_PER_BEAT: usize = 256;

/// Bytes that have to be free for a task to start, where intake asks for as much: output must not take what the
/// store gave up so that ends can be written down.
pub(super) const LEAST_FREE: u64 = 4 << 20;

/// How often room is looked for while there is none: nobody tells when it comes.
pub(super) const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

impl<S: Store, E: Executor> Engine<S, E> {
    /// Claims what may start now, where there is a runner to start it. Where the beat takes up nothing but news,
    /// what is reserved is begun at once.
    pub(super) fn plan(&mut self, now: Timestamp, is_news: bool) -> store::Result<()> {
        self.room_at = None;
        let Link::Up(runner) = self.link.clone() else { return Ok(()) };
        if !self.standby.is_empty() {
            return self.plan_behind(now, is_news);
        }
        self.plan_hooks(now, &runner)?;
        let free = self.settings.slots.max(1).saturating_sub(self.memory.used);
        if self.stopping.is_some() {
            return Ok(());
        }
        if free > 0 {
            self.claim_next(now, &runner, free, is_news)?;
        }
        if is_news { self.begin_standby(now) } else { Ok(()) }
    }

    /// Claims what the plan chooses for the free slots.
    fn claim_next(&mut self, now: Timestamp, runner: &Runner, free: u32, is_news: bool) -> store::Result<()> {
        let snapshot = self.snapshot(now, free)?;
        let mut choices = scheduler::plan(&snapshot);
        if !choices.is_empty() && !self.has_room()? {
            self.room_at = Some(now + LOOK_FOR_ROOM);
            return Ok(());
        }
        if choices.len() >= CLAIMS_PER_BEAT {
            choices.truncate(CLAIMS_PER_BEAT);
            self.more = true;
        }
        for choice in choices {
            self.claim(now, runner, choice.id, is_news)?;
        }
        Ok(())
    }

    /// Whether there is room for what tasks write.
    pub(super) fn has_room(&mut self) -> store::Result<bool> {
        Ok(self.free_bytes()? >= self.settings.min_free_bytes.min(LEAST_FREE))
    }

    /// The queues that have something to start, each with as many heads as could be chosen.
    fn snapshot(&mut self, now: Timestamp, free: u32) -> store::Result<Snapshot> {
        let limit = usize::try_from(free).unwrap_or(CLAIMS_PER_BEAT).min(CLAIMS_PER_BEAT);
        let mut lanes = Vec::new();
        for (name, lane, gate) in self.memory.waiting(now).filter(|(name, ..)| !name.is_of_hooks()) {
            let heads = self.store.candidates(name, limit)?.into_iter();
            let heads = heads.map(|head| Head { id: head.id, priority: head.priority, slots: head.slots }).collect();
            lanes.push(scheduler::Lane { slots: lane.queue.limits.slots, used: lane.used, gate, heads });
        }
        Ok(Snapshot { slots: self.settings.slots, used: self.memory.used, lanes })
    }

    pub(super) fn claim(&mut self, now: Timestamp, runner: &Runner, id: TaskId, is_news: bool) -> store::Result<()> {
        // What an accepted task runs never changes.
        let spec = self.specs.remove(&id).map_or_else(|| self.store.spec(id), |spec| Ok(Some(spec)))?;
        let (Some(task), Some(spec)) = (self.store.task(id)?, spec) else { return Ok(()) };
        if task.state.after(Trigger::Claim).is_err() {
            return Ok(());
        }
        let key = AttemptKey { task: id, attempt: task.attempts.saturating_add(1) };
        let start = Start { key, spec, stdin: self.store.stdin(id)? };
        let claimed = match self.memory.reserved.remove(&id) {
            Some(reserved) if self.may_begin(&task.queue, is_news) => {
                self.begun.insert(key);
                self.executor.start(start);
                return self.set_running(now, &task, reserved.claimed);
            }
            Some(reserved) => reserved.claimed,
            None => self.write_claim(now, runner, key)?,
        };
        self.outbox.orders.push(Order::Start(Box::new(start)));
        self.set_running(now, &task, claimed)
    }

    /// Writes the attempt for that runner.
    pub(super) fn write_claim(&mut self, now: Timestamp, runner: &Runner, key: AttemptKey) -> store::Result<Claimed> {
        let (runner, boot) = (runner.instance.clone(), runner.boot.clone());
        let owner = self.store.identity().to_owned();
        let claim = Claim { owner, runner: runner.clone(), boot: boot.clone(), lease_until: None };
        self.dirty = true;
        self.store.insert_attempt(key, &claim, now)?;
        Ok(Claimed { runner, boot, is_doubtful: false })
    }

    /// Moves a queued task on; its attempt is written.
    pub(super) fn set_running(&mut self, now: Timestamp, before: &Task, claimed: Claimed) -> store::Result<()> {
        let Ok(state) = before.state.after(Trigger::Claim) else { return Ok(()) };
        let after = Task { state, due: None, attempts: before.attempts.saturating_add(1), ..before.clone() };
        let key = AttemptKey { task: after.id, attempt: after.attempts };
        self.change(before, &after)?;
        self.tell(now, &after, EventKind::Started { attempt: key.attempt })?;
        self.probe_claimed(&after.queue, after.id)?;
        let limit = self.memory.lanes.get(&after.queue).and_then(|lane| lane.queue.limits.slots);
        let weight = scheduler::weight(after.slots, limit, self.settings.slots);
        self.memory.claim(key, Open { queue: after.queue, slots: after.slots, weight, claimed, process: None });
        Ok(())
    }
}
