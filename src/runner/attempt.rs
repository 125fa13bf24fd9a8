//! The table: what runs now.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::output::Output;
use crate::wire::runner::{Cause, End, Ended, Key, Running, Spawn, Usage};

/// An attempt's number in this process; also its token among the events. Never given twice.
pub(super) type Serial = u64;

/// The first serial; smaller tokens are the runner's own descriptors.
pub(super) const FIRST: Serial = 16;

/// How far the end of an attempt has been pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Not at all.
    Running,
    /// Asked by `signal`.
    Stopping { signal: i32, kill_at: Instant },
    /// Killed; what even that does not end by then is given up.
    Killed { give_up_at: Instant },
}

/// One attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) running: Running,
    pub(super) output: Output,
    pub(super) stop_signal: i32,
    pub(super) grace_ms: u64,
    pub(super) timeout_at: Option<Instant>,
    pub(super) stage: Stage,
    pub(super) cause: Cause,
    /// The main process's end, and when that was; what it left may still run.
    pub(super) end: Option<(End, i64)>,
    pub(super) usage: Usage,
    /// Processes seen below it while it was stopped, with their start times.
    pub(super) seen: HashMap<i32, u64>,
    /// How often its end was put off because an orphan's owner could not be told yet.
    pub(super) doubts: u8,
    /// When it is looked at next.
    pub(super) deadline: Option<Instant>,
}

impl Attempt {
    /// One that has started just `now`.
    pub(super) fn new(spawn: &Spawn, running: Running, output: Output, now: Instant) -> Self {
        Self {
            running,
            output,
            stop_signal: spawn.stop_signal,
            grace_ms: spawn.grace_ms,
            timeout_at: spawn.timeout_ms.and_then(|ms| now.checked_add(Duration::from_millis(ms))),
            stage: Stage::Running,
            cause: Cause::Itself,
            end: None,
            usage: Usage::default(),
            seen: HashMap::new(),
            doubts: 0,
            deadline: None,
        }
    }

    /// The report of an attempt whose main process has ended as `end` at `ended_at_us`.
    pub(super) fn report(&self, end: End, ended_at_us: i64) -> Ended {
        Ended {
            key: self.running.key,
            end,
            cause: self.cause,
            started_at_us: self.running.started_at_us,
            ended_at_us,
            usage: self.usage,
            output_bytes: self.output.kept,
            dropped_bytes: self.output.dropped,
        }
    }

    /// When its stage asks for the next step.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Running => self.timeout_at.filter(|_| self.end.is_none()),
            Stage::Stopping { kill_at, .. } => Some(kill_at),
            Stage::Killed { give_up_at } => Some(give_up_at),
        }
    }
}

/// All attempts, found by serial, by key and by main process.
#[derive(Debug, Default)]
pub(super) struct Table {
    attempts: HashMap<Serial, Attempt>,
    keys: HashMap<Key, Serial>,
    /// Main processes that have not been collected.
    pids: HashMap<i32, Serial>,
    deadlines: BTreeSet<(Instant, Serial)>,
    inserted: u64,
}

impl Table {
    /// The serial of the attempt that is inserted next.
    pub(super) fn next_serial(&self) -> Serial {
        FIRST + self.inserted
    }

    /// Inserts an attempt, to be looked at when it is due.
    pub(super) fn insert(&mut self, attempt: Attempt) {
        let (serial, due) = (self.next_serial(), attempt.due());
        self.inserted += 1;
        self.keys.insert(attempt.running.key, serial);
        self.pids.insert(attempt.running.pid, serial);
        self.attempts.insert(serial, attempt);
        self.look_at(serial, due);
    }

    pub(super) fn remove(&mut self, serial: Serial) -> Option<Attempt> {
        self.look_at(serial, None);
        let attempt = self.attempts.remove(&serial)?;
        self.keys.remove(&attempt.running.key);
        Some(attempt)
    }

    pub(super) fn get_mut(&mut self, serial: Serial) -> Option<&mut Attempt> {
        self.attempts.get_mut(&serial)
    }

    pub(super) fn serial(&self, key: Key) -> Option<Serial> {
        self.keys.get(&key).copied()
    }

    pub(super) fn serials(&self) -> Vec<Serial> {
        self.attempts.keys().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Serial, &Attempt)> {
        self.attempts.iter().map(|(serial, attempt)| (*serial, attempt))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    pub(super) fn is_main(&self, pid: i32) -> bool {
        self.pids.contains_key(&pid)
    }

    /// Forgets that `pid` is a main process: it has been collected.
    pub(super) fn collected(&mut self, pid: i32) -> Option<Serial> {
        self.pids.remove(&pid)
    }

    /// Has `serial` looked at, at `at` and no other time.
    pub(super) fn look_at(&mut self, serial: Serial, at: Option<Instant>) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        if let Some(before) = std::mem::replace(&mut attempt.deadline, at) {
            self.deadlines.remove(&(before, serial));
        }
        self.deadlines.extend(at.map(|at| (at, serial)));
    }

    /// The next moment at which an attempt wants to be looked at.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Takes one whose moment has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Serial> {
        let (_, serial) = self.deadlines.first().copied().filter(|(at, _)| *at <= now)?;
        self.look_at(serial, None);
        Some(serial)
    }
}
