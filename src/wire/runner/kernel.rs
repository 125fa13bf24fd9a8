//! The kernel's words turned into messages, and back.

use super::{End, Fault, Limits, Usage};
use crate::sys::process::{Collected, Exit, Limit, Resource, StartError, Step};

impl From<Exit> for End {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Exited { code },
            Exit::Signal { number, core_dumped } => Self::Signalled { signal: number, core_dumped },
        }
    }
}

impl End {
    /// That of an attempt whose command never ran, for want of `subject` where it is one.
    #[must_use]
    pub fn not_started(error: StartError, subject: &[u8]) -> Self {
        Self::NotStarted { fault: error.into(), errno: error.errno, subject: subject.to_vec() }
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
}

impl Usage {
    /// Adds what one more process used.
    pub fn add(&mut self, process: &Collected) {
        self.user_us = self.user_us.saturating_add(process.user_us);
        self.system_us = self.system_us.saturating_add(process.system_us);
        self.max_rss_bytes = self.max_rss_bytes.max(process.max_rss_bytes);
    }
}
