//! One thread of the daemon, stopped while all others go on: ptrace(2).

use std::fs;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

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
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Self(thread)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if ptrace::detach(self.0, None).is_err() {
            // It was killed with its process, whose end is told once nobody traces a thread of it any more.
            let _ = waitpid(self.0, Some(WaitPidFlag::__WALL));
        }
    }
}
