//! One thread of the daemon, stopped while all others go on: ptrace(2).

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::libc::{SYS_epoll_pwait, SYS_epoll_wait, SYS_futex, SYS_poll, SYS_ppoll, SYS_restart_syscall};
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::support::eventually;

/// A thread that does nothing until this is dropped, on the thread of the test that stopped it.
pub(super) struct Frozen(Pid);

impl Frozen {
    /// Stops the daemon's thread of that name.
    pub(super) fn thread(daemon: i32, name: &str) -> Self {
        let threads = fs::read_dir(format!("/proc/{daemon}/task")).unwrap().flatten();
        let found = threads
            .map(|thread| thread.path())
            .find(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(|found| found.trim_end() == name));
        let path = found.unwrap_or_else(|| panic!("the daemon has no thread {name}"));
        let thread = Pid::from_raw(path.file_name().unwrap().to_str().unwrap().parse().unwrap());
        eventually("the thread waits for something to do", || {
            if !is_at_rest(&path) {
                return None;
            }
            ptrace::seize(thread, ptrace::Options::empty()).unwrap();
            ptrace::interrupt(thread).unwrap();
            waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
            let frozen = Self(thread);
            is_waiting(&path).then_some(frozen)
        })
    }
}

/// Whether the thread has not moved for a while: one that waits for a lock, and may hold another, soon gets it.
fn is_at_rest(thread: &Path) -> bool {
    let switches = || {
        let status = fs::read_to_string(thread.join("status")).unwrap();
        status.lines().find(|line| line.starts_with("voluntary_ctxt_switches")).map(str::to_owned)
    };
    let before = switches();
    std::thread::sleep(Duration::from_millis(30));
    switches() == before
}

/// Whether the stopped thread was waiting: in the middle of anything else it may hold a lock that all others need, the
/// log's or the allocator's.
fn is_waiting(thread: &Path) -> bool {
    let call = fs::read_to_string(thread.join("syscall")).unwrap();
    let number = call.split(' ').next().and_then(|number| number.parse().ok());
    let waits = [SYS_futex, SYS_epoll_wait, SYS_epoll_pwait, SYS_poll, SYS_ppoll, SYS_restart_syscall];
    number.is_some_and(|number| waits.contains(&number))
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if ptrace::detach(self.0, None).is_err() {
            // It was killed with its process, whose end is told once nobody traces a thread of it any more.
            let _ = waitpid(self.0, Some(WaitPidFlag::__WALL));
        }
    }
}
