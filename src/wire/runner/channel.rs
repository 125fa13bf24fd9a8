//! One side of a link: what arrives, and what is to be said.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::packet::{self, MAX_PACKET_BYTES, Outbox, Packet, Received};
use crate::sys::events::{Events, Interest};
use crate::sys::socket;

/// Messages per packet: what is small travels together when much happens at once.
const BATCH: usize = 128;

/// What can be said over a channel.
pub trait Word: Serialize {
    /// How long it may wait for others that are said after it.
    fn patience(&self) -> Duration;
}

/// A socket, with the messages of type `W` that wait to be sent over it.
#[derive(Debug)]
pub struct Channel<W> {
    socket: OwnedFd,
    buffer: Vec<u8>,
    words: Vec<W>,
    /// When they are to be sent.
    due: Option<Instant>,
    outbox: Outbox,
}

impl<W: Word> Channel<W> {
    /// A channel over `socket`, a connected one that keeps boundaries.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; MAX_PACKET_BYTES], words: Vec::new(), due: None, outbox: Outbox::default() }
    }

    /// The socket alone; nothing waits, or what does is lost.
    #[must_use]
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Receives the next packet, without waiting.
    ///
    /// # Errors
    /// As [`packet::receive`].
    pub fn receive<M: DeserializeOwned>(&mut self) -> io::Result<Received<M>> {
        packet::receive(&self.socket, &mut self.buffer)
    }

    /// Has `message` sent by the next [`flush`](Self::flush), with all that was said before; what may wait, by one
    /// after that time.
    pub fn say(&mut self, message: W) {
        let due = Instant::now() + message.patience();
        self.words.push(message);
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    /// When [`flush`](Self::flush) has something new to send.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether something was said that could not be sent yet.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.due.is_some() || !self.outbox.is_empty()
    }

    /// Sends what is due, and has the event named `token` tell when there is room for what is left.
    pub fn flush_and_watch(&mut self, events: &Events, token: u64) {
        let was_full = !self.outbox.is_empty();
        self.flush();
        if self.outbox.is_empty() == was_full {
            let interest = if was_full { Interest::Reading } else { Interest::Both };
            events.change(&self.socket, token, interest);
        }
    }

    /// Sends what is due, as far as there is room for it.
    ///
    /// Where something cannot be sent at all, nothing more is: the other side finds the end of what was said,
    /// and what it says itself can still be read.
    pub fn flush(&mut self) {
        if self.try_flush().is_err() {
            self.outbox = Outbox::default();
            socket::end_writing(&self.socket);
        }
    }

    fn try_flush(&mut self) -> io::Result<()> {
        if self.due.is_some_and(|due| due > Instant::now()) {
            return self.outbox.flush(&self.socket).map(drop);
        }
        self.due = None;
        for words in std::mem::take(&mut self.words).chunks(BATCH) {
            self.outbox.push(Packet::new(words, Vec::new())?);
        }
        self.outbox.flush(&self.socket).map(drop)
    }
}

impl<W> AsFd for Channel<W> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::runner::{FromRunner, Key, Running, ToRunner};

    impl Word for ToRunner {
        fn patience(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn said(count: i64) -> Vec<ToRunner> {
        (0..count).map(|task| ToRunner::Acknowledge(vec![Key { task, attempt: 1 }])).collect()
    }

    #[test]
    fn what_there_is_no_room_for_waits_and_arrives_in_order() {
        let (here, there) = socket::pair().unwrap();
        let (mut here, mut there) = (Channel::new(here), Channel::<ToRunner>::new(there));
        let messages = said(100_000);
        messages.iter().for_each(|message| here.say(message.clone()));
        here.flush();
        assert!(here.waits());
        let mut arrived = Vec::new();
        while arrived.len() < messages.len() {
            match there.receive::<ToRunner>().unwrap() {
                Received::Messages(some, _) => arrived.extend(some),
                Received::Nothing => here.flush(),
                Received::End => panic!("the end"),
            }
        }
        assert_eq!(arrived, messages);
        assert!(!here.waits());
    }

    #[test]
    fn what_may_wait_goes_with_the_next_word_or_after_its_time() {
        let (here, there) = socket::pair().unwrap();
        let (mut here, mut there) = (Channel::new(here), Channel::<ToRunner>::new(there));
        let key = Key { task: 1, attempt: 1 };
        let slow = FromRunner::Started(Running { key, pid: 2, start_ticks: 3, started_at_us: 4 });
        let quick = FromRunner::Swept { keys: vec![key], survivors: Vec::new() };
        here.say(slow.clone());
        here.say(quick.clone());
        here.flush();
        assert!(
            matches!(there.receive::<FromRunner>().unwrap(), Received::Messages(all, _) if all == [slow.clone(), quick])
        );
        assert!(!here.waits());
        here.say(slow.clone());
        while let Some(due) = here.due() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            here.flush();
        }
        assert!(matches!(there.receive::<FromRunner>().unwrap(), Received::Messages(all, _) if all == [slow]));
    }

    #[test]
    fn one_that_can_say_no_more_can_still_hear() {
        let (here, there) = socket::pair().unwrap();
        let (mut here, mut there) = (Channel::new(here), Channel::new(there));
        said(1).into_iter().for_each(|message| there.say(message));
        there.flush();
        drop(there);
        said(1).into_iter().for_each(|message| here.say(message));
        here.flush();
        assert!(!here.waits());
        assert!(matches!(here.receive::<ToRunner>().unwrap(), Received::Messages(all, _) if all == said(1)));
        assert!(matches!(here.receive::<ToRunner>().unwrap(), Received::End));
    }
}
