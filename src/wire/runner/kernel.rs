//! The kernel's words turned into messages, and back.

use std::io;

use super::{Cause, End, Ended, Fault, Limits, Usage};
use crate::sys::cgroup::{Ceilings, Group, Tree};
use crate::sys::fd::OpenFiles;
use crate::sys::process::{Collected, Exit, Limit, Resource, StartError, Step};

impl From<&Collected> for End {
    fn from(child: &Collected) -> Self {
        match (&child.failure, child.exit) {
            (Some(failure), _) => Self::not_started(failure.error, &failure.subject),
            (None, Exit::Code(code)) => Self::Exited { code },
            (None, Exit::Signal { number, core_dumped }) => Self::Signalled { signal: number, core_dumped },
        }
    }
}

impl End {
    /// That of an attempt whose command never ran, for want of `subject` where it is one.
    #[must_use]
    pub fn not_started(error: StartError, subject: &[u8]) -> Self {
        Self::NotStarted { fault: error.into(), errno: error.errno, subject: subject.to_vec() }
    }

    /// That of an attempt for which the runner has no descriptors left.
    #[must_use]
    pub fn exhausted(error: io::Error) -> Self {
        Self::not_started(StartError { step: Step::Descriptors, errno: error.raw_os_error().unwrap_or(0) }, b"")
    }
}

/// What the failed step means to whoever wrote the command.
impl From<StartError> for Fault {
    fn from(error: StartError) -> Self {
        match (error.step, error.errno) {
            (Step::Fork | Step::Enter | Step::Group | Step::Descriptors | Step::Domain, _)
            | (Step::Execute, libc::ENOMEM | libc::EAGAIN | libc::EMFILE | libc::ENFILE) => Self::NoResources,
            (Step::Strings, _) | (Step::Execute, libc::E2BIG) => Self::BadArguments,
            (Step::Limit, _) => Self::LimitRefused,
            (Step::Nice, _) => Self::NiceRefused,
            (Step::Directory, libc::EACCES | libc::EPERM) => Self::DirectoryForbidden,
            (Step::Directory, libc::ENOTDIR) => Self::DirectoryIsFile,
            (Step::Directory, _) => Self::DirectoryGone,
            (Step::Search, _) => Self::CommandNotFound,
            (Step::Execute, libc::EISDIR) => Self::CommandIsDirectory,
            (Step::Execute, libc::ENOENT | libc::ENOTDIR) => Self::NoInterpreter,
            (Step::Execute, libc::ENOEXEC | libc::EINVAL | libc::ELIBBAD) => Self::NotAProgram,
            (Step::Execute, _) => Self::CommandForbidden,
        }
    }
}

impl Limits {
    /// Those that are set, for the kernel.
    pub fn iter(&self) -> impl Iterator<Item = Limit> {
        let all = [
            (Resource::Cpu, self.cpu_seconds),
            (Resource::Memory, self.memory_bytes),
            (Resource::OpenFiles, self.open_files),
            (Resource::Processes, self.processes),
            (Resource::FileSize, self.file_bytes),
        ];
        all.into_iter().filter_map(|(resource, value)| Some(Limit::new(resource, value?)))
    }

    /// Those of each process, started by one that raised its own soft limit from `open_files`: programs that use select(2)
    /// must not inherit that.
    #[must_use]
    pub fn of_process(&self, open_files: OpenFiles) -> Vec<Limit> {
        let lowered = self.open_files.is_none().then(|| Limit::of_open_files(open_files));
        self.iter().chain(lowered).collect()
    }

    /// What a control group of `tree` sees to for all processes together, and what is left for each.
    #[must_use]
    pub fn divided(mut self, tree: Option<&Tree>, nice: i32) -> (Ceilings, Self) {
        let Some(tree) = tree else { return (Ceilings::default(), self) };
        let memory_bytes = self.memory_bytes.take_if(|_| tree.limits("memory"));
        let processes = self.processes.take_if(|_| tree.limits("pids"));
        (Ceilings { memory_bytes, processes, nice }, self)
    }
}

impl Ended {
    /// This end, with what the kernel counted in its control group, where there is one.
    #[must_use]
    pub fn counted(mut self, group: Option<&Group>) -> Self {
        let Some(used) = group.map(Group::used) else { return self };
        if self.cause == Cause::Itself && used.killed > 0 && self.end != (End::Exited { code: 0 }) {
            self.cause = Cause::Memory;
        }
        let max_rss_bytes = used.peak_bytes.unwrap_or(self.usage.max_rss_bytes);
        self.usage = Usage { user_us: used.user_us, system_us: used.system_us, max_rss_bytes };
        self
    }
}

impl Usage {
    /// Adds what one more process used.
    pub fn add(&mut self, process: &Collected) {
        self.user_us = self.user_us.saturating_add(process.user_us);
        self.system_us = self.system_us.saturating_add(process.system_us);
        self.max_rss_bytes = self.max_rss_bytes.max(process.max_rss_bytes);
    }
}
