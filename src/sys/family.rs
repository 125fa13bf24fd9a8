//! All processes of one program, wherever they went.

use std::collections::HashSet;

use super::cgroup::Group;
use super::procfs::{self, Process};
use super::{pidfd, signal};

/// Sends `signals`, one after the other, to the process group that `main` leads, to `orphans`, to all that is below either,
/// and to all in the control group, where there is one. That one of them has ended meanwhile is no fault.
///
/// Returns those that neither lead nor are orphans: when their parents die they become orphans, and are known again.
pub fn send(main: Option<i32>, orphans: &HashSet<i32>, group: Option<&Group>, signals: &[i32]) -> Vec<Process> {
    let below: Vec<Process> = match group.map(Group::processes) {
        Some(Ok(all)) => all.into_iter().filter_map(|pid| procfs::process(pid).ok()).collect(),
        Some(Err(_)) | None => main.iter().chain(orphans).flat_map(|root| procfs::descendants(*root)).collect(),
    };
    for wanted in signals {
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
