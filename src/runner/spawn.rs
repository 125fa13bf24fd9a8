//! The start of an attempt.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::sys::process::{self, Limit, Program, Resource, StartError, Started, Starter, Step};
use crate::wire::runner::{ATTEMPT, End, Fault, INSTANCE, Limits, Spawn, TASK_ID};

/// Where commands are looked for by a task without PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// What an attempt is started with, beside the daemon's words.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    pub(super) instance: &'a str,
    pub(super) input: BorrowedFd<'a>,
    pub(super) output: BorrowedFd<'a>,
    /// The soft limit on open files that this process had before it raised it, and its hard one.
    pub(super) open_files: (u64, u64),
}

/// The end of an attempt for which descriptors or processes ran out.
pub(super) fn exhausted(error: io::Error) -> End {
    End::NotStarted { fault: Fault::NoResources, errno: error.raw_os_error().unwrap_or(0), subject: Vec::new() }
}

/// Starts the command.
pub(super) fn start(starter: &mut Starter, spawn: &Spawn, around: &Surroundings<'_>) -> Result<Started, End> {
    let nul = |_| End::NotStarted { fault: Fault::BadArguments, errno: libc::EINVAL, subject: Vec::new() };
    let arguments = strings(spawn.arguments.iter().cloned()).map_err(nul)?;
    let environment = strings(environment(spawn, around.instance)).map_err(nul)?;
    let directory = CString::new(spawn.directory.as_slice()).map_err(nul)?;
    let path = spawn.environment.iter().find(|(name, _)| name == b"PATH").map_or(DEFAULT_PATH, |(_, path)| path);
    let name = spawn.arguments.first().map_or(&b""[..], Vec::as_slice);
    let candidates = strings(process::search(name, path).into_iter()).map_err(nul)?;
    let program = Program {
        candidates: &candidates,
        arguments: &arguments,
        environment: &environment,
        directory: &directory,
        umask: spawn.umask,
        nice: spawn.nice,
        limits: &limits(&spawn.limits, around.open_files),
        input: around.input,
        output: around.output,
    };
    starter.start(&program).map_err(|error| {
        let subject = match error.step {
            Step::Directory => spawn.directory.clone(),
            Step::Execute => name.to_vec(),
            Step::Fork | Step::Group | Step::Limit | Step::Nice | Step::Descriptors => Vec::new(),
        };
        End::NotStarted { fault: fault(spawn, error, &candidates), errno: error.errno, subject }
    })
}

fn strings(all: impl Iterator<Item = Vec<u8>>) -> Result<Vec<CString>, std::ffi::NulError> {
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
