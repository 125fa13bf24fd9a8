//! Orphans: processes that detached from a task, or outlived it.

use super::attempt::Serial;
use super::serve::Runner;
use crate::sys::procfs::{self, Process};
use crate::wire::runner::{ATTEMPT, INSTANCE, Key, TASK_ID};

/// What a look at the orphans found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Those not known before that belong to an attempt in the table.
    pub(super) new: Vec<(Serial, i32)>,
    /// Whether there are some whose owner cannot be told yet.
    pub(super) undecided: bool,
}

enum Owner {
    Attempt(Serial),
    Nobody,
    NotYet,
}

impl Runner {
    /// Looks at the orphans. Without any, which is nearly always, this is one system call.
    pub(super) fn find_strays(&mut self) -> Found {
        let mut found = Found::default();
        for pid in self.orphans.list().unwrap_or_default() {
            if self.strays.contains_key(&pid) || self.attempts.values().any(|attempt| attempt.main() == Some(pid)) {
                continue;
            }
            // A zombie's SIGCHLD is on its way.
            let Some(process) = procfs::process(pid).ok().filter(|process| !process.zombie) else { continue };
            match self.owner(&process) {
                Owner::Attempt(serial) => {
                    self.strays.insert(pid, Some(serial));
                    found.new.push((serial, pid));
                }
                Owner::Nobody => {
                    self.strays.insert(pid, None);
                }
                Owner::NotYet => found.undecided = true,
            }
        }
        found
    }

    fn owner(&self, process: &Process) -> Owner {
        let related = self.attempts.iter().find(|(_, attempt)| {
            attempt.running.pid == process.group || attempt.seen.get(&process.pid) == Some(&process.start_ticks)
        });
        if let Some((serial, _)) = related {
            return Owner::Attempt(*serial);
        }
        let environment = procfs::environment(process.pid).unwrap_or_default();
        if environment.is_empty() {
            return Owner::NotYet;
        }
        let of_ours = procfs::variable(&environment, INSTANCE) == Some(self.instance.as_str());
        let task = procfs::variable(&environment, TASK_ID).and_then(|text| text.parse().ok());
        let attempt = procfs::variable(&environment, ATTEMPT).and_then(|text| text.parse().ok());
        match (of_ours, task, attempt) {
            (true, Some(task), Some(attempt)) => self.find(Key { task, attempt }).map_or(Owner::Nobody, Owner::Attempt),
            _ => Owner::Nobody,
        }
    }
}
