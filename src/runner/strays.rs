//! Orphans: processes that detached from a task, or outlived it.

use std::time::{Duration, Instant};

use super::attempt::Serial;
use super::serve::Runner;
use crate::sys::procfs::{self, Process};
use crate::wire::runner::{ATTEMPT, INSTANCE, Key, TASK_ID};

/// How long an orphan without an environment is looked at again: it may be executing a program just now.
const DOUBT: Duration = Duration::from_millis(30);

/// Whose an orphan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stray {
    Of(Serial),
    /// Of nobody in the table.
    Stranger,
    /// It cannot be told yet.
    Unclear {
        since: Instant,
    },
}

/// What a look at the orphans found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Those of attempts in the table that were not known before.
    pub(super) new: Vec<(Serial, i32)>,
    /// Whether there are some whose owner cannot be told yet.
    pub(super) unclear: bool,
}

impl Runner {
    /// Looks at the orphans. Without any, which is nearly always, this is one system call.
    pub(super) fn find_strays(&mut self) -> Found {
        let mut found = Found::default();
        for pid in self.orphans.list().unwrap_or_default() {
            let since = match self.strays.get(&pid) {
                Some(Stray::Of(_) | Stray::Stranger) => continue,
                Some(Stray::Unclear { since }) => *since,
                None if self.attempts.values().any(|attempt| attempt.main() == Some(pid)) => continue,
                None => Instant::now(),
            };
            // A zombie's SIGCHLD is on its way.
            let Some(process) = procfs::process(pid).ok().filter(|process| !process.zombie) else { continue };
            let stray = self.owner(&process, since);
            self.strays.insert(pid, stray);
            match stray {
                Stray::Of(serial) => found.new.push((serial, pid)),
                Stray::Unclear { .. } => found.unclear = true,
                Stray::Stranger => {}
            }
        }
        found
    }

    fn owner(&self, process: &Process, since: Instant) -> Stray {
        let related = self.attempts.iter().find(|(_, attempt)| {
            attempt.running.pid == process.group || attempt.seen.get(&process.pid) == Some(&process.start_ticks)
        });
        if let Some((serial, _)) = related {
            return Stray::Of(*serial);
        }
        let environment = procfs::environment(process.pid).unwrap_or_default();
        if environment.is_empty() && since.elapsed() < DOUBT {
            return Stray::Unclear { since };
        }
        let of_ours = procfs::variable(&environment, INSTANCE) == Some(self.instance.as_str());
        let task = procfs::variable(&environment, TASK_ID).and_then(|text| text.parse().ok());
        let attempt = procfs::variable(&environment, ATTEMPT).and_then(|text| text.parse().ok());
        let key = of_ours.then_some(()).and(task).zip(attempt).map(|(task, attempt)| Key { task, attempt });
        key.and_then(|key| self.find(key)).map_or(Stray::Stranger, Stray::Of)
    }
}
