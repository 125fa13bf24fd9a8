//! The runner's end of the socket: one daemon at a time, read to its end.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::attempt::Attempt;
use super::leave::Leaving;
use super::serve::{LINK, LISTENER, Runner};
use crate::sys::signal;
use crate::sys::socket;
use crate::wire::runner::packet::{self, MAX_PACKET_BYTES, Outbox, Packet, Received};
use crate::wire::runner::{Cause, FromRunner, OLDEST, ToRunner, VERSION, Welcome};

/// Messages per packet: what is small travels together when much happens at once.
const BATCH: usize = 128;

/// How long a daemon may take to say who it is.
const SILENCE: Duration = Duration::from_secs(10);

/// A connected daemon.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    pub(super) peer: socket::Peer,
    buffer: Vec<u8>,
    phase: Phase,
    /// Until when the next daemon waits for one that says nothing.
    pub(super) patience: Option<Instant>,
    /// What is said at the end of this round.
    words: Vec<FromRunner>,
    outbox: Outbox,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its first message is awaited.
    Silent,
    Greeted,
    /// It no longer takes anything; it is only read to its end.
    Deaf,
}

impl Runner {
    /// Takes the next daemon. The others wait in the socket's queue.
    pub(super) fn accept(&mut self) {
        let Ok(socket) = socket::accept(&self.listener) else { return };
        let Ok(peer) = socket::peer(&socket) else { return };
        if peer.uid != self.daemon_uid && peer.uid != 0 || self.watch(&socket, LINK).is_err() {
            return;
        }
        let buffer = vec![0; MAX_PACKET_BYTES];
        let patience = Some(Instant::now() + SILENCE);
        let (words, outbox) = (Vec::new(), Outbox::default());
        self.link = Some(Link { socket, peer, buffer, phase: Phase::Silent, patience, words, outbox });
        self.listen(EpollFlags::empty());
    }

    fn listen(&self, events: EpollFlags) {
        // Cannot fail: the listener is in the epoll, and changing it needs no memory.
        let _ = self.epoll.modify(&self.listener, &mut EpollEvent::new(events, LISTENER));
    }

    pub(super) fn hang_up(&mut self) {
        self.link = None;
        self.listen(EpollFlags::EPOLLIN);
    }

    /// Reads one packet. An event for the next one follows at once, after those of others.
    pub(super) fn hear(&mut self) {
        let Some(link) = &mut self.link else { return };
        match packet::receive(&link.socket, &mut link.buffer) {
            Ok(Received::Nothing) => {}
            Ok(Received::Messages(messages, descriptors)) => {
                let mut descriptors = Some(descriptors);
                for message in messages {
                    if !self.obey(message, &mut descriptors) {
                        return self.hang_up();
                    }
                }
            }
            Ok(Received::End) | Err(_) => self.hang_up(),
        }
    }

    /// Does what the daemon says; false where it broke the rules.
    fn obey(&mut self, message: ToRunner, descriptors: &mut Option<Vec<OwnedFd>>) -> bool {
        let phase = self.link.as_ref().map(|link| link.phase);
        match (message, phase) {
            (ToRunner::Hello { version, instance }, Some(Phase::Silent)) => return self.greet(version, instance),
            (_, Some(Phase::Silent) | None) | (ToRunner::Hello { .. }, _) => return false,
            (ToRunner::Spawn(spawn), _) => self.spawn(&spawn, descriptors.take().unwrap_or_default()),
            (ToRunner::Stop { key, signal, grace_ms }, _) => {
                if let Some(serial) = self.find(key) {
                    self.stop(serial, Cause::Stopped, signal, Duration::from_millis(grace_ms));
                }
            }
            (ToRunner::Signal { key, signal }, _) => {
                let attempt = self.find(key).and_then(|serial| self.attempts.get(&serial));
                if let Some(main) = attempt.and_then(Attempt::main) {
                    // It may have ended this very moment, which is no fault.
                    let _ = signal::send_group(main, signal);
                }
            }
            (ToRunner::Acknowledge(keys), _) => {
                for key in keys {
                    self.ended.remove(&key);
                }
            }
            (ToRunner::Sweep(sweep), _) => self.sweep(sweep),
            (ToRunner::Drain { patience_ms }, _) => {
                self.drain_at = Instant::now().checked_add(Duration::from_millis(patience_ms));
            }
            (ToRunner::Leave, _) => match self.leaving {
                Leaving::No | Leaving::Asked => self.leaving = Leaving::Asked,
                Leaving::Terminated { .. } => {}
            },
        }
        true
    }

    fn greet(&mut self, version: u16, instance: String) -> bool {
        let foreign = instance != self.instance && !(self.attempts.is_empty() && self.ended.is_empty());
        if version < OLDEST || foreign {
            self.say_first(FromRunner::Refused { version: VERSION, instance: self.instance.clone() });
            self.tell();
            return false;
        }
        self.instance = instance;
        self.drain_at = None;
        if self.leaving == Leaving::Asked {
            self.leaving = Leaving::No;
        }
        self.say_first(FromRunner::Welcome(Welcome {
            version: version.min(VERSION),
            runner: self.identity.clone(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            boot: self.boot.clone(),
            running: self.attempts.values().map(|attempt| attempt.running).collect(),
            ended: self.ended.values().cloned().collect(),
        }));
        true
    }

    fn say_first(&mut self, message: FromRunner) {
        let Some(link) = &mut self.link else { return };
        link.phase = Phase::Greeted;
        link.patience = None;
        link.words = vec![message];
    }

    /// Has `message` sent at the end of this round, if a daemon listens.
    pub(super) fn say(&mut self, message: FromRunner) {
        match &mut self.link {
            Some(link) if link.phase == Phase::Greeted => link.words.push(message),
            // The next daemon reads it from the table.
            Some(_) | None => {}
        }
    }

    /// Sends what was said; what the socket has no room for follows when it has.
    pub(super) fn tell(&mut self) {
        let Some(link) = &mut self.link else { return };
        if link.words.is_empty() && link.outbox.is_empty() {
            return;
        }
        let idle = link.outbox.is_empty();
        match link.send() {
            Ok(sent) if sent == idle => {}
            Ok(sent) => {
                let events = if sent { EpollFlags::EPOLLIN } else { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT };
                // Cannot fail: the socket is in the epoll, and changing it needs no memory.
                let _ = self.epoll.modify(&link.socket, &mut EpollEvent::new(events, LINK));
            }
            Err(_) => link.phase = Phase::Deaf,
        }
    }
}

impl Link {
    /// Sends what there is room for; true once nothing waits.
    fn send(&mut self) -> io::Result<bool> {
        for words in std::mem::take(&mut self.words).chunks(BATCH) {
            self.outbox.push(Packet::new(words, Vec::new())?);
        }
        self.outbox.flush(&self.socket)
    }
}
