//! The start of an attempt.

use std::ffi::{CString, NulError, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Instant;

use super::attempt::Attempt;
use super::leave::Leaving;
use super::output::Output;
use super::serve::Runner;
use crate::sys::process::{self, Limit, Program, Resource, StartError, Step};
use crate::sys::{clock, fd};
use crate::wire::runner::{
    ATTEMPT, Cause, End, Ended, Fault, FromRunner, INSTANCE, Limits, Running, Spawn, TASK_ID, Usage,
};

/// Where commands are looked for by a task without PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

impl Runner {
    /// Starts an attempt, unless it is known.
    pub(super) fn spawn(&mut self, spawn: &Spawn, descriptors: Vec<OwnedFd>) {
        // While it leaves it starts nothing: whoever runs next will be asked again.
        let leaves = matches!(self.leaving, Leaving::Terminated { .. });
        if leaves || self.find(spawn.key).is_some() || self.ended.contains_key(&spawn.key) {
            return;
        }
        let started_at_us = clock::now_us();
        match self.start(spawn, descriptors, started_at_us) {
            Ok(running) => self.say(FromRunner::Started(running)),
            Err(end) => self.settle_end(Ended {
                key: spawn.key,
                end,
                cause: Cause::Itself,
                started_at_us,
                ended_at_us: clock::now_us(),
                usage: Usage::default(),
                output_bytes: 0,
                dropped_bytes: 0,
            }),
        }
    }

    fn start(&mut self, spawn: &Spawn, descriptors: Vec<OwnedFd>, started_at_us: i64) -> Result<Running, End> {
        let missing = || exhausted(io::Error::from_raw_os_error(libc::EBADF));
        let mut descriptors = descriptors.into_iter();
        let file = descriptors.next().ok_or_else(missing)?;
        let input = if spawn.has_input { Some(descriptors.next().ok_or_else(missing)?) } else { None };
        let (pipe, writer) = fd::pipe().map_err(exhausted)?;
        self.watch(&pipe, self.next_serial).map_err(exhausted)?;

        let nul = |_| not_started(Fault::BadArguments, libc::EINVAL, b"");
        let name = spawn.arguments.first().map_or(&b""[..], Vec::as_slice);
        let path = spawn.environment.iter().find(|(name, _)| name == b"PATH").map_or(DEFAULT_PATH, |(_, path)| path);
        let candidates = strings(process::search(name, path).into_iter()).map_err(nul)?;
        let program = Program {
            candidates: &candidates,
            arguments: &strings(spawn.arguments.iter().cloned()).map_err(nul)?,
            environment: &strings(environment(spawn, &self.instance)).map_err(nul)?,
            directory: &CString::new(spawn.directory.as_slice()).map_err(nul)?,
            umask: spawn.umask,
            nice: spawn.nice,
            limits: &limits(&spawn.limits, self.open_files),
            input: input.as_ref().unwrap_or(&self.null).as_fd(),
            output: writer.as_fd(),
        };
        let started = self.starter.start(&program).map_err(|error| {
            let subject = if error.step == Step::Directory { &spawn.directory } else { name };
            not_started(fault(spawn, error, &candidates), error.errno, subject)
        })?;

        let running = Running { key: spawn.key, pid: started.pid, start_ticks: started.start_ticks, started_at_us };
        let output = Output::new(pipe, file, spawn.output_cap_bytes);
        self.attempts.insert(self.next_serial, Attempt::new(spawn, running, output, Instant::now()));
        self.next_serial += 1;
        Ok(running)
    }
}

fn not_started(fault: Fault, errno: i32, subject: &[u8]) -> End {
    End::NotStarted { fault, errno, subject: subject.to_vec() }
}

fn exhausted(error: io::Error) -> End {
    not_started(Fault::NoResources, error.raw_os_error().unwrap_or(0), b"")
}

fn strings(all: impl Iterator<Item = Vec<u8>>) -> Result<Vec<CString>, NulError> {
    all.map(CString::new).collect()
}

fn environment(spawn: &Spawn, instance: &str) -> impl Iterator<Item = Vec<u8>> {
    let own = [
        (TASK_ID, spawn.key.task.to_string()),
        (ATTEMPT, spawn.key.attempt.to_string()),
        (INSTANCE, instance.to_owned()),
    ];
    let given = spawn
        .environment
        .iter()
        .filter(|(name, _)| ![TASK_ID, ATTEMPT, INSTANCE].iter().any(|own| own.as_bytes() == name));
    let given = given.map(|(name, value)| [name.as_slice(), b"=", value].concat());
    given.chain(own.into_iter().map(|(name, value)| format!("{name}={value}").into_bytes()))
}

fn limits(limits: &Limits, (soft, hard): (u64, u64)) -> Vec<Limit> {
    let all = [
        (Resource::Cpu, limits.cpu_seconds),
        (Resource::Memory, limits.memory_bytes),
        (Resource::OpenFiles, limits.open_files),
        (Resource::Processes, limits.processes),
        (Resource::FileSize, limits.file_bytes),
    ];
    // This process raised its own soft limit; programs that use select(2) must not inherit that.
    let lowered = (limits.open_files.is_none() && soft < hard).then(|| Limit::soft_open_files(soft, hard));
    all.into_iter().filter_map(|(resource, value)| Some(Limit::new(resource, value?))).chain(lowered).collect()
}

/// What the failed step means to whoever wrote the command.
fn fault(spawn: &Spawn, error: StartError, candidates: &[CString]) -> Fault {
    match (error.step, error.errno) {
        (Step::Fork | Step::Group | Step::Descriptors, _) => Fault::NoResources,
        (Step::Limit, _) => Fault::LimitRefused,
        (Step::Nice, _) => Fault::NiceRefused,
        (Step::Directory, libc::EACCES | libc::EPERM) => Fault::DirectoryForbidden,
        (Step::Directory, libc::ENOTDIR) => Fault::DirectoryIsFile,
        (Step::Directory, _) => Fault::DirectoryGone,
        (Step::Execute, libc::E2BIG) => Fault::BadArguments,
        (Step::Execute, libc::ENOEXEC | libc::EINVAL | libc::ELIBBAD) => Fault::NotAProgram,
        (Step::Execute, libc::ENOMEM | libc::EAGAIN | libc::EMFILE | libc::ENFILE) => Fault::NoResources,
        (Step::Execute, errno) => unusable(spawn, errno, candidates),
    }
}

fn unusable(spawn: &Spawn, errno: i32, candidates: &[CString]) -> Fault {
    let directory = Path::new(OsStr::from_bytes(&spawn.directory));
    let named = candidates.iter().map(|candidate| candidate.as_bytes()).filter(|candidate| !candidate.is_empty());
    let mut there = named.filter_map(|candidate| std::fs::metadata(directory.join(OsStr::from_bytes(candidate))).ok());
    match (there.next(), errno) {
        (Some(file), _) if file.is_dir() => Fault::CommandIsDirectory,
        (Some(_), libc::ENOENT | libc::ENOTDIR) => Fault::NoInterpreter,
        (None, libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP) => Fault::CommandNotFound,
        (Some(_) | None, _) => Fault::CommandForbidden,
    }
}
