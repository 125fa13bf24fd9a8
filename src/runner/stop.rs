//! The end of an attempt at somebody's wish: asked first, killed after its grace.

use std::time::{Duration, Instant};

use super::attempt::Attempt;
use crate::sys::family::{self, Stage};
use crate::sys::{clock, signal};
use crate::wire::runner::Cause;

/// How long after SIGKILL the next look follows; what hangs in the kernel then is given up.
pub(super) const AFTER_KILL: Duration = Duration::from_secs(5);

impl Attempt {
    /// Asks all its processes to end, by `wanted`, and has them killed after the grace. Asked again, the
    /// shorter grace counts, and the first cause.
    pub(super) fn stop(&mut self, cause: Cause, wanted: i32, grace_ms: u64) {
        if self.end.is_none() && self.cause == Cause::Itself {
            self.cause = cause;
        }
        let mut kill_at = clock::after(Instant::now(), grace_ms);
        match self.stage {
            Stage::Killed => return,
            Stage::Stopping { .. } => kill_at = self.due_at.map_or(kill_at, |before| before.min(kill_at)),
            Stage::Running => {}
        }
        if wanted == libc::SIGKILL || grace_ms == 0 {
            return self.kill();
        }
        (self.stage, self.due_at) = (Stage::Stopping { signal: wanted }, Some(kill_at));
        self.signal_all();
    }

    /// Stops it by its own signal, with its own grace.
    pub(super) fn stop_its_way(&mut self, cause: Cause) {
        self.stop(cause, self.stop_signal, self.grace_ms);
    }

    /// Kills all its processes.
    pub(super) fn kill(&mut self) {
        (self.stage, self.due_at) = (Stage::Killed, Some(Instant::now() + AFTER_KILL));
        self.signal_all();
    }

    /// Does what its stage asks for by now.
    pub(super) fn press(&mut self, now: Instant) {
        let due = self.due().is_some_and(|at| at <= now);
        match self.stage {
            Stage::Running if due => self.stop_its_way(Cause::Timeout),
            Stage::Running if self.end.is_some() && !self.strays.is_empty() => self.stop_its_way(Cause::Itself),
            Stage::Stopping { .. } if due => self.kill(),
            // What only its orphans hold up is over now; a main process is waited for.
            Stage::Killed if due && self.end.is_none() => self.kill(),
            Stage::Running | Stage::Stopping { .. } | Stage::Killed => {}
        }
    }

    /// Takes an orphan for its own, and tells it what its other processes were told.
    pub(super) fn adopt(&mut self, pid: i32) {
        self.strays.insert(pid);
        for wanted in self.stage.signals() {
            // It may end at this very moment.
            let _ = signal::send(pid, wanted);
        }
    }

    /// Signals all its processes.
    fn signal_all(&mut self) {
        let below = family::send(self.main(), &self.strays, self.group.as_ref(), self.stage);
        // When their parents die they become orphans: then they are known, whatever their environment says.
        self.seen.extend(below.iter().map(|process| (process.pid, process.start_ticks)));
    }
}
