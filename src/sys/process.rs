//! Starting programs as fast as the kernel can, and collecting their ends.
//!
//! A child is made as posix_spawn(3) makes it: it borrows the caller's memory until it executes, so the
//! price does not grow with the caller. Unlike posix_spawn it also sets limits, the directory and the mask,
//! and tells which step failed.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::ptr;

use nix::errno::Errno;

use super::fd::OpenFiles;
use super::program::Program;
use super::signal::Blocked;
use super::{clock, procfs};

/// The child's own stack: it calls a handful of system calls, no more.
const STACK_BYTES: usize = 32 * 1024;

/// One resource limit; setrlimit(2).
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    resource: libc::__rlimit_resource_t,
    values: libc::rlimit,
}

/// The resources that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// CPU time in seconds; the hard limit is a second later, so that SIGXCPU comes first.
    Cpu,
    /// Address space in bytes.
    Memory,
    /// Open files.
    OpenFiles,
    /// Processes of the user.
    Processes,
    /// Size of a written file in bytes.
    FileSize,
}

impl Limit {
    /// Sets the soft and the hard limit to `value`.
    #[must_use]
    pub fn new(resource: Resource, value: u64) -> Self {
        let (resource, hard) = match resource {
            Resource::Cpu => (libc::RLIMIT_CPU, value.saturating_add(1)),
            Resource::Memory => (libc::RLIMIT_AS, value),
            Resource::OpenFiles => (libc::RLIMIT_NOFILE, value),
            Resource::Processes => (libc::RLIMIT_NPROC, value),
            Resource::FileSize => (libc::RLIMIT_FSIZE, value),
        };
        Self { resource, values: libc::rlimit { rlim_cur: value, rlim_max: hard } }
    }

    /// Sets both limits on open files.
    #[must_use]
    pub fn of_open_files(to: OpenFiles) -> Self {
        Self { resource: libc::RLIMIT_NOFILE, values: libc::rlimit { rlim_cur: to.soft, rlim_max: to.hard } }
    }
}

/// A program that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Its number, and its process group's.
    pub pid: i32,
    /// When it started, in clock ticks after boot: proc_pid_stat(5) field 22.
    pub start_ticks: u64,
}

/// What could not be done on the way to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading what is to be executed: it holds a NUL byte.
    Strings,
    /// Making the process.
    Fork,
    /// Entering its control group.
    Enter,
    /// Making its process group.
    Group,
    /// Setting a limit.
    Limit,
    /// Setting the nice value.
    Nice,
    /// Entering the directory.
    Directory,
    /// Placing the standard descriptors.
    Descriptors,
    /// Entering a domain of its own.
    Domain,
    /// Finding the program.
    Search,
    /// Executing what was found; EISDIR for a directory, ENOENT where its interpreter or its loader is missing.
    Execute,
}

/// Why a program did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("start a program: {step:?}: {}", Errno::from_raw(*errno).desc())]
pub struct StartError {
    /// The step that failed.
    pub step: Step,
    /// Why; errno(3).
    pub errno: i32,
}

/// Starts programs from one thread that takes no signals.
#[derive(Debug)]
pub struct Starter {
    stack: Vec<u8>,
    nice: c_int,
    ticks_per_second: u64,
    _blocked: Blocked,
}

/// What the child reads, and where it leaves word; both live in the parent, who waits.
struct Plan<'a> {
    program: &'a Program<'a>,
    directory: *const c_char,
    candidates: Vec<*const c_char>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    nice: c_int,
    failure: Option<StartError>,
}

