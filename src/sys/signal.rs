//! Signals, taken as descriptors and sent to groups.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal as Known, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The proof that the calling thread takes no signal, so that none is handled between fork and exec.
#[derive(Debug)]
pub struct Blocked(PhantomData<*const ()>);

/// Blocks every signal in the calling thread and in those that it starts from now on.
///
/// # Errors
/// None on Linux.
pub fn block_all() -> io::Result<Blocked> {
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?;
    Ok(Blocked(PhantomData))
}

/// Has writing to what nobody reads fail with EPIPE instead of ending the process: SIGPIPE in signal(7).
pub fn ignore_pipe() {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Ignores no signal any more, neither the SIGPIPE of Rust programs nor what was inherited: a program that is
/// executed would inherit it in turn. Handlers are left alone, since executing removes them.
pub fn ignore_none() {
    // Not sigaction(3), which hides the C library's own two signals: those may have been inherited ignored too.
    let call = |signal: i32, new: *const KernelAction, old: *mut KernelAction| {
        // SAFETY: both are null or point to the kernel's structure, which is no larger than ours.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, new, old, size_of::<u64>()) }
    };
    for signal in 1..=64 {
        let mut action = KernelAction::default();
        if call(signal, std::ptr::null(), &raw mut action) == 0 && action.handler == libc::SIG_IGN {
            call(signal, &raw const DEFAULT_ACTION, std::ptr::null_mut());
        }
    }
}

/// The kernel's `struct sigaction`, by its first member; the rest (flags, restorer, mask) may differ by architecture.
#[repr(C)]
#[derive(Default)]
struct KernelAction {
    handler: usize,
    rest: [u64; 4],
}

static DEFAULT_ACTION: KernelAction = KernelAction { handler: libc::SIG_DFL, rest: [0; 4] };

/// Some signals as a descriptor: signalfd(2). They have to be blocked.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Collects `signals`, by number, from now on.
    ///
    /// # Errors
    /// EINVAL for a number that is no signal, EMFILE where no descriptor is left.
    pub fn new(_blocked: &Blocked, signals: &[i32]) -> io::Result<Self> {
        let mut set = SigSet::empty();
        for number in signals {
            set.add(Known::try_from(*number)?);
        }
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// The number of the next one that came; `None` where there is none.
    ///
    /// # Errors
    /// See signalfd(2).
    pub fn next(&self) -> io::Result<Option<i32>> {
        let info = self.0.read_signal()?;
        Ok(info.map(|info| i32::try_from(info.ssi_signo).unwrap_or(0)))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sends `signal` to a child that has not been collected yet, so that its number is still its own.
///
/// # Errors
/// ESRCH where there is no such process, EPERM where it belongs to another user; kill(2).
pub fn send(child: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    Errno::result(unsafe { libc::kill(child, signal) })?;
    Ok(())
}

/// Sends `signal` to the process group that `leader`, a child not yet collected, leads or led.
///
/// # Errors
/// ESRCH where the group is empty; kill(2).
pub fn send_group(leader: i32, signal: i32) -> io::Result<()> {
    send(-leader, signal)
}
