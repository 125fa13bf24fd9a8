//! The loop: waits for the daemon, for ends, for output and for the next deadline, all at once.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use super::Error;
use super::attempt::{Attempt, Serial};
use super::leave::Leaving;
use super::link::Link;
use super::sweep::Sweeping;
use crate::sys::events::Events;
use crate::sys::fd::{self, OpenFiles};
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
    pub(super) events: Events,
    pub(super) signals: Signals,
    pub(super) starter: Starter,
    pub(super) null: OwnedFd,
    pub(super) open_files: OpenFiles,
    pub(super) link: Option<Link>,
    /// The identity of the daemon that spoke last.
    pub(super) instance: String,
    pub(super) attempts: HashMap<Serial, Attempt>,
    pub(super) next_serial: Serial,
    /// What ended and is not acknowledged.
    pub(super) ended: BTreeMap<Key, Ended>,
    pub(super) orphans: Orphans,
    /// Orphans that are nobody's in the table, and when they were first seen.
    pub(super) strangers: HashMap<i32, Instant>,
    /// When to look again at orphans whose owner cannot be told yet.
    pub(super) look_again_at: Option<Instant>,
    pub(super) sweeping: Option<Sweeping>,
    pub(super) leaving: Leaving,
    /// When the patience with what runs is over.
    pub(super) drain_at: Option<Instant>,
}

impl Runner {
    /// Prepares the calling thread, which has to call [`Runner::run`] too. `open_files` are this process's limits
    /// as they were before it raised them.
    pub(super) fn new(listener: OwnedFd, daemon_uid: u32, open_files: OpenFiles) -> Result<Self, Error> {
        let prepare = |step| move |source| Error::Prepare { step, source };
        let blocked = signal::block_all().map_err(prepare("block signals"))?;
        let signals = Signals::new(&blocked, &[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT]);
        let signals = signals.map_err(prepare("take signals"))?;
        let identity = process::random::<16>().map_err(prepare("get random bytes"))?;
        let events = Events::new().map_err(prepare("make an epoll"))?;
        events.add(&listener, LISTENER).map_err(prepare("watch the socket"))?;
        events.add(&signals, SIGNALS).map_err(prepare("watch for signals"))?;
        Ok(Self {
            identity: identity.iter().map(|byte| format!("{byte:02x}")).collect(),
            boot: procfs::boot_id().map_err(prepare("read the boot id"))?,
            daemon_uid,
            listener,
            events,
            signals,
            starter: Starter::new(blocked).map_err(prepare("find out the clock's tick"))?,
            null: fd::null().map_err(prepare("open /dev/null"))?,
            open_files,
            link: None,
            instance: String::new(),
            attempts: HashMap::new(),
            next_serial: FIRST_SERIAL,
            ended: BTreeMap::new(),
            orphans: Orphans::open().map_err(prepare("read the list of orphans (CONFIG_PROC_CHILDREN)"))?,
            strangers: HashMap::new(),
            look_again_at: None,
            sweeping: None,
            leaving: Leaving::No,
            drain_at: None,
        })
    }

    /// Serves until it is time to leave.
    pub(super) fn run(mut self) -> Result<(), Error> {
        while !self.may_leave(Instant::now()) {
            let ready = self.events.wait(self.next_deadline()).map_err(Error::Wait)?;
            for token in &ready {
                match *token {
                    LISTENER => self.accept(),
                    LINK => self.hear(),
                    SIGNALS => {}
                    SWEEP => self.sweep_on(Instant::now()),
                    serial => self.pump(serial),
                }
            }
            // After the output: by then the pipes of what ended are usually empty and closed.
            if ready.contains(&SIGNALS) {
                self.take_signal();
            }
            self.meet_deadlines(Instant::now());
            self.tell();
        }
        Ok(())
    }

    /// Until when nothing needs to be done: for ever, where nothing has a deadline.
    fn next_deadline(&self) -> Option<Instant> {
        let attempts = self.attempts.values().filter_map(Attempt::due);
        let own = [self.look_again_at, self.drain_at, self.silence_ends(), self.sweep_due(), self.leaving.deadline()];
        attempts.chain(own.into_iter().flatten()).min()
    }

    fn meet_deadlines(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.silence_ends()) {
            self.hang_up();
        }
        if is_due(self.drain_at) {
            self.drain_at = None;
            self.drain();
        }
        if is_due(self.look_again_at) || self.attempts.values().any(|attempt| is_due(attempt.due())) {
            self.settle(now);
        }
        if is_due(self.sweep_due()) {
            self.sweep_on(now);
        }
    }

    fn silence_ends(&self) -> Option<Instant> {
        self.link.as_ref().and_then(|link| link.silent_until)
    }

    fn sweep_due(&self) -> Option<Instant> {
        self.sweeping.as_ref().map(|sweeping| sweeping.next_step_at)
    }

    /// The attempt of that name, if it runs. A walk: the table is no longer than what runs at once.
    pub(super) fn attempt(&mut self, key: Key) -> Option<&mut Attempt> {
        self.attempts.values_mut().find(|attempt| attempt.running.key == key)
    }

    /// Moves some output; the rest follows when the loop comes round again.
    fn pump(&mut self, serial: Serial) {
        if let Some(attempt) = self.attempts.get_mut(&serial) {
            attempt.output.pump(self.null.as_fd(), &self.events);
        }
    }
}