impl Starter {
    /// A starter for the calling thread.
    ///
    /// # Errors
    /// Where the C library does not know the length of a clock tick.
    pub fn new(blocked: Blocked) -> io::Result<Self> {
        // SAFETY: takes numbers only.
        let (ticks, nice) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::getpriority(libc::PRIO_PROCESS, 0)) };
        let ticks_per_second = u64::try_from(ticks).map_err(io::Error::other)?.max(1);
        Ok(Self { stack: vec![0; STACK_BYTES], nice, ticks_per_second, _blocked: blocked })
    }

    /// Starts `program` in a process group of its own, with default signals and only three descriptors
    /// open, given that all others are closed on exec. Waits until it executes.
    ///
    /// # Errors
    /// The step that failed; nothing is left behind.
    pub fn start(&mut self, program: &Program<'_>) -> Result<Started, StartError> {
        let strings = program.strings()?;
        let mut plan = Plan {
            program,
            directory: strings.directory.as_ptr(),
            candidates: pointers(&strings.candidates),
            arguments: pointers(&strings.arguments),
            environment: pointers(&strings.environment),
            nice: self.nice.saturating_add(program.nice).clamp(-20, 19),
            failure: None,
        };
        let before = clock::since_boot();
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let top = self.stack.as_mut_ptr_range().end;
        let top = top.wrapping_sub(top.addr() % 16);
        // SAFETY: the child runs `run_child` on our stack buffer, which nobody else uses meanwhile, since
        // CLONE_VFORK stops this thread until the child has executed or ended; `plan` and `strings` outlive that.
        // No signal handler can run in the child: `Blocked` proves that this thread takes none.
        let pid = unsafe { libc::clone(run_child, top.cast(), flags, (&raw mut plan).cast()) };
        let pid = Errno::result(pid).map_err(|errno| StartError { step: Step::Fork, errno: errno as i32 })?;
        if let Some(failure) = plan.failure {
            // SAFETY: collects the child that has just ended; a null status is allowed.
            unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
            return Err(program.explain(failure, &strings.candidates));
        }
        Ok(Started { pid, start_ticks: self.start_ticks(pid, before) })
    }

    /// A process starts at the boot time that its fork saw. Where the clock stood within one tick before and
    /// after, that tick needs no reading of /proc.
    fn start_ticks(&self, pid: i32, before: io::Result<std::time::Duration>) -> u64 {
        let tick = |at: std::time::Duration| at.as_nanos() * u128::from(self.ticks_per_second) / 1_000_000_000;
        if let (Ok(before), Ok(after)) = (before, clock::since_boot())
            && tick(before) == tick(after)
            && let Ok(ticks) = u64::try_from(tick(before))
        {
            return ticks;
        }
        procfs::process(pid).map_or(0, |process| process.start_ticks)
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The child. It shares the parent's memory, so it neither allocates nor panics.
extern "C" fn run_child(plan: *mut c_void) -> c_int {
    // SAFETY: `start` passes its own `Plan` and waits for us, so that we are the only one to use it.
    let plan = unsafe { &mut *plan.cast::<Plan<'_>>() };
    let (step, errno) = match prepare(plan) {
        Err(step) => (step, Errno::last_raw()),
        Ok(()) => (Step::Execute, execute(plan)),
    };
    plan.failure = Some(StartError { step, errno });
    // SAFETY: ends the child at once, running nothing of the parent's.
    unsafe { libc::_exit(127) }
}

fn prepare(plan: &Plan<'_>) -> Result<(), Step> {
    let ok = |result: c_int, step| if result < 0 { Err(step) } else { Ok(()) };
    let program = plan.program;
    // SAFETY: system calls on numbers and on strings that the parent keeps; errno is the parent's, who waits.
    unsafe {
        if let Some(door) = program.door
            && libc::write(door.as_raw_fd(), c"0".as_ptr().cast(), 1) != 1
        {
            return Err(Step::Enter);
        }
        ok(libc::setpgid(0, 0), Step::Group)?;
        for limit in program.limits {
            ok(libc::setrlimit(limit.resource, &raw const limit.values), Step::Limit)?;
        }
        if program.nice != 0 {
            ok(libc::setpriority(libc::PRIO_PROCESS, 0, plan.nice), Step::Nice)?;
        }
        libc::umask(program.umask);
        ok(libc::chdir(plan.directory), Step::Directory)?;
        for (from, to) in [(&program.input, 0), (&program.output, 1), (&program.output, 2)] {
            ok(libc::dup2(from.as_raw_fd(), to), Step::Descriptors)?;
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        if let Some(ruleset) = program.domain
            && libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) < 0
        {
            return Err(Step::Domain);
        }
    }
    Ok(())
}

/// Tries each candidate; the reason of one that is there but may not be executed outweighs "not found".
fn execute(plan: &Plan<'_>) -> c_int {
    let mut reason = libc::ENOENT;
    for candidate in plan.candidates.iter().filter(|candidate| !candidate.is_null()) {
        // SAFETY: null-terminated lists of strings that the parent keeps until we have executed or ended.
        unsafe { libc::execve(*candidate, plan.arguments.as_ptr(), plan.environment.as_ptr()) };
        match Errno::last_raw() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => reason = libc::EACCES,
            other => return other,
        }
    }
    reason
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal {
        /// Its number.
        number: i32,
        /// Whether a core file was written.
        core_dumped: bool,
    },
}

/// A child that has ended, with what it and those that it waited for used; getrusage(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collected {
    /// Its number, which is free again.
    pub pid: i32,
    /// How it ended.
    pub exit: Exit,
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// The largest resident set, in bytes.
    pub max_rss_bytes: u64,
}

