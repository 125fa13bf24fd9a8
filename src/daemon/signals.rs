//! The signals that a daemon obeys, as values that can be waited for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::libc::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use nix::sys::signal::{Signal as Number, kill};
use nix::unistd::Pid;

use super::wait::readable;
use crate::sys::signal::Signals;

pub use crate::sys::signal::{Blocked, block_all};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGTERM: drain and stop; a second time: stop now.
    Terminate,
    /// SIGINT: the same, from a terminal.
    Interrupt,
    /// SIGHUP: read the configuration again, open the logs again.
    Reload,
    /// SIGUSR1: log how things stand.
    Dump,
    /// SIGUSR2: become the new binary.
    Upgrade,
}

impl Signal {
    /// Sends it to this process once more: for a signal that was taken, and that somebody else is to take.
    pub fn put_back(self) {
        let number = KNOWN.iter().find(|(_, signal)| *signal == self).map(|(number, _)| *number);
        // This process is there, and may signal itself.
        let _ = number.and_then(|number| Number::try_from(number).ok()).map(|number| kill(Pid::this(), number));
    }
}

/// Each signal and its number.
const KNOWN: [(i32, Signal); 5] = [
    (SIGTERM, Signal::Terminate),
    (SIGINT, Signal::Interrupt),
    (SIGHUP, Signal::Reload),
    (SIGUSR1, Signal::Dump),
    (SIGUSR2, Signal::Upgrade),
];

/// The signals of this process, one after the other. Its descriptor is readable when one came.
#[derive(Debug)]
pub struct Source(Signals);

impl Source {
    /// Takes over the signals, which all threads must have blocked: the first thread blocks
    /// them before it starts others, which inherit that.
    ///
    /// # Errors
    /// See signalfd(2).
    pub fn new(blocked: &Blocked) -> io::Result<Self> {
        Ok(Self(Signals::new(blocked, &KNOWN.map(|(number, _)| number))?))
    }

    /// The next signal that came; `None` where there is none.
    ///
    /// # Errors
    /// See signalfd(2).
    pub fn next(&self) -> io::Result<Option<Signal>> {
        while let Some(number) = self.0.next()? {
            if let Some((_, signal)) = KNOWN.iter().find(|(known, _)| *known == number) {
                return Ok(Some(*signal));
            }
        }
        Ok(None)
    }

    /// Whether there is a next signal, waited for as long as `time`.
    ///
    /// # Errors
    /// See poll(2).
    pub fn ready(&self, time: Duration) -> io::Result<bool> {
        readable(self, Instant::now() + time)
    }

    /// Waits for the next signal; `None` where none came in time.
    ///
    /// # Errors
    /// See poll(2) and signalfd(2).
    pub fn wait(&self, time: Duration) -> io::Result<Option<Signal>> {
        let deadline = Instant::now() + time;
        loop {
            match self.next()? {
                Some(signal) => return Ok(Some(signal)),
                None if readable(self, deadline)? => {}
                None => return Ok(None),
            }
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use nix::sys::signal::raise;

    use super::*;

    #[test]
    fn each_signal_becomes_its_value_and_none_is_lost_while_nobody_looks() {
        // A thread of its own, because the block stays with it.
        let thread = thread::spawn(|| {
            let source = Source::new(&block_all().unwrap()).unwrap();
            assert_eq!(source.next().unwrap(), None);
            assert_eq!(source.wait(Duration::from_millis(1)).unwrap(), None);
            for (number, signal) in KNOWN {
                raise(Number::try_from(number).unwrap()).unwrap();
                assert_eq!(source.wait(Duration::from_secs(10)).unwrap(), Some(signal));
            }
            raise(Number::SIGHUP).unwrap();
            raise(Number::SIGTERM).unwrap();
            let mut both = [source.next().unwrap(), source.next().unwrap()];
            both.sort_by_key(|signal| *signal != Some(Signal::Reload));
            assert_eq!(both, [Some(Signal::Reload), Some(Signal::Terminate)]);
        });
        thread.join().unwrap();
    }
}
