//! What runs now.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::sys::cgroup::Group;
use crate::sys::clock::{self, moment};
use crate::sys::family::Stage;
use crate::sys::process::Collected;
use crate::sys::pump::Pump;
use crate::wire::runner::{Cause, End, Ended, Running, Spawn, Usage};

/// An attempt's number in this process; also its token among the events. Never given twice.
pub(super) type Serial = u64;

/// One attempt.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) running: Running,
    pub(super) output: Pump,
    pub(super) stop_signal: i32,
    pub(super) grace_ms: u64,
    pub(super) stage: Stage,
    /// When the next step is due: the timeout, the kill, or the giving up of what even that did not end.
    #[serde(with = "moment::maybe")]
    pub(super) due_at: Option<Instant>,
    pub(super) cause: Cause,
    /// The main process's end, and when that was; what it left may still run.
    pub(super) end: Option<(End, i64)>,
    usage: Usage,
    /// Orphans that are its own and have not been collected.
    pub(super) strays: HashSet<i32>,
    /// Processes seen below it while it was stopped, with their start times.
    pub(super) seen: HashMap<i32, u64>,
    /// What holds all its processes, where the runner was given control groups.
    #[serde(default)]
    pub(super) group: Option<Group>,
}

impl Attempt {
    /// One that has just started.
    pub(super) fn new(spawn: &Spawn, running: Running, output: Pump, group: Option<Group>) -> Self {
        Self {
            running,
            output,
            stop_signal: spawn.stop_signal,
            grace_ms: spawn.grace_ms,
            stage: Stage::Running,
            due_at: spawn.timeout_ms.map(|ms| clock::after(Instant::now(), ms)),
            cause: Cause::Itself,
            end: None,
            usage: Usage::default(),
            strays: HashSet::new(),
            seen: HashMap::new(),
            group,
        }
    }

    /// Its main process, unless that was collected and its number is another's.
    pub(super) fn main(&self) -> Option<i32> {
        self.end.is_none().then_some(self.running.pid)
    }

    /// Whether `child`, which has not been collected before, is its main process or an orphan of its own.
    pub(super) fn owns(&self, child: i32) -> bool {
        self.main() == Some(child) || self.strays.contains(&child)
    }

    /// Notes the end of a process that it owns.
    pub(super) fn collect(&mut self, child: &Collected) {
        self.usage.add(child);
        if self.main() == Some(child.pid) {
            self.end = Some((child.into(), clock::now_us()));
        }
        self.strays.remove(&child.pid);
    }

    /// When its stage asks for the next step.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due_at.filter(|_| self.stage != Stage::Running || self.end.is_none())
    }

    /// Whether its main process has ended, and nothing is left of it but what hangs in the kernel.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let given_up = self.stage == Stage::Killed && self.due_at.is_some_and(|at| at <= now);
        self.end.is_some() && (given_up || self.strays.is_empty())
    }

    /// Its report, once its main process has ended.
    pub(super) fn report(&self) -> Option<Ended> {
        let (end, ended_at_us) = self.end.clone()?;
        let ended = Ended {
            cause: self.cause,
            usage: self.usage,
            output_bytes: self.output.kept,
            dropped_bytes: self.output.dropped,
            ..Ended::new(self.running.key, end, self.running.started_at_us, ended_at_us)
        };
        Some(ended.counted(self.group.as_ref()))
    }
}
