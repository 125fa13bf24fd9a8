//! Descriptors: pipes, moving bytes between them, keeping them from programs.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FdFlag, OFlag};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::pipe2;
use serde::{Deserialize, Serialize};

/// The reading and the writing end of a pipe, closed on exec: pipe(7).
///
/// # Errors
/// Where descriptors run out.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe2(OFlag::O_CLOEXEC)?)
}

/// Moves at most `limit` bytes from a pipe to a file, at the file's own offset, without copying them and
/// without waiting for the pipe; 0 is the end of the pipe: splice(2).
///
/// # Errors
/// EAGAIN where the pipe is empty, ENOSPC and others of the file's.
pub fn splice(pipe: impl AsFd, file: impl AsFd, limit: u64) -> io::Result<u64> {
    let (from, to) = (pipe.as_fd().as_raw_fd(), file.as_fd().as_raw_fd());
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: both descriptors are open for the call; null offsets mean the descriptors' own.
    let moved = unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), limit, flags) };
    Ok(u64::try_from(Errno::result(moved)?).unwrap_or(0))
}

/// /dev/null, for reading and writing, closed on exec.
///
/// # Errors
/// Where it is missing.
pub fn null() -> io::Result<OwnedFd> {
    Ok(File::options().read(true).write(true).open("/dev/null")?.into())
}

/// Makes sure that 0, 1 and 2 are open, so that no other file ever gets one of these numbers.
///
/// # Errors
/// Where one is closed, and /dev/null is missing.
pub fn occupy_standard() -> io::Result<()> {
    // SAFETY: asks for a flag by number; fails where the descriptor is closed.
    let is_closed = |number| unsafe { libc::fcntl(number, libc::F_GETFD) } == -1;
    while (0..=2).any(is_closed) {
        // It gets the lowest number that is free. What stands in for a closed one lives as long as the process.
        std::mem::forget(null()?);
    }
    Ok(())
}

/// Takes over a descriptor that this process was started with, by its number; closed on exec from now on. Whoever
/// started it passed the descriptor on for this, so that nobody else in the process owns the number.
///
/// # Errors
/// EBADF where it is closed, and for the standard ones, which are everybody's.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: sets a flag by number; fails where the descriptor is closed.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and it was passed on for the caller alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Moves standard input to a descriptor of its own and puts /dev/null in its place.
///
/// # Errors
/// Where it is closed.
pub fn take_standard_input() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdin(null()?)?;
    Ok(taken)
}

/// Keeps every descriptor but 0, 1 and 2 from programs that are started from now on, those that this
/// process inherited included.
///
/// # Errors
/// Where /proc is not mounted and the kernel is older than 5.11.
pub fn close_all_on_exec() -> io::Result<()> {
    // SAFETY: takes numbers only.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse().ok()).filter(|fd| *fd > 2) else {
            continue;
        };
        // SAFETY: sets a flag by number; the descriptor of the listing itself has it already.
        unsafe { libc::fcntl(fd, libc::F_SETFD, FdFlag::FD_CLOEXEC.bits()) };
    }
    Ok(())
}

/// The limits on a process's open files, as numbers; getrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenFiles {
    /// What counts now. Programs that use select(2) rely on a low one.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// Raises this process's limit on open files as far as it may; returns its limits from before.
///
/// # Errors
/// See setrlimit(2).
pub fn raise_open_files() -> io::Result<OpenFiles> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(OpenFiles { soft, hard })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn bytes_go_from_a_pipe_to_a_file_and_an_empty_pipe_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::create(&path).unwrap();
        let (reader, writer) = pipe().unwrap();
        let mut writer = File::from(writer);
        writer.write_all(b"some bytes").unwrap();
        assert_eq!(splice(&reader, &file, 4).unwrap(), 4);
        assert_eq!(splice(&reader, &file, 100).unwrap(), 6);
        assert_eq!(splice(&reader, &file, 100).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(writer);
        assert_eq!(splice(&reader, &file, 100).unwrap(), 0);
        let mut text = String::new();
        File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "some bytes");
    }
}
