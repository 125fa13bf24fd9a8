//! The link to the runner: what a runner knows, and what has to be made of the attempts that it does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::outbox::Order;
use super::{Engine, RunnerState};
use crate::executor::{Executor, Holds, Leftover};
use crate::store::{self, Store};
use crate::task::{AttemptKey, EventKind, Stop, Task, Timestamp, Trigger};

/// Whether a runner answers.
#[derive(Debug, Clone)]
pub(super) enum Link {
    Up(Arc<Runner>),
    /// Why, and since when.
    Down {
        reason: Arc<str>,
        since: Timestamp,
    },
}

/// A runner that answers.
#[derive(Debug, Clone)]
pub(super) struct Runner {
    pub(super) instance: String,
    pub(super) pid: i32,
    pub(super) boot: String,
    pub(super) holds: Holds,
}

impl Link {
    pub(super) fn down(reason: &str, since: Timestamp) -> Self {
        Self::Down { reason: Arc::from(reason), since }
    }

    /// The link without a runner; one that was down stays so since then.
    pub(super) fn lost(&self, reason: &str, now: Timestamp) -> Self {
        match self {
            Self::Up(_) => Self::down(reason, now),
            Self::Down { since, .. } => Self::down(reason, *since),
        }
    }

    /// The same link, to a runner that says how it holds attempts.
    pub(super) fn holding(&self, holds: &Holds) -> Self {
        match self {
            Self::Up(runner) => Self::Up(Arc::new(Runner { holds: holds.clone(), ..Runner::clone(runner) })),
            Self::Down { .. } => self.clone(),
        }
    }

    pub(super) fn state(&self) -> RunnerState {
        match self {
            Self::Up(runner) => {
                RunnerState::Linked { runner: runner.instance.clone(), pid: runner.pid, holds: runner.holds.clone() }
            }
            Self::Down { reason, .. } => RunnerState::Lost { reason: reason.to_string() },
        }
    }
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// Compares what is open with what the runner has. The same runner knows: then it goes on; it does not know:
    /// then the order never reached it. Another runner: then the attempt was cut off, and what it left behind is
    /// ended before anything else becomes of it.
    pub(super) fn linked(&mut self, now: Timestamp, runner: Runner, known: &[AttemptKey]) -> store::Result<()> {
        self.outbox.orders.push(Order::Adopt);
        self.doubt_standby(now)?;
        let known: BTreeSet<AttemptKey> = known.iter().copied().collect();
        let mut leftovers = Vec::new();
        let mut forgotten = Vec::new();
        for (key, open) in &self.memory.open {
            if open.claimed.runner != runner.instance {
                let process = open.process.or(self.notes.get(key).map(super::Note::process));
                leftovers.push(Leftover { key: *key, process: process.filter(|_| open.claimed.boot == runner.boot) });
            } else if !known.contains(key) {
                forgotten.push(*key);
            }
        }
        let runner = Arc::new(runner);
        self.link = Link::Up(Arc::clone(&runner));
        self.unreserve_unless(|_, reserved| reserved.claimed.runner == runner.instance)?;
        for key in forgotten {
            self.unclaim(now, key)?;
        }
        for key in &known {
            self.resume(*key)?;
        }
        if !leftovers.is_empty() {
            self.outbox.orders.push(Order::Sweep(leftovers));
        }
        if let Some(stopping) = &self.stopping {
            self.outbox.orders.push(Order::Drain(stopping.until.since(now)));
        }
        Ok(())
    }

    pub(super) fn is_claimed_for_present_runner(&self, key: AttemptKey) -> bool {
        let (Link::Up(runner), Some(open)) = (&self.link, self.memory.open.get(&key)) else { return false };
        open.claimed.runner == runner.instance
    }

    /// What the runner has goes on; a stop that may not have reached it is repeated. What is not open has ended
    /// and is acknowledged when its end is told again; the stop is for the case that it did not.
    fn resume(&mut self, key: AttemptKey) -> store::Result<()> {
        if !self.memory.open.contains_key(&key) {
            self.outbox.orders.push(Order::Stop(key, Stop::default()));
            return Ok(());
        }
        match self.store.task(key.task)? {
            Some(task) if task.cancelling => self.order_stop(&task),
            Some(_) | None => Ok(()),
        }
    }

    /// Stops the running attempt of a task; without a link the order is given once there is one.
    pub(super) fn order_stop(&mut self, task: &Task) -> store::Result<()> {
        if let Some(spec) = self.store.spec(task.id)? {
            let key = AttemptKey { task: task.id, attempt: task.attempts };
            self.outbox.orders.push(Order::Stop(key, spec.stop));
        }
        Ok(())
    }

    /// Takes back a claim that never became a process; the attempt does not count.
    pub(super) fn unclaim(&mut self, now: Timestamp, key: AttemptKey) -> store::Result<()> {
        let Some(before) = self.store.task(key.task)? else { return Ok(()) };
        let Ok(state) = before.state.after(Trigger::Unclaim) else { return Ok(()) };
        self.store.remove_attempt(key)?;
        self.memory.close(key);
        let after = Task { state, attempts: before.attempts.saturating_sub(1), cancelling: false, ..before.clone() };
        self.change(&before, &after)?;
        self.tell(now, &after, EventKind::Unclaimed { attempt: key.attempt })?;
        self.probe_lost(&after.queue, after.id)?;
        if before.cancelling { self.cancel_unstarted(now, &after, None) } else { Ok(()) }
    }
}
