//! What people ask; nothing of it writes.

use super::act::{LONGEST_PAGE, bounded, scoped};
use super::link::Link;
use super::{Caller, Detail, Engine, Metrics, Query, Refusal, Reply, Status};
use crate::executor::Executor;
use crate::scheduler;
use crate::store::{Counts, EventFilter, Store};
use crate::task::{AttemptKey, Breaker, Mode, Queue, State, Task, TaskId, Timestamp};

impl<S: Store, E: Executor> Engine<S, E> {
    pub(super) fn read(&mut self, now: Timestamp, caller: Caller, query: Query) -> Result<Reply, Refusal> {
        match query {
            Query::List(filter, page) => Ok(Reply::Listing(self.store.list(&scoped(caller, filter), bounded(page))?)),
            Query::States(ids) => self.states(caller, &ids),
            Query::Show(id) => self.show(caller, id),
            Query::Events(filter, limit) => {
                let owner = if caller.privileged { filter.owner } else { Some(caller.uid) };
                Ok(Reply::Events(self.store.events(&EventFilter { owner, ..filter }, limit.min(LONGEST_PAGE))?))
            }
            Query::Output(key) => self.output(caller, key),
            Query::Queues => Ok(Reply::Queues(self.queues())),
            Query::Schedules => {
                let all = self.memory.schedules.values();
                let seen = all.filter(|schedule| caller.privileged || schedule.owner == caller.uid);
                Ok(Reply::Schedules(seen.cloned().collect()))
            }
            Query::Status => Ok(Reply::Status(Box::new(self.status(now)?))),
            Query::Metrics => self.metrics(now),
            Query::Pulse => Ok(Reply::Pulse(self.pulse()?)),
        }
    }

    fn states(&mut self, caller: Caller, ids: &[TaskId]) -> Result<Reply, Refusal> {
        let mut states = Vec::with_capacity(ids.len());
        for id in ids {
            let task = self.store.task(*id)?.filter(|task| caller.privileged || task.owner == caller.uid);
            if let Some(task) = task {
                let code = self.exit_code(&task)?;
                states.push((*id, task.state, code));
            }
        }
        Ok(Reply::States(states))
    }

    /// The exit status for a shell; a task that was cancelled before it started has that of one cancelled later.
    fn exit_code(&mut self, task: &Task) -> Result<Option<i32>, Refusal> {
        if !task.state.is_ended() {
            return Ok(None);
        }
        let key = AttemptKey { task: task.id, attempt: task.attempts };
        let outcome = self.store.attempt(key)?.and_then(|attempt| attempt.outcome);
        let told = outcome.filter(|outcome| outcome.state() == task.state);
        Ok(Some(told.map_or_else(|| fallback_code(task.state), |outcome| outcome.exit_code())))
    }

    fn show(&mut self, caller: Caller, id: TaskId) -> Result<Reply, Refusal> {
        let task = self.visible(caller, id)?;
        let Some(spec) = self.store.spec(id)? else { return Err(Refusal::NoTask(id)) };
        let mut attempts = self.store.attempts(id)?;
        // What is only reserved is nobody's business: it may come to nothing.
        attempts.retain(|attempt| attempt.number <= task.attempts);
        let open_dependencies = self.store.open_dependencies(id)?;
        let waits_for = (task.state == State::Queued).then(|| self.waits_for(&task));
        Ok(Reply::Detail(Box::new(Detail { task, spec, attempts, open_dependencies, waits_for })))
    }

