//! The end of processes: main ones, what they left, and what detached from them.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::serve::Runner;
use crate::sys::cgroup;
use crate::sys::procfs::{self, Process};
use crate::wire::runner::mark::Mark;
use crate::wire::runner::{Ended, FromRunner};

/// How long until the next look at what cannot be told yet: an orphan's owner, or whether a start is over.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long an orphan without an environment is looked at again: it may be executing a program just now.
const DOUBT: Duration = Duration::from_millis(30);

impl Runner {
    /// Collects all that have ended, and settles what this ends.
    pub(super) fn reap(&mut self) {
        while let Ok(Some(child)) = self.starter.collect() {
            self.strangers.remove(&child.pid);
            if let Some(attempt) = self.table.attempts.values_mut().find(|attempt| attempt.owns(child.pid)) {
                attempt.collect(&child);
            }
        }
        self.settle(Instant::now());
    }

    /// Takes every attempt a step further, and closes the books of those that are over.
    pub(super) fn settle(&mut self, now: Instant) {
        let unclear = self.find_strays(now);
        self.look_again_at = unclear.then(|| now + LOOK_AGAIN);
        self.table.attempts.values_mut().for_each(|attempt| attempt.press(now));
        // An orphan that cannot be told yet may be any one's.
        let over = self.table.attempts.extract_if(|_, attempt| !unclear && attempt.is_over(now));
        for (_, attempt) in over.collect::<Vec<_>>() {
            self.finish(attempt, now);
        }
    }

    fn finish(&mut self, mut attempt: Attempt, now: Instant) {
        attempt.output.finish(self.null.as_fd(), &self.events);
        self.strangers.extend(attempt.strays.drain().map(|pid| (pid, now)));
        if let Some(ended) = attempt.report() {
            self.keep(ended);
        }
        cgroup::remove(self.table.tree.as_ref(), attempt.group.as_ref());
    }

    /// Keeps an end until it is acknowledged, and tells it; what stands by starts in the place of what succeeded.
    pub(super) fn keep(&mut self, ended: Ended) {
        self.table.ended.insert(ended.key, ended.clone());
        if ended.is_success() {
            return self.succeed(ended);
        }
        self.say(FromRunner::Ended(ended));
        self.recall();
    }

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
