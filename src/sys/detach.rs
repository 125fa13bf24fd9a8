//! Leaving whoever started this process: fork(2), setsid(2), no descriptor too many.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::unistd::ForkResult;

use super::process::{Exit, exit_of};
use super::signal::Blocked;

/// On which side of a fork one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In the process that forked.
    Parent {
        /// The number of the new one.
        child: i32,
    },
    /// In the new one.
    Child,
}

/// Makes a second process out of this one, which must have a single thread: fork(2).
///
/// # Errors
/// EDEADLK where there are other threads, whose locks nobody would ever open in the child; EAGAIN where there may
/// be no more processes.
pub fn fork(_blocked: &Blocked) -> io::Result<Side> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    // SAFETY: there is no other thread, so the child finds every lock and the allocator as they are here; and no
    // signal handler can run in it, as `Blocked` proves.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Side::Parent { child: child.as_raw() }),
        ForkResult::Child => Ok(Side::Child),
    }
}

/// Takes a variable out of this process's environment, so that nobody that comes after it in the same process, by a
/// fork or by execve(2), finds it.
///
/// # Errors
/// EDEADLK where there are other threads, which may read the environment meanwhile.
pub fn forget_variable(name: &str) -> io::Result<()> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    // SAFETY: there is no other thread that could read the environment while it changes.
    unsafe { std::env::remove_var(name) };
    Ok(())
}

/// Ends a process that was forked and has nothing to clean up: _exit(2).
pub fn end(status: i32) -> ! {
    // SAFETY: ends the process at once; what it shares with its parent is the parent's to finish.
    unsafe { libc::_exit(status) }
}

/// Makes this process the leader of a session without a terminal: setsid(2).
///
/// # Errors
/// EPERM where it leads a process group already.
pub fn new_session() -> io::Result<()> {
    nix::unistd::setsid()?;
    Ok(())
}

/// Collects a child that has ended; `None` where it has not, or where somebody else collects: waitpid(2).
///
/// # Errors
/// See waitpid(2).
pub fn collect(child: i32) -> io::Result<Option<Exit>> {
    let mut status = 0;
    // SAFETY: the pointer is to our own variable.
    match Errno::result(unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) }) {
        Ok(0) | Err(Errno::ECHILD) => Ok(None),
        Ok(_) => Ok(Some(exit_of(status))),
        Err(errno) => Err(errno.into()),
    }
}

/// Puts `to` in the place of the standard descriptors that are named: dup2(2).
///
/// # Errors
/// See dup2(2).
pub fn replace_standard(to: impl AsFd, which: &[RawFd]) -> io::Result<()> {
    for number in which {
        // SAFETY: takes numbers only; standard descriptors belong to the process as a whole.
        Errno::result(unsafe { libc::dup2(to.as_fd().as_raw_fd(), *number) })?;
    }
    Ok(())
}

/// Closes every descriptor from 3 on but those in `keep`: what was inherited from whoever started this process.
/// A descriptor that this process has opened itself and still uses has to be among them.
///
/// # Errors
/// Before Linux 5.9: where /proc is not mounted.
pub fn close_strays(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok()).collect();
    kept.sort_unstable();
    let mut from = 3;
    for number in kept.into_iter().filter(|number| *number > 2) {
        if from < number {
            close_range(from, number - 1)?;
        }
        from = number + 1;
    }
    close_range(from, libc::c_uint::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: takes numbers only; the caller has named those that are in use.
    match Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }) {
        Ok(_) => Ok(()),
        Err(Errno::ENOSYS) => close_one_by_one(first, last),
        Err(errno) => Err(errno.into()),
    }
}

fn close_one_by_one(first: u32, last: u32) -> io::Result<()> {
    // Listed as a whole first: the listing has a descriptor too, which is closed with it.
    let listed = std::fs::read_dir("/proc/self/fd")?.collect::<io::Result<Vec<_>>>()?;
    let numbers = listed.iter().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for number in numbers.filter(|number| (first..=last).contains(number)) {
        // SAFETY: takes a number only; the caller has named those that are in use.
        unsafe { libc::close(RawFd::try_from(number).map_err(io::Error::other)?) };
    }
    Ok(())
}
