//! All processes of one program, wherever they went.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::cgroup::Group;
use super::procfs::{self, Process};
use super::{pidfd, signal};

/// How far the end of them has been pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Not at all.
    Running,
    /// Asked to end.
    Stopping {
        /// By which signal.
        signal: i32,
    },
    /// Killed.
    Killed,
}

impl Stage {
    /// What they are told, one after the other.
    #[must_use]
    pub fn signals(self) -> Vec<i32> {
        match self {
            Self::Running => Vec::new(),
            // One that is stopped (SIGSTOP) takes no signal but this, and then the other that waits for it.
            Self::Stopping { signal } => vec![signal, libc::SIGCONT],
            Self::Killed => vec![libc::SIGKILL],
        }
    }
}

/// Sends what `stage` asks for to the process group that `main` leads, to `orphans`, to all that is below either,
/// and to all in the control group, where there is one. That one of them has ended meanwhile is no fault.
///
/// Returns those that neither lead nor are orphans: when their parents die they become orphans, and are known again.
pub fn send(main: Option<i32>, orphans: &HashSet<i32>, group: Option<&Group>, stage: Stage) -> Vec<Process> {
    let below: Vec<Process> = match group.map(Group::processes) {
        Some(Ok(all)) => all.into_iter().filter_map(|pid| procfs::process(pid).ok()).collect(),
        Some(Err(_)) | None => main.iter().chain(orphans).flat_map(|root| procfs::descendants(*root)).collect(),
    };
    for wanted in &stage.signals() {
        if let Some(group) = group.filter(|_| *wanted == libc::SIGKILL) {
            // This one also takes what is being forked.
            let _ = group.kill();
        }
        if let Some(main) = main {
            // The main process may have moved itself into a group of another.
            let _ = signal::send_group(main, *wanted).or_else(|_| signal::send(main, *wanted));
        }
        for orphan in orphans {
            let _ = signal::send(*orphan, *wanted);
        }
        let rest = below.iter().filter(|process| Some(process.group) != main && !orphans.contains(&process.pid));
        for process in rest.filter(|process| Some(process.pid) != main) {
            let held = pidfd::hold(process.pid, process.start_ticks);
            let _ = held.and_then(|held| pidfd::send_signal(held, *wanted));
        }
    }
    below
}
