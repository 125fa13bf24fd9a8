//! What a dead runner left behind: found, asked to end, killed.

use std::collections::HashSet;
use std::time::Instant;

use super::serve::{Runner, SWEEP};
use super::stop::AFTER_KILL;
use crate::sys::clock;
use crate::sys::pidfd::Held;
use crate::sys::procfs::{Process, Snapshot};
use crate::wire::runner::mark::Mark;
use crate::wire::runner::{FromRunner, Sweep};

/// A sweep under way.
#[derive(Debug)]
pub(super) struct Sweeping {
    pub(super) sweep: Sweep,
    held: Held,
    killed: bool,
    pub(super) next_step_at: Instant,
}

impl Runner {
    /// Begins to end what `sweep` names; a sweep under way becomes part of it.
    pub(super) fn sweep(&mut self, mut sweep: Sweep) {
        let now = Instant::now();
        sweep.leftovers.extend(self.sweeping.take().into_iter().flat_map(|before| before.sweep.leftovers));
        let next_step_at = clock::after(now, sweep.grace_ms);
        let mut sweeping = Sweeping { sweep, held: Held::default(), killed: false, next_step_at };
        self.hold(&mut sweeping, &[libc::SIGTERM, libc::SIGCONT]);
        self.sweeping = Some(sweeping);
        self.sweep_on(now);
    }

    /// Looks how far the sweep is.
    pub(super) fn sweep_on(&mut self, now: Instant) {
        let Some(mut sweeping) = self.sweeping.take() else { return };
        if sweeping.held.are_gone() {
            // What was started between the look and the end has had its warning.
            self.hold(&mut sweeping, &[libc::SIGKILL]);
        }
        let due = sweeping.next_step_at <= now;
        if sweeping.held.are_gone() || (due && sweeping.killed) {
            self.table.tree.iter().for_each(|tree| tree.clear(&self.groups()));
            // What SIGKILL does not end hangs in the kernel.
            let survivors = sweeping.held.pids();
            let keys = sweeping.sweep.leftovers.iter().map(|left| left.key).collect();
            return self.say(FromRunner::Swept { keys, survivors });
        }
        if due {
            sweeping.held.send(libc::SIGKILL);
            sweeping.killed = true;
            sweeping.next_step_at = now + AFTER_KILL;
        }
        self.sweeping = Some(sweeping);
    }

    /// Takes hold of what is left, signals it, and has its end watched.
    fn hold(&self, sweeping: &mut Sweeping, signals: &[i32]) {
        sweeping.held.take(&self.leftovers(&sweeping.sweep), |held| self.events.add(held, SWEEP).is_ok());
        signals.iter().for_each(|wanted| sweeping.held.send(*wanted));
    }

    /// The names of its attempts' control groups.
    fn groups(&self) -> HashSet<&str> {
        self.table.attempts.values().filter_map(|attempt| Some(attempt.group.as_ref()?.name())).collect()
    }

    /// Processes that are named by number and start time, those in their groups and in control groups that were left,
    /// those that carry this daemon's mark, and all below; never this runner, its children or the daemon.
    fn leftovers(&self, sweep: &Sweep) -> Vec<Process> {
        let all = Snapshot::take().unwrap_or_default();
        let processes = sweep.leftovers.iter().filter_map(|left| left.process);
        let grouped = self.table.tree.iter().flat_map(|tree| tree.strangers(&self.groups()));
        let named: HashSet<i32> =
            processes.filter(|(pid, start)| all.holds(*pid, *start)).map(|(pid, _)| pid).chain(grouped).collect();
        let me = i32::try_from(std::process::id()).unwrap_or_default();
        let spared: HashSet<i32> = self.link.iter().map(|link| link.peer.pid).chain([me, 1]).collect();
        all.left_of(&named, me, &spared, |pid| Mark::is_on(pid, &self.table.instance))
    }
}
