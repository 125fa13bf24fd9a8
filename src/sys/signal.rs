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

/// Gives every signal its default effect again, the ignored SIGPIPE of Rust programs included: a program
/// that is executed inherits what is ignored.
pub fn default_all() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: installs no handler. SIGKILL, SIGSTOP and the C library's own are refused, as they should be.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

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
