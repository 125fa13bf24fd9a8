//! Processes held by descriptor, which no recycled number can take the place of.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::procfs::{self, Process};

/// Holds process `pid`, which need not be a child: pidfd_open(2).
///
/// # Errors
/// ESRCH where there is none, EMFILE where no descriptor is left.
pub fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only; close-on-exec is set by the kernel.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Holds process `pid` if it is the one that started at `start_ticks`: held first, then compared.
///
/// # Errors
/// NotFound where the number is another's by now, else as [`open`].
pub fn hold(pid: i32, start_ticks: u64) -> io::Result<OwnedFd> {
    let held = open(pid)?;
    if procfs::process(pid)?.start_ticks == start_ticks { Ok(held) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Sends `signal`; ESRCH says that the process has been collected already.
///
/// # Errors
/// See pidfd_send_signal(2).
pub fn send_signal(process: impl AsFd, signal: i32) -> io::Result<()> {
    let fd = process.as_fd().as_raw_fd();
    // SAFETY: a null siginfo asks the kernel to fill it in as kill(2) does; nothing else is a pointer.
    let done =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, std::ptr::null::<libc::siginfo_t>(), 0) };
    Errno::result(done)?;
    Ok(())
}

/// Whether the process has ended. A zombie has.
#[must_use]
pub fn has_ended(process: impl AsFd) -> bool {
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}

/// Processes that are held, by their numbers.
#[derive(Debug, Default)]
pub struct Held(Vec<(i32, OwnedFd)>);

impl Held {
    /// Takes hold of those of `processes` that are still the same, and that `watch` takes.
    pub fn take(&mut self, processes: &[Process], watch: impl Fn(&OwnedFd) -> bool) {
        for process in processes {
            let held = hold(process.pid, process.start_ticks).ok().filter(&watch);
            self.0.extend(held.map(|held| (process.pid, held)));
        }
    }

    /// Sends `signal` to each. That one ends at this very moment is no fault.
    pub fn send(&self, signal: i32) {
        for (_, process) in &self.0 {
            let _ = send_signal(process, signal);
        }
    }

    /// Lets go of those that have ended; whether none is left.
    pub fn are_gone(&mut self) -> bool {
        self.0.retain(|(_, process)| !has_ended(process));
        self.0.is_empty()
    }

    /// Their numbers.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        self.0.iter().map(|(pid, _)| *pid).collect()
    }
}