/// Collects the next child that has ended; `None` where none has: wait4(2).
///
/// # Errors
/// Never for want of children.
pub fn collect() -> io::Result<Option<Collected>> {
    let mut status = 0;
    // SAFETY: plain numbers, for which zeros are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to our own variables.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    let pid = match Errno::result(pid) {
        Ok(0) | Err(Errno::ECHILD) => return Ok(None),
        other => other?,
    };
    let exit = exit_of(status);
    let max_rss_bytes = u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024);
    Ok(Some(Collected { pid, exit, user_us: micros(usage.ru_utime), system_us: micros(usage.ru_stime), max_rss_bytes }))
}

/// What a status of waitpid(2) says.
pub(super) fn exit_of(status: c_int) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal { number: libc::WTERMSIG(status), core_dumped: libc::WCOREDUMP(status) }
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    }
}

fn micros(time: libc::timeval) -> u64 {
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(time.tv_sec) * 1_000_000 + part(time.tv_usec)
}

/// Makes this process the parent of every orphan below it: PR_SET_CHILD_SUBREAPER, prctl(2).
///
/// # Errors
/// None since Linux 3.4.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Names the calling thread, as ps(1) shows it; at most 15 bytes are kept.
///
/// # Errors
/// None for a pointer that is valid.
pub fn set_name(name: &CStr) -> io::Result<()> {
    Ok(nix::sys::prctl::set_name(name)?)
}

/// Random bytes from the kernel: getrandom(2).
///
/// # Errors
/// Where the kernel has no such call.
pub fn random<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    // SAFETY: writes at most COUNT bytes into our own array; up to 256 are never cut short.
    Errno::result(unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), COUNT, 0) })?;
    Ok(bytes)
}

/// A name that nobody else has: 128 random bits in hexadecimal.
///
/// # Errors
/// As [`random`].
pub fn random_name() -> io::Result<String> {
    Ok(random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Executes `command` as a daemon: in a session of its own, a child of init or of the nearest subreaper,
/// with `input` as standard input, /dev/null as output, and with `open_files` as its limits where they are
/// given. Returns once it executes.
///
/// # Errors
/// Where the program cannot be executed.
pub fn launch(mut command: std::process::Command, input: OwnedFd, open_files: Option<OpenFiles>) -> io::Result<()> {
    let limit = open_files.map(Limit::of_open_files);
    command.stdin(Stdio::from(input)).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
    // SAFETY: between fork and exec it calls nothing but async-signal-safe functions: setrlimit, setsid, fork, _exit.
    unsafe {
        command.pre_exec(move || {
            if let Some(limit) = limit {
                Errno::result(libc::setrlimit(limit.resource, &raw const limit.values))?;
            }
            Errno::result(libc::setsid())?;
            match Errno::result(libc::fork())? {
                0 => Ok(()),
                _ => libc::_exit(0),
            }
        });
    }
    command.spawn()?.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests;
