//! What a child does between its making and its program.
//!
//! It runs in the parent's memory while the parent goes on: it neither allocates nor panics, and it calls the kernel
//! past the C library, whose errno is the parent's. All that it reads is in its [`Plan`], which the parent leaves alone
//! until the child has executed or ended.

use std::cell::UnsafeCell;
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use super::{Limit, StartError, Step};
use crate::sys::program::{Program, Strings};

/// Whether a child runs beside its parent here; else the parent waits for it.
pub(super) const BESIDE: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));

/// What is to be executed, and how.
pub(super) struct Plan {
    strings: Strings,
    candidates: Vec<*const c_char>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    limits: Vec<Limit>,
    nice: Option<c_int>,
    umask: u32,
    /// What becomes 0, 1 and 2.
    standard: [RawFd; 3],
    domain: Option<RawFd>,
    door: Option<RawFd>,
    /// Set to 0 by the kernel once the child uses this memory no more: CLONE_CHILD_CLEARTID in clone(2).
    pub(super) in_use: AtomicI32,
    /// The child's to write.
    failure: UnsafeCell<Option<(Step, c_int)>>,
}

/// Why a process ended before it became the program that it was to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The step that failed.
    pub error: StartError,
    /// What it is about: the directory, or the command as it was given.
    pub subject: Vec<u8>,
}

impl Plan {
    /// A plan to execute `program`, at that nice value where it is to change.
    pub(super) fn new(program: &Program<'_>, nice: Option<c_int>) -> Result<Self, StartError> {
        let strings = program.strings()?;
        let number = |fd: BorrowedFd<'_>| fd.as_raw_fd();
        let output = number(program.output);
        Ok(Self {
            candidates: pointers(&strings.candidates),
            arguments: pointers(&strings.arguments),
            environment: pointers(&strings.environment),
            strings,
            limits: program.limits.to_vec(),
            nice,
            umask: program.umask,
            standard: [number(program.input), output, output],
            domain: program.domain.map(number),
            door: program.door.map(|door| number(door.procs)),
            in_use: AtomicI32::new(1),
            failure: UnsafeCell::new(None),
        })
    }

    /// Whether the child has executed or ended.
    pub(super) fn is_done(&self) -> bool {
        self.in_use.load(Ordering::Acquire) == 0
    }

    /// What went wrong, once that is known.
    fn failed(&self) -> Option<(Step, c_int)> {
        if !self.is_done() {
            return None;
        }
        // SAFETY: the child that wrote it is done, and we only read.
        unsafe { *self.failure.get() }
    }

    /// Whether the child has become its program, or was killed on its way.
    pub(super) fn has_executed(&self) -> bool {
        self.is_done() && self.failed().is_none()
    }

