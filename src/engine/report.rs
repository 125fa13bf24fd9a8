//! What the runner tells of attempts: they started, they ended.

use std::time::Duration;

use super::Engine;
use super::link::Runner;
use super::outbox::Order;
use super::settle::Interruption;
use super::tally::Run;
use crate::executor::{Cause, End, Executor, ExitStatus, Holds, Report};
use crate::store::{self, Store};
use crate::task::{Attempt, AttemptKey, Outcome, Stop, Task, Timestamp};

/// How long a start may stay unwritten: a short task then costs no commit for it, its end brings it along.
const NOTE_DELAY: Duration = Duration::from_millis(50);

/// A process that started.
pub(super) struct Note {
    pid: i32,
    pid_start: u64,
    started_at: Timestamp,
    write_at: Timestamp,
}

impl Note {
    pub(super) fn process(&self) -> (i32, u64) {
        (self.pid, self.pid_start)
    }
}

impl<S: Store, E: Executor> Engine<S, E> {
    pub(super) fn report(&mut self, now: Timestamp, report: &Report) -> store::Result<()> {
        match report {
            Report::Linked { runner, pid, boot, known } => {
                let runner =
                    Runner { instance: runner.clone(), pid: *pid, boot: boot.clone(), holds: Holds::default() };
                self.linked(now, runner, known)
            }
            Report::Lost { reason } => {
                if self.stopping.is_some() {
                    tracing::debug!(reason, "the runner is gone, as it was told to");
                } else {
                    tracing::warn!(reason, "the runner is gone");
                }
                self.link = self.link.lost(reason, now);
                self.doubt_standby(now)
            }
            Report::Started { key, pid, pid_start, at } => {
                let note = Note { pid: *pid, pid_start: *pid_start, started_at: *at, write_at: now + NOTE_DELAY };
                self.started(*key, note);
                Ok(())
            }
            Report::Holds(holds) => {
                self.link = self.link.holding(holds);
                Ok(())
            }
            Report::Ended { key, end, next } => {
                self.standby.pace(end);
                self.ended(now, *key, end)?;
                next.map_or(Ok(()), |next| self.succeeded_by(now, next))
            }
            Report::Recalled { keys } => self.recalled(now, keys),
            Report::Swept { keys } => keys.iter().try_for_each(|key| self.interrupted(now, *key)),
        }
    }

    fn started(&mut self, key: AttemptKey, note: Note) {
        let Some(open) = self.memory.open.get_mut(&key) else {
            tracing::error!(attempt = %key, "an attempt runs that nobody claimed; it is stopped");
            self.outbox.orders.push(Order::Stop(key, Stop::default()));
            return;
        };
        if open.process.is_none() {
            self.notes.entry(key).or_insert(note);
        }
    }

    /// When the oldest unwritten start is to be written.
    pub(super) fn next_note(&self) -> Option<Timestamp> {
        self.notes.values().map(|note| note.write_at).min()
    }

    /// Writes the starts of what still runs; they ride along with any commit.
    pub(super) fn write_notes(&mut self) -> store::Result<()> {
        for (key, note) in &self.notes {
            if let Some(open) = self.memory.open.get_mut(key) {
                self.store.note_started(*key, note.pid, note.pid_start, note.started_at)?;
                open.process = Some(note.process());
                self.dirty = true;
            }
        }
        Ok(())
    }

    /// An end that is told twice counts once, and is acknowledged twice.
    fn ended(&mut self, now: Timestamp, key: AttemptKey, end: &End) -> store::Result<()> {
        self.outbox.acknowledged.push(key);
        let Some((task, attempt)) = self.open_attempt(key)? else { return Ok(()) };
        let outcome = outcome(end, task.cancelling);
        let attempt = Attempt {
            started_at: end.started_at.or(attempt.started_at),
            ended_at: Some(end.ended_at),
            outcome: Some(outcome.clone()),
            cost: end.cost,
            ..attempt
        };
        self.store.end_attempt(key.task, &attempt)?;
        let took = attempt.started_at.map_or(Duration::ZERO, |started| end.ended_at.since(started));
        self.outbox.runs.push(Run { queue: task.queue.clone(), took, output_bytes: end.cost.output_bytes });
        let interruption = match end.cause {
            Cause::Drained => Interruption::Drained,
            Cause::Itself | Cause::Timeout | Cause::Stopped | Cause::Memory => Interruption::Counts,
        };
        self.settle(now, &task, key, outcome, interruption)
    }

    /// An attempt whose runner is gone, and nothing of it is left. What was told twice may have been claimed again
    /// under the same name, for the runner that tells it.
    fn interrupted(&mut self, now: Timestamp, key: AttemptKey) -> store::Result<()> {
        if self.is_claimed_for_present_runner(key) {
            return Ok(());
        }
        if self.never_began(key) {
            return self.unclaim(now, key);
        }
        let Some((task, attempt)) = self.open_attempt(key)? else { return Ok(()) };
        let outcome = if task.cancelling { Outcome::Cancelled } else { Outcome::Interrupted };
        let attempt = Attempt { ended_at: Some(now), outcome: Some(outcome.clone()), ..attempt };
        self.store.end_attempt(key.task, &attempt)?;
        self.settle(now, &task, key, outcome, Interruption::Counts)
    }

    /// The task and the attempt, with what is known of its start; `None` where it is not open any more.
    fn open_attempt(&mut self, key: AttemptKey) -> store::Result<Option<(Task, Attempt)>> {
        if !self.memory.open.contains_key(&key) {
            return Ok(None);
        }
        let (Some(task), Some(mut attempt)) = (self.store.task(key.task)?, self.store.attempt(key)?) else {
            return Ok(None);
        };
        if let Some(note) = self.notes.get(&key) {
            attempt.pid = attempt.pid.or(Some(note.pid));
            attempt.pid_start = attempt.pid_start.or(Some(note.pid_start));
            attempt.started_at = attempt.started_at.or(Some(note.started_at));
        }
        Ok(Some((task, attempt)))
    }
}

/// What an end means: who ended it decides before what its process came to.
fn outcome(end: &End, cancelling: bool) -> Outcome {
    match (end.cause, &end.status) {
        (Cause::Timeout, _) => Outcome::TimedOut,
        (Cause::Memory, _) => Outcome::OutOfMemory,
        (Cause::Stopped, _) => Outcome::Cancelled,
        (Cause::Drained, _) if cancelling => Outcome::Cancelled,
        (Cause::Drained, _) => Outcome::Interrupted,
        (Cause::Itself, ExitStatus::Exited(code)) => Outcome::Exited { code: *code },
        (Cause::Itself, ExitStatus::Signalled { signal, core_dumped }) => {
            Outcome::Signalled { signal: *signal, core_dumped: *core_dumped }
        }
        (Cause::Itself, ExitStatus::NotStarted { reason, code }) => {
            Outcome::NotStarted { reason: reason.clone(), code: *code }
        }
    }
}
