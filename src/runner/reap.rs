//! The end of processes: main ones, and what they left.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::attempt::Attempt;
use super::serve::Runner;
use crate::sys::{cgroup, process};
use crate::wire::runner::{Ended, FromRunner};

/// How long until the next look at an orphan whose owner cannot be told yet.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Runner {
    /// Collects all that have ended, and settles what this ends.
    pub(super) fn reap(&mut self) {
        while let Ok(Some(child)) = process::collect() {
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

    /// Keeps an end until it is acknowledged, and tells it.
    pub(super) fn keep(&mut self, ended: Ended) {
        self.table.ended.insert(ended.key, ended.clone());
        self.say(FromRunner::Ended(ended));
    }
}
