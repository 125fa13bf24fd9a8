//! A keeper: starts a process, waits for its end, and starts it again where it did not mean to end.
//!
//! It is for a part of a service that has to come back by itself where no service manager sees to it, and that the
//! service itself cannot start any more, having given up the privileges for that. It listens to nobody but signals.

use std::io;
use std::os::fd::AsFd as _;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{ESRCH, SIGINT, SIGTERM};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::wait::readable;
use crate::sys::pidfd;
use crate::sys::signal::{Blocked, Signals};

/// The pause before the first new start, and the longest one; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// What ran at least this long did not fail at its start: the pauses begin anew.
const STEADY: Duration = Duration::from_millis(200);

/// Keeps what `start` starts running, until it ends and `wanted` says that nobody needs it any more, or until this
/// process gets SIGTERM or SIGINT, which are passed on.
///
/// # Errors
/// See signalfd(2), pidfd_open(2) and wait(2); a start that fails is no error, it is tried again.
pub fn keep(
    blocked: &Blocked,
    mut start: impl FnMut() -> io::Result<Child>,
    wanted: impl Fn() -> bool,
) -> io::Result<()> {
    let signals = Signals::new(blocked, &[SIGTERM, SIGINT])?;
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        let told = match start() {
            Ok(mut child) => wait(&mut child, &signals)?,
            Err(_) => false,
        };
        if told || !wanted() || readable(&signals, Instant::now() + pause)? {
            return Ok(());
        }
        pause = if began.elapsed() >= STEADY { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
    }
}

/// Waits for the end of it; whether this process was told to end meanwhile.
fn wait(child: &mut Child, signals: &Signals) -> io::Result<bool> {
    // Not collected before the end of this, so that the number is its own.
    let process = pidfd::open(i32::try_from(child.id()).map_err(io::Error::other)?)?;
    let mut told = false;
    while !pidfd::has_ended(&process) {
        let mut both = [&process.as_fd(), &signals.as_fd()].map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
        match poll(&mut both, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        while let Some(signal) = signals.next()? {
            told = true;
            match pidfd::send_signal(&process, signal) {
                Err(error) if error.raw_os_error() != Some(ESRCH) => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }
    child.wait()?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::process::Command;
    use std::thread;

    use super::*;
    use crate::sys::signal::block_all;

    /// On a thread of its own, because the block stays with it.
    fn started(script: &'static str, wanted: u32) -> u32 {
        let run = move || {
            let starts = Cell::new(0);
            let start = || {
                starts.set(starts.get() + 1);
                Command::new("sh").args(["-c", script]).spawn()
            };
            keep(&block_all().unwrap(), start, || starts.get() < wanted).unwrap();
            starts.get()
        };
        thread::spawn(run).join().unwrap()
    }

    #[test]
    fn what_ends_or_is_killed_is_started_again_for_as_long_as_it_is_wanted() {
        assert_eq!(started("exit 0", 1), 1);
        assert_eq!(started("exit 3", 3), 3);
        assert_eq!(started("kill -9 $$", 2), 2);
    }
}
