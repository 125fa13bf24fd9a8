//! The loop: waits for the daemon, for ends, for output and for the next deadline, all at once.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::Error;
use super::attempt::{Attempt, Serial};
use super::link::Link;
use super::output::Output;
use super::spawn::{self, Surroundings};
use super::sweep::Sweeping;
use crate::sys::process::{self, Starter};
use crate::sys::procfs::{self, Orphans};
use crate::sys::signal::{self, Signals};
use crate::sys::{clock, fd};
use crate::wire::runner::{Cause, End, Ended, FromRunner, Key, Running, Spawn, Usage};

/// Tokens of the runner's own descriptors; larger ones are attempts' serials.
pub(super) const LISTENER: u64 = 0;
pub(super) const LINK: u64 = 1;
const SIGNALS: u64 = 2;
pub(super) const SWEEP: u64 = 3;
const FIRST_SERIAL: Serial = 16;

/// How long an ended runner waits for its last reports to be acknowledged.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Whether the runner is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// The daemon said so; the next daemon may keep it.
    Asked,
    /// By SIGTERM. `by` is set once nothing runs any more.
    Terminated {
        by: Option<Instant>,
    },
}

/// Everything that the runner knows.
#[derive(Debug)]
pub(super) struct Runner {
    pub(super) identity: String,
    pub(super) boot: String,
    pub(super) daemon_uid: u32,
    pub(super) listener: OwnedFd,
    pub(super) epoll: Epoll,
    signals: Signals,
    starter: Starter,
    null: OwnedFd,
    open_files: (u64, u64),
    pub(super) link: Option<Link>,
    /// The identity of the daemon that spoke last.
    pub(super) instance: String,
    pub(super) attempts: BTreeMap<Serial, Attempt>,
    next_serial: Serial,
    /// What ended and is not acknowledged.
    pub(super) ended: BTreeMap<Key, Ended>,
    pub(super) orphans: Orphans,
    /// Orphans that are alive, and whose they are, if anybody's that is in the table.
    pub(super) strays: HashMap<i32, Option<Serial>>,
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

    fn may_leave(&mut self, now: Instant) -> bool {
        if !self.attempts.is_empty() || self.sweeping.is_some() {
            return false;
        }
        match &mut self.leaving {
            Leaving::No => false,
            Leaving::Asked => self.ended.is_empty(),
            Leaving::Terminated { by } => {
                let by = *by.get_or_insert(now + LAST_WORDS);
                self.ended.is_empty() || self.link.is_none() || by <= now
            }
        }
    }

    /// Takes one signal; an event for the next one follows at once.
    fn take_signal(&mut self) {
        match (self.signals.next().ok().flatten(), self.leaving) {
            (None, _) => {}
            (Some(libc::SIGCHLD), _) => self.reap(),
            (Some(_), Leaving::No | Leaving::Asked) => {
                self.leaving = Leaving::Terminated { by: None };
                self.drain();
            }
            // A second one will not wait.
            (Some(_), Leaving::Terminated { .. }) => self.serials().into_iter().for_each(|serial| self.kill(serial)),
        }
    }

    fn serials(&self) -> Vec<Serial> {
        self.attempts.keys().copied().collect()
    }

    /// The attempt of that name, if it runs. A walk: the table is no longer than what runs at once.
    pub(super) fn find(&self, key: Key) -> Option<Serial> {
        self.attempts.iter().find(|(_, attempt)| attempt.running.key == key).map(|(serial, _)| *serial)
    }

    fn drain(&mut self) {
        for serial in self.serials() {
            self.stop_its_way(serial, Cause::Drained);
        }
    }

    fn pump(&mut self, serial: Serial) {
        let Some(attempt) = self.attempts.get_mut(&serial) else { return };
        // The rest is taken when the loop comes round again; a closed pipe leaves the epoll by itself.
        attempt.output.pump(self.null.as_fd());
    }

    /// Starts an attempt, unless it is known.
    pub(super) fn spawn(&mut self, spawn: &Spawn, descriptors: Vec<OwnedFd>) {
        // While it leaves it starts nothing: whoever runs next will be asked again.
        let leaves = matches!(self.leaving, Leaving::Terminated { .. });
        if leaves || self.find(spawn.key).is_some() || self.ended.contains_key(&spawn.key) {
            return;
        }
        let started_at_us = clock::now_us();
        match self.start(spawn, descriptors, started_at_us) {
            Ok(running) => self.say(FromRunner::Started(running)),
            Err(end) => self.settle_end(Ended {
                key: spawn.key,
                end,
                cause: Cause::Itself,
                started_at_us,
                ended_at_us: clock::now_us(),
                usage: Usage::default(),
                output_bytes: 0,
                dropped_bytes: 0,
            }),
        }
    }

    fn start(&mut self, spawn: &Spawn, descriptors: Vec<OwnedFd>, started_at_us: i64) -> Result<Running, End> {
        let missing = || spawn::exhausted(io::Error::from_raw_os_error(libc::EBADF));
        let mut descriptors = descriptors.into_iter();
        let file = descriptors.next().ok_or_else(missing)?;
        let input = if spawn.has_input { Some(descriptors.next().ok_or_else(missing)?) } else { None };
        let (pipe, writer) = fd::pipe().map_err(spawn::exhausted)?;
        self.watch(&pipe, self.next_serial).map_err(spawn::exhausted)?;
        let around = Surroundings {
            instance: &self.instance,
            input: input.as_ref().unwrap_or(&self.null).as_fd(),
            output: writer.as_fd(),
            open_files: self.open_files,
        };
        let started = spawn::start(&mut self.starter, spawn, &around)?;
        let running = Running { key: spawn.key, pid: started.pid, start_ticks: started.start_ticks, started_at_us };
        let output = Output::new(pipe, file, spawn.output_cap_bytes);
        self.attempts.insert(self.next_serial, Attempt::new(spawn, running, output, Instant::now()));
        self.next_serial += 1;
        Ok(running)
    }

    /// Keeps an end until it is acknowledged, and tells it.
    pub(super) fn settle_end(&mut self, ended: Ended) {
        self.ended.insert(ended.key, ended.clone());
        self.say(FromRunner::Ended(ended));
    }

    /// Closes the books of an attempt that has ended.
    pub(super) fn finish(&mut self, serial: Serial) {
        let Some(mut attempt) = self.attempts.remove(&serial) else { return };
        attempt.output.finish(self.null.as_fd());
        for owner in self.strays.values_mut() {
            owner.take_if(|owner| *owner == serial);
        }
        if let Some(ended) = attempt.report() {
            self.settle_end(ended);
        }
    }
}