    /// Why the child did not execute.
    pub(super) fn failure(&self) -> Option<Failure> {
        let (step, errno) = self.failed()?;
        let subject = if step == Step::Directory { None } else { self.strings.arguments.first() };
        let subject = subject.unwrap_or(&self.strings.directory).as_bytes().to_vec();
        Some(Failure { error: self.strings.explain(StartError { step, errno }), subject })
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The child, with its [`Plan`].
pub(super) extern "C" fn run(plan: *mut c_void) -> c_int {
    // SAFETY: the parent passes a plan that it keeps until `in_use` says that we are done with it.
    let plan = unsafe { &*plan.cast::<Plan>() };
    let failure = match prepare(plan) {
        Err(failure) => failure,
        Ok(()) => (Step::Execute, execute(plan)),
    };
    // SAFETY: nobody else looks at it until we are done.
    unsafe { *plan.failure.get() = Some(failure) };
    // SAFETY: ends the child at once, running nothing of the parent's.
    unsafe { call(libc::SYS_exit_group, [127, 0, 0, 0]) };
    127
}

fn prepare(plan: &Plan) -> Result<(), (Step, c_int)> {
    let ask = |step, number, arguments| {
        // SAFETY: on numbers, and on what the parent keeps.
        let result = unsafe { call(number, arguments) };
        if result < 0 { Err((step, errno_of(result))) } else { Ok(()) }
    };
    if let Some(door) = plan.door {
        ask(Step::Enter, libc::SYS_write, [word(door), c"0".as_ptr().addr(), 1, 0])?;
    }
    ask(Step::Group, libc::SYS_setpgid, [0; 4])?;
    for limit in &plan.limits {
        let resource = usize::try_from(limit.resource).unwrap_or(usize::MAX);
        ask(Step::Limit, libc::SYS_prlimit64, [0, resource, (&raw const limit.values).addr(), 0])?;
    }
    if let Some(nice) = plan.nice {
        ask(Step::Nice, libc::SYS_setpriority, [0, 0, word(nice), 0])?;
    }
    let _ = ask(Step::Execute, libc::SYS_umask, [plan.umask as usize, 0, 0, 0]);
    ask(Step::Directory, libc::SYS_chdir, [plan.strings.directory.as_ptr().addr(), 0, 0, 0])?;
    for (to, from) in plan.standard.iter().enumerate() {
        ask(Step::Descriptors, libc::SYS_dup3, [word(*from), to, 0, 0])?;
    }
    // The kernel's set of signals has a bit for each.
    let none = 0_u64;
    let none = [word(libc::SIG_SETMASK), (&raw const none).addr(), 0, size_of_val(&none)];
    let _ = ask(Step::Execute, libc::SYS_rt_sigprocmask, none);
    if let Some(ruleset) = plan.domain {
        ask(Step::Domain, libc::SYS_landlock_restrict_self, [word(ruleset), 0, 0, 0])?;
    }
    Ok(())
}

/// Tries each candidate; the reason of one that is there but may not be executed outweighs "not found".
fn execute(plan: &Plan) -> c_int {
    let mut reason = libc::ENOENT;
    for candidate in plan.candidates.iter().filter(|candidate| !candidate.is_null()) {
        let arguments = [candidate.addr(), plan.arguments.as_ptr().addr(), plan.environment.as_ptr().addr(), 0];
        // SAFETY: null-terminated lists of strings that the parent keeps until we have executed or ended.
        match errno_of(unsafe { call(libc::SYS_execve, arguments) }) {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => reason = libc::EACCES,
            other => return other,
        }
    }
    reason
}

/// A number as the kernel takes it.
#[allow(clippy::cast_sign_loss, reason = "a register holds both")]
fn word(number: c_int) -> usize {
    number as usize
}

fn errno_of(result: isize) -> c_int {
    c_int::try_from(-result).unwrap_or(libc::EINVAL)
}

/// One system call: what it returns, or the number of its error, negated.
///
/// # Safety
/// That of the call.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: c_long, arguments: [usize; 4]) -> isize {
    let [first, second, third, fourth] = arguments;
    let result;
    // SAFETY: the caller's; the kernel keeps all registers but these.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") first, in("rsi") second, in("rdx") third, in("r10") fourth,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// One system call: what it returns, or the number of its error, negated.
///
/// # Safety
/// That of the call.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: c_long, arguments: [usize; 4]) -> isize {
    let [first, second, third, fourth] = arguments;
    let result;
    // SAFETY: the caller's; the kernel keeps all registers but the first.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first => result,
            in("x1") second, in("x2") third, in("x3") fourth,
            options(nostack),
        );
    }
    result
}

/// One system call: what it returns, or the number of its error, negated. The parent waits, so errno is ours.
///
/// # Safety
/// That of the call.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn call(number: c_long, arguments: [usize; 4]) -> isize {
    let [first, second, third, fourth] = arguments;
    // SAFETY: the caller's.
    match unsafe { libc::syscall(number, first, second, third, fourth) } {
        -1 => -(nix::errno::Errno::last_raw() as isize),
        result => result as isize,
    }
}