    /// Why a queued task does not run yet.
    fn waits_for(&self, task: &Task) -> String {
        let Ok(lane) = self.lane(&task.queue) else { return format!("queue {} is gone", task.queue) };
        let name = &task.queue;
        match (lane.queue.mode, lane.queue.breaker) {
            (Mode::Paused, _) => return format!("queue {name} is paused"),
            (Mode::Draining, _) => return format!("queue {name} is draining"),
            (Mode::Open, Breaker::Open { until }) => {
                return format!("queue {name} paused itself after failures, until {until}");
            }
            (Mode::Open, Breaker::Probing { .. }) => return format!("queue {name} tries one task after failures"),
            (Mode::Open, Breaker::Closed { .. }) => {}
        }
        if self.stopping.is_some() {
            return "the daemon is stopping".to_owned();
        }
        if let Link::Down { reason, .. } = &self.link {
            return format!("no runner: {reason}");
        }
        if self.room_at.is_some() {
            return "the disk is full, and its output would have no room".to_owned();
        }
        let weight = scheduler::weight(task.slots, lane.queue.limits.slots, self.settings.slots);
        let limit = lane.queue.limits.slots.unwrap_or(self.settings.slots);
        if lane.used.saturating_add(weight) > limit {
            return format!("queue {name} has {} of {limit} slots taken, and it takes {weight}", lane.used);
        }
        if !name.is_of_hooks() && self.memory.used.saturating_add(weight) > self.settings.slots {
            let (used, all) = (self.memory.used, self.settings.slots);
            return format!("{used} of the host's {all} slots are taken, and it takes {weight}");
        }
        "it is next, or others go first".to_owned()
    }

    fn output(&mut self, caller: Caller, key: AttemptKey) -> Result<Reply, Refusal> {
        let task = self.visible(caller, key.task)?;
        let number = if key.attempt == 0 { task.attempts } else { key.attempt };
        let key = AttemptKey { attempt: number, ..key };
        let missing = Refusal::NoAttempt { task: key.task, attempt: number };
        let attempt = self.store.attempt(key)?.filter(|attempt| attempt.number <= task.attempts);
        let Some(attempt) = attempt else { return Err(missing) };
        let opened = self.executor.output(key);
        let file = opened.map_err(|source| Refusal::NoOutput { task: key.task, attempt: number, source })?;
        let ended = attempt.ended_at.is_some();
        Ok(Reply::Output { file, attempt: number, ended, dropped: attempt.cost.dropped_bytes })
    }

    fn queues(&self) -> Vec<(Queue, Counts)> {
        let counted = |name| self.memory.counts.get(name).cloned().unwrap_or_default();
        self.memory.lanes.iter().map(|(name, lane)| (lane.queue.clone(), counted(name))).collect()
    }

    /// The daemon at a glance, once it is proven that the queue can be written.
    pub(super) fn prove(&mut self, now: Timestamp) -> Result<Reply, Refusal> {
        if self.needs_proof(now) {
            self.prove_writable()?;
        }
        Ok(Reply::Status(Box::new(self.status(now)?)))
    }

    fn status(&mut self, now: Timestamp) -> Result<Status, Refusal> {
        let free_bytes = self.free_bytes()?;
        let mut counts = Counts::new();
        for (state, count) in self.memory.counts.values().flatten() {
            *counts.entry(*state).or_default() += count;
        }
        Ok(Status {
            findings: self.examine(now)?,
            intake: self.stopping.is_none() && self.trouble.is_none() && free_bytes >= self.settings.min_free_bytes,
            stopping: self.stopping.is_some(),
            counts,
            slots: (self.memory.used, self.settings.slots),
            runner: self.link.state(),
            free_bytes,
            output_bytes: self.store.output_bytes()?,
            since: self.since,
            last_event: self.store.last_event()?,
        })
    }

    fn metrics(&mut self, now: Timestamp) -> Result<Reply, Refusal> {
        let status = self.status(now)?;
        let longest_wait = self.longest_wait(now)?.map(|(.., waited)| waited);
        Ok(Reply::Metrics(Box::new(Metrics { status, longest_wait, queues: self.queues(), tally: self.tally.clone() })))
    }
}

/// The exit status of an end that no attempt tells of.
fn fallback_code(state: State) -> i32 {
    match state {
        State::Succeeded => 0,
        State::TimedOut => crate::task::Outcome::TimedOut.exit_code(),
        State::Cancelled => crate::task::Outcome::Cancelled.exit_code(),
        State::Interrupted => crate::task::Outcome::Interrupted.exit_code(),
        State::Failed | State::Queued | State::Scheduled | State::Held | State::Waiting | State::Running => 1,
    }
}
