//! Claims: what the plan chose is written as an attempt, and started once that is committed.

use std::time::Duration;

use super::Engine;
use super::link::{Link, Runner};
use super::memory::Open;
use super::outbox::Order;
use crate::executor::{Executor, Start};
use crate::scheduler::{self, Choice, Gate, Head, Snapshot};
use crate::store::{self, Store};
use crate::task::{AttemptKey, Claim, EventKind, QueueName, State, Task, Timestamp, Trigger};

/// Claims in one beat at most.
const CLAIMS_PER_BEAT: usize = 256;

/// Bytes that have to be free for a task to start, where intake asks for as much: output must not take what the
/// store gave up so that ends can be written down.
const LEAST_FREE: u64 = 4 << 20;

/// How often room is looked for while there is none: nobody tells when it comes.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(1);

impl<S: Store, E: Executor> Engine<S, E> {
    /// Claims what may start now, where there is a runner to start it.
    pub(super) fn plan(&mut self, now: Timestamp) -> store::Result<()> {
        self.room_at = None;
        let Link::Up(runner) = self.link.clone() else { return Ok(()) };
        let free = self.settings.slots.max(1).saturating_sub(self.memory.used);
        if self.stopping.is_some() || free == 0 {
            return Ok(());
        }
        let (names, snapshot) = self.snapshot(now, free)?;
        let mut choices = scheduler::plan(&snapshot);
        if !choices.is_empty() && self.free_bytes()? < self.settings.min_free_bytes.min(LEAST_FREE) {
            self.room_at = Some(now + LOOK_FOR_ROOM);
            return Ok(());
        }
        if choices.len() >= CLAIMS_PER_BEAT {
            choices.truncate(CLAIMS_PER_BEAT);
            self.more = true;
        }
        for choice in choices {
            if let Some(queue) = names.get(choice.lane) {
                self.claim(now, &runner, queue, choice)?;
            }
        }
        Ok(())
    }

    /// The queues that have something to start, each with as many heads as could be chosen.
    fn snapshot(&mut self, now: Timestamp, free: u32) -> store::Result<(Vec<QueueName>, Snapshot)> {
        let limit = usize::try_from(free).unwrap_or(CLAIMS_PER_BEAT).min(CLAIMS_PER_BEAT);
        let mut names = Vec::new();
        let mut lanes = Vec::new();
        for (name, lane) in &self.memory.lanes {
            let gate = scheduler::gate(lane.queue.mode, &lane.queue.breaker, now);
            if gate == Gate::Shut || self.memory.in_state(name, State::Queued) == 0 {
                continue;
            }
            let heads = self.store.candidates(name, limit)?.into_iter();
            let heads = heads.map(|head| Head { id: head.id, priority: head.priority, slots: head.slots }).collect();
            names.push(name.clone());
            lanes.push(scheduler::Lane { slots: lane.queue.limits.slots, used: lane.used, gate, heads });
        }
        Ok((names, Snapshot { slots: self.settings.slots, used: self.memory.used, lanes }))
    }

    fn claim(&mut self, now: Timestamp, runner: &Runner, queue: &QueueName, choice: Choice) -> store::Result<()> {
        let (Some(before), Some(spec)) = (self.store.task(choice.id)?, self.store.spec(choice.id)?) else {
            return Ok(());
        };
        let Ok(state) = before.state.after(Trigger::Claim) else { return Ok(()) };
        let stdin = self.store.stdin(choice.id)?;
        let after = Task { state, due: None, attempts: before.attempts.saturating_add(1), ..before.clone() };
        let key = AttemptKey { task: after.id, attempt: after.attempts };
        let claim = Claim {
            owner: self.store.identity().to_owned(),
            runner: runner.instance.clone(),
            boot: runner.boot.clone(),
            lease_until: None,
        };
        self.store.insert_attempt(key, &claim, now)?;
        self.change(&before, &after)?;
        self.tell(now, &after, EventKind::Started { attempt: key.attempt })?;
        self.probe_claimed(queue, after.id)?;
        let open = Open {
            queue: queue.clone(),
            slots: after.slots,
            weight: choice.weight,
            runner: claim.runner,
            boot: claim.boot,
            process: None,
        };
        self.memory.claim(key, open);
        self.outbox.orders.push(Order::Start(Box::new(Start { key, spec, stdin })));
        Ok(())
    }
}
