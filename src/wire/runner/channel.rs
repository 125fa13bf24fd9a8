//! One side of a link: what arrives, and what is to be said.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::packet::{self, MAX_PACKET_BYTES, Outbox, Packet, Received};
use crate::sys::socket;

/// Messages per packet: what is small travels together when much happens at once.
const BATCH: usize = 128;

/// A socket, with the messages of type `W` that wait to be sent over it.
#[derive(Debug)]
pub struct Channel<W> {
    socket: OwnedFd,
    buffer: Vec<u8>,
    words: Vec<W>,
    outbox: Outbox,
}

impl<W: Serialize> Channel<W> {
    /// A channel over `socket`, a connected one that keeps boundaries.
    #[must_use]
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, buffer: vec![0; MAX_PACKET_BYTES], words: Vec::new(), outbox: Outbox::default() }
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

    /// Has `message` sent by the next [`flush`](Self::flush).
    pub fn say(&mut self, message: W) {
        self.words.push(message);
    }

    /// Whether something could not be sent yet for want of room.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends what there is room for.
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
    use crate::wire::runner::{Key, ToRunner};

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
