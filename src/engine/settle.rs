//! What follows an end: another attempt or a final state, and then the tasks that waited for it.

use std::fmt;

use super::Engine;
use crate::executor::Executor;
use crate::store::{self, Store};
use crate::task::{
    AttemptKey, Condition, EventKind, OnInterrupt, Outcome, Ready, State, Task, TaskId, Timestamp, Trigger,
};

/// Dependents looked at in one read.
const DEPENDENTS_PER_READ: usize = 256;

/// Why a task that waited can never run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doom {
    on: TaskId,
    state: State,
}

impl Doom {
    /// The doom of a task that waited for `on`, which ended in `state`; `None` where that was good enough.
    pub(super) fn of(on: TaskId, state: State, condition: Condition) -> Option<Self> {
        (condition == Condition::Success && state != State::Succeeded).then_some(Self { on, state })
    }
}

impl fmt::Display for Doom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { on, state } = self;
        match state {
            State::Failed => write!(f, "task {on}, which it waits for, failed"),
            State::TimedOut => write!(f, "task {on}, which it waits for, timed out"),
            State::Cancelled | State::Interrupted => write!(f, "task {on}, which it waits for, was {state}"),
            State::Queued | State::Scheduled | State::Held | State::Waiting | State::Running | State::Succeeded => {
                write!(f, "task {on}, which it waits for, is {state}")
            }
        }
    }
}

/// Whether an interruption counts towards the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interruption {
    /// It was cut off.
    Counts,
    /// The service was stopped: that is nobody's fault.
    Drained,
}

/// What becomes of a task after an attempt.
enum Verdict {
    Again(Option<Timestamp>),
    End(Option<String>),
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// Moves a running task on after its attempt ended with `outcome`.
    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        before: &Task,
        key: AttemptKey,
        outcome: Outcome,
        interruption: Interruption,
    ) -> store::Result<()> {
        let mut after = before.clone();
        let verdict = self.verdict(now, &mut after, &outcome, interruption)?;
        let (trigger, due, reason) = match verdict {
            Verdict::Again(None) => (Trigger::Again(Ready::Now), None, None),
            Verdict::Again(Some(due)) => (Trigger::Again(Ready::Later), Some(due), None),
            Verdict::End(reason) => (Trigger::End(outcome.state()), None, reason),
        };
        let Ok(state) = before.state.after(trigger) else {
            tracing::error!(task = %before.id, state = %before.state, ?trigger, "an attempt ended of a task that does not run");
            return Ok(());
        };
        after.state = state;
        after.due = due;
        after.cancelling = false;
        after.reason.clone_from(&reason);
        after.ended_at = state.is_ended().then_some(now);
        self.memory.close(key);
        self.change(before, &after)?;
        self.judge(now, &before.queue, before.id, &outcome)?;
        let kind = EventKind::Ended { attempt: key.attempt, outcome: Some(outcome.clone()), state, due, reason };
        self.tell(now, &after, kind)?;
        if !state.is_ended() {
            return Ok(());
        }
        self.retain_later(now);
        self.hook_failed(now, &after, &outcome)?;
        self.conclude(now, after.id, state)
    }

    fn verdict(
        &mut self,
        now: Timestamp,
        task: &mut Task,
        outcome: &Outcome,
        interruption: Interruption,
    ) -> store::Result<Verdict> {
        let last = outcome.state();
        // Most attempts succeed, and then the policy need not be read.
        if last == State::Succeeded || last == State::Cancelled {
            return Ok(Verdict::End(None));
        }
        let Some(spec) = self.store.spec(task.id)? else { return Ok(Verdict::End(None)) };
        Ok(match last {
            State::Failed | State::TimedOut => {
                task.failures = task.failures.saturating_add(1);
                let delay = spec.retry.delay_after(task.failures, self.rng.f64()).filter(|_| !task.cancelling);
                delay.map_or(Verdict::End(None), |delay| Verdict::Again(Some(now + delay)))
            }
            State::Interrupted => {
                if interruption == Interruption::Counts {
                    task.interruptions = task.interruptions.saturating_add(1);
                }
                let most = self.settings.max_interruptions;
                match spec.on_interrupt {
                    OnInterrupt::End => Verdict::End(None),
                    OnInterrupt::Retry if task.interruptions > most => {
                        Verdict::End(Some(format!("it was interrupted {} times", task.interruptions)))
                    }
                    OnInterrupt::Retry => Verdict::Again(None),
                }
            }
            State::Succeeded
            | State::Cancelled
            | State::Queued
            | State::Scheduled
            | State::Held
            | State::Waiting
            | State::Running => Verdict::End(None),
        })
    }

    /// Ends a task that has not started, and what waits for it.
    pub(super) fn cancel_unstarted(
        &mut self,
        now: Timestamp,
        before: &Task,
        reason: Option<String>,
    ) -> store::Result<()> {
        if self.cancel_one(now, before, reason)? { self.conclude(now, before.id, State::Cancelled) } else { Ok(()) }
    }

    fn cancel_one(&mut self, now: Timestamp, before: &Task, reason: Option<String>) -> store::Result<bool> {
        let Ok(state) = before.state.after(Trigger::Cancel) else { return Ok(false) };
        let mut after = before.clone();
        after.state = state;
        after.due = None;
        after.cancelling = false;
        after.ended_at = Some(now);
        after.reason.clone_from(&reason);
        self.change(before, &after)?;
        self.retain_later(now);
        self.tell(now, &after, EventKind::Ended { attempt: 0, outcome: None, state, due: None, reason })?;
        Ok(true)
    }

    /// Tells the tasks that waited for `ended`, and those that waited for these, and so on.
    ///
    /// All in the transaction of the end itself: a part left for later would be forgotten in a crash.
    fn conclude(&mut self, now: Timestamp, ended: TaskId, state: State) -> store::Result<()> {
        let mut list = vec![(ended, state)];
        while let Some((on, state)) = list.pop() {
            loop {
                let dependents = self.store.dependents(on, DEPENDENTS_PER_READ)?;
                for &(id, condition) in &dependents {
                    self.dirty = true;
                    let open = self.store.strike_dependency(id, on)?;
                    let Some(task) = self.store.task(id)? else { continue };
                    if let Some(doom) = Doom::of(on, state, condition) {
                        if self.cancel_one(now, &task, Some(doom.to_string()))? {
                            list.push((id, State::Cancelled));
                        }
                    } else if open == 0 && task.state == State::Waiting {
                        self.release(now, &task, task.due.filter(|due| *due > now))?;
                    }
                }
                if dependents.len() < DEPENDENTS_PER_READ {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Lets a task go that nothing but its time holds back.
    pub(super) fn release(&mut self, now: Timestamp, before: &Task, due: Option<Timestamp>) -> store::Result<()> {
        let ready = if due.is_some() { Ready::Later } else { Ready::Now };
        let Ok(state) = before.state.after(Trigger::Release(ready)) else { return Ok(()) };
        let after = Task { state, due, ..before.clone() };
        self.change(before, &after)?;
        self.tell(now, &after, EventKind::Released { state })
    }
}
