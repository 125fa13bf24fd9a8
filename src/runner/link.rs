//! The runner's end of the socket: one daemon at a time, read to its end.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::leave::Leaving;
use super::serve::{LINK, LISTENER, Runner};
use crate::sys::events::Interest;
use crate::sys::inherit::Inheritable;
use crate::sys::{clock, signal, socket};
use crate::wire::runner::channel::Channel;
use crate::wire::runner::packet::Received;
use crate::wire::runner::{Cause, FromRunner, OLDEST, ToRunner, VERSION, Welcome};

/// How long a daemon may take to say who it is.
const SILENCE: Duration = Duration::from_secs(10);

/// A connected daemon.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) channel: Channel<FromRunner>,
    pub(super) peer: socket::Peer,
    /// Until when the next daemon waits for one that has not said who it is.
    pub(super) silent_until: Option<Instant>,
    /// What both speak, once it has said so.
    pub(super) version: u16,
}

impl Link {
    /// What the next program needs of it; a daemon that has not said who it is connects again.
    pub(super) fn into_parts(self) -> Option<(Inheritable, u16)> {
        self.silent_until.is_none().then(|| (self.channel.into_socket().into(), self.version))
    }
}

impl Runner {
    /// Takes the next daemon. The others wait in the socket's queue.
    pub(super) fn accept(&mut self) {
        if let Ok(socket) = socket::accept(&self.table.listener) {
            self.take_link(socket, None);
        }
    }

    /// Listens to a daemon, with which a `version` is agreed on or not yet.
    pub(super) fn take_link(&mut self, socket: OwnedFd, version: Option<u16>) {
        let Ok(peer) = socket::peer(&socket) else { return };
        if peer.uid != self.table.daemon_uid || self.events.add(&socket, LINK).is_err() {
            return;
        }
        let silent_until = version.is_none().then(|| Instant::now() + SILENCE);
        let version = version.unwrap_or_default();
        self.link = Some(Link { channel: Channel::new(socket), peer, silent_until, version });
        self.events.change(&self.table.listener, LISTENER, Interest::Nothing);
    }

    pub(super) fn hang_up(&mut self) {
        // A program that is on its way into execve(2) holds a copy of the socket, and would make its end an event on and on.
        let _ = self.link.take().map(|link| self.events.remove(&link.channel));
        self.standby.clear();
        self.events.change(&self.table.listener, LISTENER, Interest::Reading);
    }

    /// Reads one packet. An event for the next one follows at once, after those of others.
    pub(super) fn hear(&mut self) {
        let Some(link) = &mut self.link else { return };
        match link.channel.receive() {
            Ok(Received::Nothing) => {}
            Ok(Received::Messages(messages, mut descriptors)) => {
                if !messages.into_iter().all(|message| self.obey(message, &mut descriptors)) {
                    self.hang_up();
                }
            }
            Ok(Received::End) | Err(_) => self.hang_up(),
        }
    }

    /// Does what the daemon says; false where it broke the rules.
    fn obey(&mut self, message: ToRunner, descriptors: &mut Vec<OwnedFd>) -> bool {
        let silent = self.link.as_ref().is_none_or(|link| link.silent_until.is_some());
        if silent != matches!(message, ToRunner::Hello { .. }) {
            return false;
        }
        match message {
            ToRunner::Hello { version, instance } => return self.greet(version, instance),
            ToRunner::Spawn(spawn) => self.spawn(spawn.with_own(descriptors)),
            ToRunner::Stop { key, signal, grace_ms } => {
                if let Some(attempt) = self.attempt(key) {
                    attempt.stop(Cause::Stopped, signal, grace_ms);
                }
            }
            ToRunner::Signal { key, signal } => {
                if let Some(main) = self.attempt(key).and_then(|attempt| attempt.main()) {
                    // It may have ended this very moment, which is no fault.
                    let _ = signal::send_group(main, signal);
                }
            }
            ToRunner::Acknowledge(keys) => {
                for key in keys {
                    self.table.ended.remove(&key);
                }
            }
            ToRunner::Sweep(sweep) => self.sweep(sweep),
            ToRunner::Drain { patience_ms } => self.table.drain_at = Some(clock::after(Instant::now(), patience_ms)),
            ToRunner::Leave if self.leaving == Leaving::No => self.leaving = Leaving::Asked,
            ToRunner::Leave => {}
            ToRunner::Upgrade => self.upgrade(descriptors.pop()),
            ToRunner::StandBy(spawn) => self.standby.push_back(spawn.with_own(descriptors)),
            ToRunner::Recall => self.recall(),
        }
        true
    }

    fn greet(&mut self, version: u16, instance: String) -> bool {
        if let Some(link) = &mut self.link {
            link.silent_until = None;
            link.version = version.min(VERSION);
        }
        let foreign =
            instance != self.table.instance && !(self.table.attempts.is_empty() && self.table.ended.is_empty());
        if version < OLDEST || foreign {
            self.say(FromRunner::Refused { version: VERSION, instance: self.table.instance.clone() });
            self.tell();
            return false;
        }
        self.table.instance = instance;
        self.table.drain_at = None;
        if self.leaving == Leaving::Asked {
            self.leaving = Leaving::No;
        }
        self.say(FromRunner::Welcome(Welcome {
            version: version.min(VERSION),
            runner: self.table.identity.clone(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            boot: self.boot.clone(),
            running: self.table.attempts.values().map(|attempt| attempt.running).collect(),
            ended: self.table.ended.values().cloned().collect(),
        }));
        self.introduce();
        true
    }

    /// Has `message` sent at the end of this round or soon after, if a daemon listens; the next one finds it in the tables.
    pub(super) fn say(&mut self, message: FromRunner) {
        self.rest.later();
        if let Some(link) = self.link.as_mut().filter(|link| link.silent_until.is_none()) {
            message.for_version(link.version).into_iter().for_each(|message| link.channel.say(message));
        }
    }

    /// Sends what was said; what the socket has no room for follows when it has.
    pub(super) fn tell(&mut self) {
        if let Some(link) = &mut self.link {
            link.channel.flush_and_watch(&self.events, LINK);
        }
    }
}
