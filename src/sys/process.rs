//! Starting programs as fast as the kernel can, and collecting their ends.
//!
//! A child is made as posix_spawn(3) makes it: it borrows the caller's memory until it executes, so the
//! price does not grow with the caller. Unlike posix_spawn it also sets limits, the directory and the mask,
//! tells which step failed, and the caller seldom waits meanwhile.

mod child;

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::ptr::{self, NonNull};

use nix::errno::Errno;

use super::fd::OpenFiles;
use super::program::Program;
use super::signal::Blocked;
use super::{clock, procfs};
pub use child::Failure;
use child::Plan;

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

impl From<StartError> for io::Error {
    fn from(error: StartError) -> Self {
        Self::from_raw_os_error(error.errno)
    }
}

/// Starts programs from one thread that takes no signals, and waits for none of them but those that starve.
#[derive(Debug)]
pub struct Starter {
    seats: Vec<Seat>,
    nice: c_int,
    ticks_per_second: u64,
    _blocked: Blocked,
}

/// How many stacks are kept for the next children while none is on its way.
const SPARE_SEATS: usize = 4;

/// The memory that one child needs until it executes.
#[derive(Debug)]
struct Seat {
    stack: Vec<u8>,
    /// The child that has it, with its plan, which lives on the heap until the child is done with it.
    taken: Option<(i32, NonNull<Plan>)>,
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
        Ok(Self { seats: Vec::new(), nice, ticks_per_second, _blocked: blocked })
    }

    /// Starts `program` in a process group of its own, with default signals and only three descriptors
    /// open, given that all others are closed on exec. The process is there at once, and executes soon; what kept it from
    /// that is told with its end. So several start at a time where cores allow. One behind a [door](super::program::Door) that
    /// starves is waited for.
    ///
    /// # Errors
    /// Where there is no process; nothing is left behind.
    pub fn start(&mut self, program: &Program<'_>) -> Result<Started, StartError> {
        let nice = (program.nice != 0).then(|| self.nice.saturating_add(program.nice).clamp(-20, 19));
        let plan = NonNull::from(Box::leak(Box::new(Plan::new(program, nice)?)));
        let before = clock::since_boot();
        let seat = self.free_seat();
        let top = seat.stack.as_mut_ptr_range().end;
        let top = top.wrapping_sub(top.addr() % 16);
        // One that is killed for want of memory takes along whoever shares its own; the kernel spares it if somebody waits.
        let waits = if child::BESIDE && !program.door.is_some_and(|door| door.starves) { 0 } else { libc::CLONE_VFORK };
        let flags = libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID | libc::SIGCHLD | waits;
        // SAFETY: the child runs on a stack of its own and reads a plan of its own; both are left alone until the kernel
        // says, in the plan, that it has executed or ended. No signal handler can run in it: `Blocked` proves that this
        // thread takes none, and the child is made with the same mask.
        let pid = unsafe {
            let in_use = (&raw const (*plan.as_ptr()).in_use).cast_mut();
            let none = ptr::null_mut::<c_void>();
            libc::clone(child::run, top.cast(), flags, plan.as_ptr().cast(), none, none, in_use)
        };
        let pid = match Errno::result(pid) {
            Ok(pid) => pid,
            Err(errno) => {
                // SAFETY: made above, and nobody else has it.
                drop(unsafe { Box::from_raw(plan.as_ptr()) });
                return Err(StartError { step: Step::Fork, errno: errno as i32 });
            }
        };
        seat.taken = Some((pid, plan));
        // The child does so too. Whichever comes first: from now on there is such a group, which a signal can reach.
        // SAFETY: on numbers; fails where the child was faster and has executed.
        unsafe { libc::setpgid(pid, pid) };
        Ok(Started { pid, start_ticks: self.start_ticks(pid, before) })
    }

    /// Collects the next child that has ended; `None` where none has: wait4(2).
    ///
    /// # Errors
    /// Never for want of children.
    pub fn collect(&mut self) -> io::Result<Option<Collected>> {
        let collected = match self.wait(-1, libc::WNOHANG) {
            Err(Errno::ECHILD) => None,
            other => other?,
        };
        if collected.is_none() {
            self.shrink();
        }
        Ok(collected)
    }

    /// Waits until this child has ended: wait4(2).
    ///
    /// # Errors
    /// Where somebody else has collected it.
    pub fn await_end(&mut self, child: Started) -> io::Result<Collected> {
        self.wait(child.pid, 0)?.ok_or_else(|| io::ErrorKind::Interrupted.into())
    }

    fn wait(&mut self, pid: i32, options: c_int) -> nix::Result<Option<Collected>> {
        let mut status = 0;
        // SAFETY: plain numbers, for which zeros are valid.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both pointers are to our own variables.
        let pid = Errno::result(unsafe { libc::wait4(pid, &raw mut status, options, &raw mut usage) })?;
        Ok((pid != 0).then(|| Collected {
            pid,
            exit: exit_of(status),
            failure: self.failure(pid),
            user_us: micros(usage.ru_utime),
            system_us: micros(usage.ru_stime),
            max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
        }))
    }

    /// Why a child that was collected just now never became its program; `None` for one that did.
    fn failure(&mut self, pid: i32) -> Option<Failure> {
        let of_child = |seat: &&mut Seat| seat.taken.is_some_and(|(child, _)| child == pid);
        self.seats.iter_mut().find(of_child)?.vacate()?.failure()
    }

    /// Whether no child is on its way to its program, and none that did not get there has yet to be collected.
    pub fn is_idle(&mut self) -> bool {
        self.seats.iter_mut().all(Seat::is_free)
    }

    /// Gives up stacks that only many starts at once need.
    fn shrink(&mut self) {
        let mut spare = 0;
        self.seats.retain_mut(|seat| {
            spare += usize::from(seat.is_free());
            !seat.is_free() || spare <= SPARE_SEATS
        });
    }

    fn free_seat(&mut self) -> &mut Seat {
        let index = self.seats.iter_mut().position(Seat::is_free).unwrap_or_else(|| {
            self.seats.push(Seat { stack: vec![0; STACK_BYTES], taken: None });
            self.seats.len() - 1
        });
        &mut self.seats[index]
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

impl Seat {
    fn plan(&self) -> Option<&Plan> {
        // SAFETY: a plan lives as long as its seat is taken, and is only read.
        self.taken.as_ref().map(|(_, plan)| unsafe { plan.as_ref() })
    }

    /// Whether the next child can have it; that of one which executed becomes free here.
    fn is_free(&mut self) -> bool {
        if self.plan().is_some_and(Plan::has_executed) {
            self.vacate();
        }
        self.taken.is_none()
    }

    /// Takes the plan back from a child that has executed or ended.
    fn vacate(&mut self) -> Option<Box<Plan>> {
        // SAFETY: leaked by `start`, and the child does not use it any more.
        self.taken.take().map(|(_, plan)| unsafe { Box::from_raw(plan.as_ptr()) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.plan().is_none_or(Plan::is_done) {
            self.vacate();
        } else {
            // The child is still on its way, on this stack.
            std::mem::forget(std::mem::take(&mut self.stack));
        }
    }
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// Its number, which is free again.
    pub pid: i32,
    /// How it ended.
    pub exit: Exit,
    /// Why it never became its program.
    pub failure: Option<Failure>,
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// The largest resident set, in bytes.
    pub max_rss_bytes: u64,
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

#[cfg(test)]
mod tests;
