//! The loop: waits for the daemon, for ends, for output and for the next deadline, all at once.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::Error;
use super::attempt::{Attempt, Serial};
use super::leave::Leaving;
use super::link::Link;
use super::strays::Stray;
use super::sweep::Sweeping;
use crate::sys::fd;
use crate::sys::process::{self, Starter};
use crate::sys::procfs::{self, Orphans};
use crate::sys::signal::{self, Signals};
use crate::wire::runner::{Ended, Key};

/// Tokens of the runner's own descriptors; larger ones are attempts' serials.
pub(super) const LISTENER: u64 = 0;
pub(super) const LINK: u64 = 1;
const SIGNALS: u64 = 2;
pub(super) const SWEEP: u64 = 3;
const FIRST_SERIAL: Serial = 16;

/// Everything that the runner knows.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) identity: String,
    pub(super) boot: String,
    pub(super) daemon_uid: u32,
    pub(super) listener: OwnedFd,
    pub(super) epoll: Epoll,
    pub(super) signals: Signals,
    pub(super) starter: Starter,
    pub(super) null: OwnedFd,
    pub(super) open_files: (u64, u64),
    pub(super) link: Option<Link>,
    /// The identity of the daemon that spoke last.
    pub(super) instance: String,
    pub(super) attempts: BTreeMap<Serial, Attempt>,
    pub(super) next_serial: Serial,
    /// What ended and is not acknowledged.
    pub(super) ended: BTreeMap<Key, Ended>,
    pub(super) orphans: Orphans,
    /// Orphans that have not been collected.
    pub(super) strays: HashMap<i32, Stray>,
    pub(super) sweeping: Option<Sweeping>,
    pub(super) leaving: Leaving,
    /// When the patience with what runs is over.
    pub(super) drain_at: Option<Instant>,
}

impl Runner {
    /// Prepares the calling thread, which has to call [`Runner::run`] too. `open_files` are this process's limits,
    /// the soft one as it was before it was raised.
    pub(super) fn new(listener: OwnedFd, daemon_uid: u32, open_files: (u64, u64)) -> Result<Self, Error> {
        let prepare = |step| move |source| Error::Prepare { step, source };
        let blocked = signal::block_all().map_err(prepare("block signals"))?;
        let signals = Signals::new(&blocked, &[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT]);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC);
        let identity = process::random::<16>().map_err(prepare("get random bytes"))?;
        let runner = Self {
            identity: identity.iter().map(|byte| format!("{byte:02x}")).collect(),
            boot: procfs::boot_id().map_err(prepare("read the boot id"))?,
            daemon_uid,
            listener,
            epoll: epoll.map_err(|errno| prepare("make an epoll")(errno.into()))?,
            signals: signals.map_err(prepare("take signals"))?,
            starter: Starter::new(blocked).map_err(prepare("find out the clock's tick"))?,
            null: fd::null().map_err(prepare("open /dev/null"))?,
            open_files,
            link: None,
            instance: String::new(),
            attempts: BTreeMap::new(),
            next_serial: FIRST_SERIAL,
            ended: BTreeMap::new(),
            orphans: Orphans::open().map_err(prepare("read the list of orphans (CONFIG_PROC_CHILDREN)"))?,
            strays: HashMap::new(),
            sweeping: None,
            leaving: Leaving::No,
            drain_at: None,
        };
        runner.watch(&runner.listener, LISTENER).map_err(prepare("watch the socket"))?;
        runner.watch(&runner.signals, SIGNALS).map_err(prepare("watch for signals"))?;
        Ok(runner)
    }

    pub(super) fn watch(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Serves until it is time to leave.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let mut events = [EpollEvent::empty(); 64];
        while !self.may_leave(Instant::now()) {
            let timeout = self.patience(Instant::now());
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => return Err(Error::Wait(errno.into())),
            };
            let mut signalled = false;
            for event in events.iter().take(count) {
                match event.data() {
                    LISTENER => self.accept(),
                    LINK => self.hear(),
                    // After the output: by then the pipes of what ended are usually empty and closed.
                    SIGNALS => signalled = true,
                    SWEEP => self.sweep_on(Instant::now()),
                    serial => self.pump(serial),
                }
            }
            if signalled {
                self.take_signal();
            }
            self.meet_deadlines(Instant::now());
            self.tell();
        }
        Ok(())
    }

    /// How long nothing needs to be done: for ever, where nothing has a deadline.
    fn patience(&self, now: Instant) -> EpollTimeout {
        let last_words = match self.leaving {
            Leaving::Terminated { by } => by,
            Leaving::No | Leaving::Asked => None,
        };
        let sweep = self.sweeping.as_ref().map(|sweeping| sweeping.next_step_at);
        let silence = self.link.as_ref().and_then(|link| link.patience);
        let attempts = self.attempts.values().filter_map(Attempt::due);
        let Some(next) = attempts.chain(sweep).chain(silence).chain(last_words).chain(self.drain_at).min() else {
            return EpollTimeout::NONE;
        };
        // Rounded up, or the last millisecond would be spent asking again and again.
        let wait = next.saturating_duration_since(now) + Duration::from_micros(999);
        EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX)
    }

    fn meet_deadlines(&mut self, now: Instant) {
        if self.link.as_ref().and_then(|link| link.patience).is_some_and(|at| at <= now) {
            self.hang_up();
        }
        if self.drain_at.take_if(|at| *at <= now).is_some() {
            self.drain();
        }
        let due = self.attempts.iter().filter(|(_, attempt)| attempt.due().is_some_and(|at| at <= now));
        for serial in due.map(|(serial, _)| *serial).collect::<Vec<_>>() {
            self.press(serial, now);
        }
        if self.sweeping.as_ref().is_some_and(|sweeping| sweeping.next_step_at <= now) {
            self.sweep_on(now);
        }
    }

    /// The attempt of that name, if it runs. A walk: the table is no longer than what runs at once.
    pub(super) fn find(&self, key: Key) -> Option<Serial> {
        self.attempts.iter().find(|(_, attempt)| attempt.running.key == key).map(|(serial, _)| *serial)
    }

    fn pump(&mut self, serial: Serial) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        // The rest is taken when the loop comes round again; a closed pipe leaves the epoll by itself.
        attempt.output.pump(self.null.as_fd());
    }
}
