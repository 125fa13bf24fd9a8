//! The runner becomes another program, and its table goes along.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::Error;
use super::attempt::{Attempt, Serial};
use super::leave::Leaving;
use super::link::Link;
use super::reap::LOOK_AGAIN;
use super::serve::{FIRST_SERIAL, Runner};
use crate::daemon::sandbox::{Commands, Report};
use crate::daemon::{log::in_full, upgrade::Candidate};
use crate::sys::cgroup::Tree;
use crate::sys::fd::{self, OpenFiles};
use crate::sys::inherit::Inheritable;
use crate::sys::{clock, process};
use crate::wire::runner::{Ended, FromRunner, Key, PROGRAM, Sweep, TABLE, by_key};

/// All that a runner has to know to go on, whichever program it is. What is missing here it finds out again.
#[derive(Debug, Serialize, Deserialize)]
pub struct Table {
    pub(super) identity: String,
    pub(super) daemon_uid: u32,
    /// The process's own limits as they were when it started.
    pub(super) open_files: OpenFiles,
    pub(super) listener: Inheritable,
    /// The identity of the daemon that spoke last.
    pub(super) instance: String,
    pub(super) attempts: HashMap<Serial, Attempt>,
    pub(super) next_serial: Serial,
    /// What ended and is not acknowledged.
    #[serde(with = "by_key")]
    pub(super) ended: BTreeMap<Key, Ended>,
    /// When the patience with what runs is over.
    #[serde(with = "clock::moment::maybe")]
    pub(super) drain_at: Option<Instant>,
    /// The daemon that listens with the version that both speak, on the way to another program alone.
    pub(super) link: Option<(Inheritable, u16)>,
    /// A sweep under way, which begins again there.
    pub(super) sweep: Option<Sweep>,
    /// What tasks are kept from.
    #[serde(default)]
    pub commands: Commands,
    /// The control groups that were given to this process.
    #[serde(default)]
    pub tree: Option<Tree>,
    /// What comes of both, for people.
    #[serde(default)]
    pub report: Report,
}

impl Table {
    /// That of a runner which begins to serve `listener`, a listening [`SOCK_SEQPACKET`](crate::sys::socket) socket. Only
    /// `daemon_uid` may connect.
    ///
    /// # Errors
    /// Where the limit on open files cannot be raised, or the kernel has no random bytes.
    pub fn new(listener: OwnedFd, daemon_uid: u32) -> io::Result<Self> {
        Ok(Self {
            identity: process::random_name()?,
            daemon_uid,
            open_files: fd::raise_open_files()?,
            listener: listener.into(),
            instance: String::new(),
            attempts: HashMap::new(),
            next_serial: FIRST_SERIAL,
            ended: BTreeMap::new(),
            drain_at: None,
            link: None,
            sweep: None,
            commands: Commands::default(),
            tree: None,
            report: Report::default(),
        })
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let sockets = [&self.listener].into_iter().chain(self.link.iter().map(|(socket, _)| socket));
        let outputs = self.attempts.values().flat_map(|attempt| attempt.output.descriptors());
        let groups = self.attempts.values().filter_map(|attempt| attempt.group.as_ref()).map(AsFd::as_fd);
        sockets.map(AsFd::as_fd).chain(self.tree.as_ref().map(AsFd::as_fd)).chain(groups).chain(outputs).collect()
    }
}

impl Runner {
    /// Notes the program that it is to become once everything is said.
    pub(super) fn upgrade(&mut self, program: Option<OwnedFd>) {
        match program.map(Candidate::of).transpose() {
            Ok(program) => self.successor = program,
            Err(error) => self.say(FromRunner::Kept { reason: in_full(&error) }),
        }
    }

    /// Becomes that program, and returns only where there is none, or the kernel refuses it. What runs, what ended, the
    /// sockets and the pipes go along; so do orphans, for the process stays the same, and a SIGCHLD that is not taken
    /// yet. The thread that executes becomes the first one, so that what runs then stands among the orphans until it ends.
    pub(super) fn hand_over(mut self) -> Result<Self, Error> {
        let Some(_) = &self.successor else { return Ok(self) };
        self.recall();
        // Why a start fails is known to the program that tried.
        if !self.starter.is_idle() {
            self.look_again_at = Some(Instant::now() + LOOK_AGAIN);
            return Ok(self);
        }
        let ready = self.leaving == Leaving::No && self.link.as_ref().is_none_or(|link| !link.channel.waits());
        let Some(program) = self.successor.take_if(|_| ready) else { return Ok(self) };
        let mut table = self.table;
        table.link = self.link.and_then(Link::into_parts);
        table.sweep = self.sweeping.map(|sweeping| sweeping.sweep);
        let arguments: Vec<_> = std::env::args_os().collect();
        let error = program.take_over(&arguments, &table, &table.descriptors());
        let mut runner = Self::new(table)?;
        runner.say(FromRunner::Kept { reason: in_full(&error) });
        runner.tell();
        Ok(runner)
    }

    /// Says which program it is, and how it holds tasks.
    pub(super) fn introduce(&mut self) {
        self.say(FromRunner::Program { version: PROGRAM.to_owned(), table: TABLE });
        let Report { in_force, missing } = self.table.report.clone();
        self.say(FromRunner::Holds { in_force, missing });
    }
}
