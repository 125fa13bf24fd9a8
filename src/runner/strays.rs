//! Orphans: processes that detached from a task, or outlived it.

use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::serve::Runner;
use crate::sys::cgroup;
use crate::sys::procfs::{self, Process};
use crate::wire::runner::mark::Mark;

/// How long an orphan without an environment is looked at again: it may be executing a program just now.
const DOUBT: Duration = Duration::from_millis(30);

impl Runner {
    /// Looks at the orphans and gives them to their attempts; true where there is one whose owner cannot be
    /// told yet. Without any orphan, which is nearly always, this is one system call.
    pub(super) fn find_strays(&mut self, now: Instant) -> bool {
        let mut unclear = false;
        for pid in self.orphans.list().unwrap_or_default() {
            let strange = self.strangers.get(&pid).is_some_and(|since| now.duration_since(*since) >= DOUBT);
            if strange || self.table.attempts.values().any(|attempt| attempt.owns(pid)) {
                continue;
            }
            // A zombie's SIGCHLD is on its way.
            let Some(process) = procfs::process(pid).ok().filter(|process| !process.zombie) else { continue };
            let environment = procfs::environment(pid).unwrap_or_default();
            if let Some(attempt) = self.owner(&process, &environment) {
                attempt.adopt(pid);
            } else {
                self.strangers.entry(pid).or_insert(now);
                unclear |= environment.is_empty();
            }
        }
        unclear
    }

    fn owner(&mut self, process: &Process, environment: &[u8]) -> Option<&mut Attempt> {
        let place = cgroup::path_of(process.pid).unwrap_or_default();
        let mark = Mark::of(environment).filter(|mark| mark.instance == self.table.instance);
        self.table.attempts.values_mut().find(|attempt| {
            attempt.running.pid == process.group
                || attempt.group.as_ref().is_some_and(|group| group.is_on(&place))
                || attempt.seen.get(&process.pid) == Some(&process.start_ticks)
                || mark.as_ref().is_some_and(|mark| mark.key == attempt.running.key)
        })
    }
}
