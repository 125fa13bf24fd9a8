//! The end of processes: main ones, and what they left.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::attempt::{Serial, Stage};
use super::serve::Runner;
use super::strays::Stray;
use crate::sys::clock;
use crate::sys::process::{self, Collected, Exit};
use crate::wire::runner::{Cause, End, Ended, FromRunner, Usage};

/// How long until the next look at an orphan whose owner cannot be told yet.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Runner {
    /// Collects all that have ended, and finishes the attempts that this ends.
    pub(super) fn reap(&mut self) {
        let mut touched = BTreeSet::new();
        while let Ok(Some(child)) = process::collect() {
            let main = self.attempts.iter().find(|(_, attempt)| attempt.main() == Some(child.pid));
            let serial = match (main, self.strays.remove(&child.pid)) {
                (Some((serial, _)), _) => *serial,
                (None, Some(Stray::Of(serial))) => serial,
                (None, Some(Stray::Stranger | Stray::Unclear { .. }) | None) => continue,
            };
            let Some(attempt) = self.attempts.get_mut(&serial) else { continue };
            attempt.usage = sum(attempt.usage, child);
            if attempt.main() == Some(child.pid) {
                attempt.end = Some((end(child.exit), clock::now_us()));
            }
            touched.insert(serial);
        }
        self.look_for_strays(touched);
    }

    /// Looks at the orphans, then finishes or presses on with `touched` attempts and those that own a new one.
    fn look_for_strays(&mut self, mut touched: BTreeSet<Serial>) {
        let found = self.find_strays();
        for (serial, pid) in &found.new {
            self.greet_stray(*serial, *pid);
            touched.insert(*serial);
        }
        for serial in touched {
            self.settle(serial, found.unclear);
        }
    }

    /// Finishes an attempt whose main process has ended, once nothing is left of it.
    fn settle(&mut self, serial: Serial, unclear: bool) {
        let remains = self.strays.values().any(|stray| *stray == Stray::Of(serial));
        let Some(attempt) = self.attempts.get_mut(&serial).filter(|attempt| attempt.end.is_some()) else { return };
        if !remains && unclear {
            attempt.look_again_at = Some(Instant::now() + LOOK_AGAIN);
        } else if !remains {
            self.finish(serial);
        } else if attempt.stage == Stage::Running {
            self.stop_its_way(serial, Cause::Itself);
        }
    }

    /// Does the next step of an attempt whose deadline has come.
    pub(super) fn press(&mut self, serial: Serial, now: Instant) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        attempt.look_again_at = None;
        let (ended, due) = (attempt.end.is_some(), attempt.step_at().is_some_and(|at| at <= now));
        match attempt.stage {
            Stage::Running if due => self.stop_its_way(serial, Cause::Timeout),
            Stage::Stopping { .. } if due => self.kill(serial),
            // What SIGKILL does not end hangs in the kernel: it cannot be waited for.
            Stage::Killed { .. } if due && ended => self.finish(serial),
            Stage::Killed { .. } if due => self.kill(serial),
            Stage::Running | Stage::Stopping { .. } | Stage::Killed { .. } => {
                self.look_for_strays(BTreeSet::from([serial]));
            }
        }
    }

    /// Keeps an end until it is acknowledged, and tells it.
    pub(super) fn settle_end(&mut self, ended: Ended) {
        self.ended.insert(ended.key, ended.clone());
        self.say(FromRunner::Ended(ended));
    }

    /// Closes the books of an attempt that has ended.
    pub(super) fn finish(&mut self, serial: Serial) {
        let Some(mut attempt) = self.attempts.remove(&serial) else { return };
        attempt.output.finish(self.null.as_fd());
        for stray in self.strays.values_mut().filter(|stray| **stray == Stray::Of(serial)) {
            *stray = Stray::Stranger;
        }
        if let Some(ended) = attempt.report() {
            self.settle_end(ended);
        }
    }
}

fn end(exit: Exit) -> End {
    match exit {
        Exit::Code(code) => End::Exited { code },
        Exit::Signal { number, core_dumped } => End::Signalled { signal: number, core_dumped },
    }
}

fn sum(usage: Usage, child: Collected) -> Usage {
    Usage {
        user_us: usage.user_us.saturating_add(child.user_us),
        system_us: usage.system_us.saturating_add(child.system_us),
        max_rss_bytes: usage.max_rss_bytes.max(child.max_rss_bytes),
    }
}
