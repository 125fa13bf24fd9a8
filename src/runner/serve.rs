//! The loop: waits for the daemon, for ends, for output and for the next deadline, all at once.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use super::Error;
use super::attempt::{Attempt, Serial};
use super::handover::Table;
use super::leave::Leaving;
use super::link::Link;
use super::spawn::Standby;
use super::sweep::Sweeping;
use crate::daemon::upgrade::Candidate;
use crate::sys::events::Events;
use crate::sys::fd;
use crate::sys::memory::Rest;
use crate::sys::process::Starter;
use crate::sys::procfs::{self, Orphans};
use crate::sys::signal::{self, Signals};
use crate::sys::slice;
use crate::wire::runner::Key;

/// Tokens of the runner's own descriptors; larger ones are attempts' serials.
pub(super) const LISTENER: u64 = 0;
pub(super) const LINK: u64 = 1;
const SIGNALS: u64 = 2;
pub(super) const SWEEP: u64 = 3;
pub(super) const FIRST_SERIAL: Serial = 16;

/// Everything that the runner knows.
#[derive(Debug)]
pub(super) struct Runner {
    /// What the next program has to know too.
    pub(super) table: Table,
    pub(super) boot: String,
    pub(super) events: Events,
    pub(super) signals: Signals,
    pub(super) starter: Starter,
    pub(super) null: OwnedFd,
    pub(super) link: Option<Link>,
    pub(super) orphans: Orphans,
    /// Orphans that are nobody's in the table, and when they were first seen.
    pub(super) strangers: HashMap<i32, Instant>,
    /// When to look again at what cannot be told yet: the owner of an orphan, or whether a start is over.
    pub(super) look_again_at: Option<Instant>,
    pub(super) sweeping: Option<Sweeping>,
    pub(super) leaving: Leaving,
    pub(super) rest: Rest,
    pub(super) standby: Standby,
    /// The program that it is to become.
    pub(super) successor: Option<Candidate>,
}

impl Runner {
    /// Prepares the calling thread, which has to call [`Runner::run`] too, to go on with `table`.
    pub(super) fn new(mut table: Table) -> Result<Self, Error> {
        let prepare = |step| move |source| Error::Prepare { step, source };
        let blocked = signal::block_all().map_err(prepare("block signals"))?;
        // An end is told, and what follows is started, before other tasks have had their turns; it goes without.
        let _ = slice::shorten();
        let signals = Signals::new(&blocked, &[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT]);
        let signals = signals.map_err(prepare("take signals"))?;
        let events = Events::new().map_err(prepare("make an epoll"))?;
        events.add(&table.listener, LISTENER).map_err(prepare("watch the socket"))?;
        events.add(&signals, SIGNALS).map_err(prepare("watch for signals"))?;
        for (serial, attempt) in &table.attempts {
            let watched = attempt.output.pipe().map_or(Ok(()), |pipe| events.add(pipe, *serial));
            watched.map_err(prepare("watch what tasks write"))?;
        }
        let (link, sweep) = (table.link.take(), table.sweep.take());
        let mut runner = Self {
            table,
            boot: procfs::boot_id().map_err(prepare("read the boot id"))?,
            events,
            signals,
            starter: Starter::new(blocked).map_err(prepare("find out the clock's tick"))?,
            null: fd::null().map_err(prepare("open /dev/null"))?,
            link: None,
            orphans: Orphans::open().map_err(prepare("read the list of orphans (CONFIG_PROC_CHILDREN)"))?,
            strangers: HashMap::new(),
            look_again_at: None,
            sweeping: None,
            leaving: Leaving::No,
            rest: Rest::default(),
            standby: Standby::new(),
            successor: None,
        };
        if let Some((socket, version)) = link {
            runner.take_link(socket.into_inner(), Some(version));
        }
        if let Some(sweep) = sweep {
            runner.sweep(sweep);
        }
        Ok(runner)
    }

    /// Serves until it is time to leave.
    pub(super) fn run(mut self) -> Result<(), Error> {
        // What the program before this one left, and what ended meanwhile.
        self.introduce();
        self.reap();
        self.tell();
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
            self = self.hand_over()?;
        }
        Ok(())
    }

    /// Until when nothing needs to be done: for ever, where nothing has a deadline.
    fn next_deadline(&self) -> Option<Instant> {
        let attempts = self.table.attempts.values().filter_map(Attempt::due);
        let own = [self.look_again_at, self.table.drain_at, self.sweep_due(), self.leaving.deadline(), self.rest.due()];
        let words = self.link.as_ref().and_then(|link| link.channel.due());
        attempts.chain(own.into_iter().chain([self.silence_ends(), words]).flatten()).min()
    }

    fn meet_deadlines(&mut self, now: Instant) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_due(self.silence_ends()) {
            self.hang_up();
        }
        if is_due(self.table.drain_at) {
            self.table.drain_at = None;
            self.drain();
        }
        if is_due(self.look_again_at) || self.table.attempts.values().any(|attempt| is_due(attempt.due())) {
            self.settle(now);
        }
        if is_due(self.sweep_due()) {
            self.sweep_on(now);
        }
        self.rest.take(now);
    }

    fn silence_ends(&self) -> Option<Instant> {
        self.link.as_ref().and_then(|link| link.silent_until)
    }

    fn sweep_due(&self) -> Option<Instant> {
        self.sweeping.as_ref().map(|sweeping| sweeping.next_step_at)
    }

    /// The attempt of that name, if it runs. A walk: the table is no longer than what runs at once.
    pub(super) fn attempt(&mut self, key: Key) -> Option<&mut Attempt> {
        self.table.attempts.values_mut().find(|attempt| attempt.running.key == key)
    }

    /// Moves some output; the rest follows when the loop comes round again.
    fn pump(&mut self, serial: Serial) {
        if let Some(attempt) = self.table.attempts.get_mut(&serial) {
            attempt.output.pump(self.null.as_fd(), &self.events);
        }
    }
}
