//! A keeper: starts a process, waits for its end, and starts it again where it did not mean to end.
//!
//! It is for a part of a service that has to come back by itself where no service manager sees to it, and that the
//! service itself cannot start any more, having given up the privileges for that. It listens to nobody but signals and
//! to the removal of a file.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{ESRCH, SIGINT, SIGTERM};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::wait::readable;
use crate::sys::fs;
use crate::sys::holder::Holder;
use crate::sys::pidfd;
use crate::sys::signal::{Blocked, Signals};

/// The pause before the first new start, and the longest one; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// What ran at least this long did not fail at its start: the pauses begin anew.
const STEADY: Duration = Duration::from_millis(200);

/// The file whose removal says that what is kept is not wanted any more.
#[derive(Debug)]
pub struct Wanted<'path> {
    path: &'path Path,
    file: File,
}

impl<'path> Wanted<'path> {
    /// What is at `path` now, and not what takes that name after it.
    ///
    /// # Errors
    /// As open(2) with O_PATH.
    pub fn at(path: &'path Path) -> io::Result<Self> {
        Ok(Self { path, file: fs::hold(path)? })
    }

    fn is_there(&self) -> bool {
        fs::is_at(&self.file, self.path).unwrap_or(false)
    }
}

/// Keeps what `start` starts running for as long as the file `wanted` is there, or until this process gets SIGTERM or
/// SIGINT, which are passed on. What still runs once the file is removed gets SIGTERM.
///
/// # Errors
/// See inotify(7), signalfd(2), pidfd_open(2) and wait(2); a start that fails is no error, it is tried again.
pub fn keep(blocked: &Blocked, wanted: &Wanted<'_>, mut start: impl FnMut() -> io::Result<Child>) -> io::Result<()> {
    let signals = Signals::new(blocked, &[SIGTERM, SIGINT])?;
    let removals = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    // A socket that somebody holds open tells nothing of its own removal; its directory does.
    let directory = wanted.path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    removals.add_watch(directory, AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM)?;
    let mut pause = FIRST_PAUSE;
    while wanted.is_there() {
        let began = Instant::now();
        let told = match start() {
            Ok(mut child) => wait(&mut child, &signals, &removals, wanted)?,
            Err(_) => false,
        };
        if told || !wanted.is_there() || readable(&signals, Instant::now() + pause)? {
            return Ok(());
        }
        pause = if began.elapsed() >= STEADY { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
    }
    Ok(())
}

/// Keepers that were found at work.
#[derive(Debug)]
pub struct Keepers(Vec<(Holder, OwnedFd)>);

impl Keepers {
    /// Those called `name` of what listens at the socket `wanted`, be it removed or not.
    ///
    /// # Errors
    /// See unix(7) and pidfd_open(2).
    pub fn find(wanted: &Path, name: &CStr) -> io::Result<Self> {
        let (name, mut found) = (name.to_string_lossy(), Vec::new());
        for keeper in Holder::all_of_listener(wanted)?.into_iter().filter(|holder| holder.name == name) {
            match pidfd::open(keeper.pid) {
                // Compared once it is held, and so no stranger's number.
                Ok(held) if Holder::of(keeper.pid) == keeper => found.push((keeper, held)),
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(ESRCH) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self(found))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for their end, and the end of what they keep.
    ///
    /// # Errors
    /// TimedOut where they have not ended after `patience`; they go on ending.
    pub fn await_end(&self, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        for (keeper, held) in &self.0 {
            if !readable(held, deadline)? {
                let said = format!("{keeper} does not end; when it hangs, only SIGKILL helps");
                return Err(io::Error::new(io::ErrorKind::TimedOut, said));
            }
        }
        Ok(())
    }
}

/// Waits for the end of it; whether this process was told to end meanwhile.
fn wait(child: &mut Child, signals: &Signals, removals: &Inotify, wanted: &Wanted<'_>) -> io::Result<bool> {
    // Not collected before the end of this, so that the number is its own.
    let process = pidfd::open(i32::try_from(child.id()).map_err(io::Error::other)?)?;
    let send = |signal| match pidfd::send_signal(&process, signal) {
        Err(error) if error.raw_os_error() != Some(ESRCH) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    let mut told = false;
    while !pidfd::has_ended(&process) {
        let mut all =
            [&process.as_fd(), &signals.as_fd(), &removals.as_fd()].map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
        match poll(&mut all, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        while let Some(signal) = signals.next()? {
            told = true;
            send(signal)?;
        }
        if has_changed(removals)? && !wanted.is_there() {
            send(SIGTERM)?;
        }
    }
    child.wait()?;
    Ok(told)
}

/// Whether anything was removed since this was asked last.
fn has_changed(removals: &Inotify) -> io::Result<bool> {
    match removals.read_events() {
        Ok(events) => Ok(!events.is_empty()),
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::process::Command;
    use std::{fs, thread};

    use super::*;
    use crate::sys::signal::block_all;

    /// Keeps `script` until it removes the file that it is given. How often it was started; on a thread of its own,
    /// because the block stays with it.
    fn started(script: &'static str) -> u32 {
        let run = move || {
            let directory = tempfile::tempdir().unwrap();
            let wanted = directory.path().join("wanted");
            fs::write(&wanted, "").unwrap();
            let starts = Cell::new(0);
            let start = || {
                starts.set(starts.get() + 1);
                Command::new("sh").args(["-c", script, &starts.get().to_string()]).arg(&wanted).spawn()
            };
            keep(&block_all().unwrap(), &Wanted::at(&wanted).unwrap(), start).unwrap();
            starts.get()
        };
        thread::spawn(run).join().unwrap()
    }

    #[test]
    fn what_ends_or_is_killed_is_started_again_for_as_long_as_it_is_wanted() {
        assert_eq!(started("rm \"$1\"; exit 0"), 1);
        assert_eq!(started("[ $0 -lt 3 ] || rm \"$1\"; exit 3"), 3);
        assert_eq!(started("[ $0 -lt 2 ] || rm \"$1\"; kill -9 $$"), 2);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_told_to_end() {
        assert_eq!(started("rm \"$1\"; exec sleep 3600"), 1);
        // Whatever is in its place by then.
        assert_eq!(started("mv \"$1\" \"$1.before\"; : >\"$1\"; exec sleep 3600"), 1);
    }
}
