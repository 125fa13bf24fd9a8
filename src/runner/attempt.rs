//! What runs now.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::output::Output;
use crate::wire::runner::{Cause, End, Ended, Running, Spawn, Usage};

/// An attempt's number in this process; also its token among the events. Never given twice.
pub(super) type Serial = u64;

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
    pub(super) grace: Duration,
    timeout_at: Option<Instant>,
    pub(super) stage: Stage,
    pub(super) cause: Cause,
    /// The main process's end, and when that was; what it left may still run.
    pub(super) end: Option<(End, i64)>,
    pub(super) usage: Usage,
    /// Processes seen below it while it was stopped, with their start times.
    pub(super) seen: HashMap<i32, u64>,
    /// When its end is due that was put off because an orphan's owner could not be told yet.
    pub(super) look_again_at: Option<Instant>,
}

impl Attempt {
    /// One that has started just `now`.
    pub(super) fn new(spawn: &Spawn, running: Running, output: Output, now: Instant) -> Self {
        Self {
            running,
            output,
            stop_signal: spawn.stop_signal,
            grace: Duration::from_millis(spawn.grace_ms),
            timeout_at: spawn.timeout_ms.and_then(|ms| now.checked_add(Duration::from_millis(ms))),
            stage: Stage::Running,
            cause: Cause::Itself,
            end: None,
            usage: Usage::default(),
            seen: HashMap::new(),
            look_again_at: None,
        }
    }

    /// Its main process, unless that was collected and its number is another's.
    pub(super) fn main(&self) -> Option<i32> {
        self.end.is_none().then_some(self.running.pid)
    }

    /// When its stage asks for the next step.
    pub(super) fn step_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Running => self.timeout_at.filter(|_| self.end.is_none()),
            Stage::Stopping { kill_at, .. } => Some(kill_at),
            Stage::Killed { give_up_at } => Some(give_up_at),
        }
    }

    /// When it is to be looked at next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.step_at().into_iter().chain(self.look_again_at).min()
    }

    /// Its report, once its main process has ended.
    pub(super) fn report(self) -> Option<Ended> {
        let (end, ended_at_us) = self.end?;
        Some(Ended {
            key: self.running.key,
            end,
            cause: self.cause,
            started_at_us: self.running.started_at_us,
            ended_at_us,
            usage: self.usage,
            output_bytes: self.output.kept,
            dropped_bytes: self.output.dropped,
        })
    }
}
