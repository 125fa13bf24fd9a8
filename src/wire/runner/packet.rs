//! Packets: messages on a socket that keeps boundaries, with descriptors beside them.
//!
//! A packet is one byte that tells where its messages are, then the messages themselves, back to back in
//! [postcard](https://postcard.jamesmunns.com) form. What is too large for a packet lies in a sealed memory
//! file, the first descriptor of the packet.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::sys::{memfd, socket};

/// The largest packet, in bytes; a receiver's buffer.
pub const MAX_PACKET_BYTES: usize = 64 * 1024;

/// The largest message in a memory file, in bytes: several times what execve(2) takes.
pub const MAX_MESSAGE_BYTES: u64 = 64 * 1024 * 1024;

const INLINE: u8 = 0;
const IN_MEMORY: u8 = 1;

/// One packet, ready to be sent.
#[derive(Debug)]
pub struct Packet {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Packet {
    /// Packs `messages` and the descriptors that belong to them.
    ///
    /// # Errors
    /// Where a memory file is needed and cannot be had.
    pub fn new<M: Serialize>(messages: &[M], descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let mut bytes = vec![INLINE];
        for message in messages {
            bytes = postcard::to_extend(message, bytes).map_err(io::Error::other)?;
        }
        if bytes.len() <= MAX_PACKET_BYTES {
            return Ok(Self { bytes, descriptors });
        }
        let body = memfd::sealed("taskdaemon-message", bytes.get(1..).unwrap_or_default())?;
        Ok(Self { bytes: vec![IN_MEMORY], descriptors: [body].into_iter().chain(descriptors).collect() })
    }

    /// Puts `other` behind it, for both to be sent as one.
    ///
    /// # Errors
    /// `other` again where one packet has no room for both.
    pub fn join(&mut self, mut other: Self) -> Result<(), Self> {
        let (INLINE, Some((&INLINE, messages))) = (self.bytes[0], other.bytes.split_first()) else { return Err(other) };
        let has_room = self.bytes.len() + messages.len() <= MAX_PACKET_BYTES
            && self.descriptors.len() + other.descriptors.len() <= socket::MAX_DESCRIPTORS;
        if !has_room {
            return Err(other);
        }
        self.bytes.extend_from_slice(messages);
        self.descriptors.append(&mut other.descriptors);
        Ok(())
    }

    /// Sends it, without waiting; it may be sent again where that failed.
    ///
    /// # Errors
    /// WouldBlock where the other side has to read first; BrokenPipe where it is gone.
    pub fn send(&self, socket: impl AsFd) -> io::Result<()> {
        socket::send(socket, &self.bytes, &self.descriptors)
    }
}

/// Packets on their way. The other side may itself be waiting for room, so that nobody waits here: what the
/// socket has no room for stays until it has.
#[derive(Debug, Default)]
pub struct Outbox(VecDeque<Packet>);

impl Outbox {
    /// Puts a packet behind the others.
    pub fn push(&mut self, packet: Packet) {
        self.0.push_back(packet);
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends what there is room for; true once nothing waits any more.
    ///
    /// # Errors
    /// BrokenPipe where the other side is gone; what waited is thrown away.
    pub fn flush(&mut self, socket: impl AsFd) -> io::Result<bool> {
        while let Some(packet) = self.0.pop_front() {
            match packet.send(&socket) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.0.push_front(packet);
                    return Ok(false);
                }
                Err(error) => {
                    self.0.clear();
                    return Err(error);
                }
            }
        }
        Ok(true)
    }
}

/// What a socket had.
#[derive(Debug)]
pub enum Received<M> {
    /// Messages, with the descriptors that came along.
    Messages(Vec<M>, Vec<OwnedFd>),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

/// Receives the next packet, without waiting; `buffer` holds [`MAX_PACKET_BYTES`].
///
/// # Errors
/// InvalidData for a packet that is not one of ours; the link is of no use after that.
pub fn receive<M: DeserializeOwned>(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Received<M>> {
    let packet = match socket::receive(socket, buffer) {
        Ok(packet) => packet,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Nothing),
        Err(error) => return Err(error),
    };
    let mut descriptors = packet.descriptors;
    match buffer.get(..packet.length).and_then(<[u8]>::split_first) {
        None => Ok(Received::End),
        Some((&INLINE, body)) => Ok(Received::Messages(unpack(body)?, descriptors)),
        Some((&IN_MEMORY, [])) if !descriptors.is_empty() => {
            let body = memfd::read_sealed(descriptors.remove(0), MAX_MESSAGE_BYTES)?;
            Ok(Received::Messages(unpack(&body)?, descriptors))
        }
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn unpack<M: DeserializeOwned>(mut bytes: &[u8]) -> io::Result<Vec<M>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (message, rest) =
            postcard::take_from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        messages.push(message);
        bytes = rest;
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd;
    use crate::wire::runner::{Key, ToRunner};

    fn buffer() -> Vec<u8> {
        vec![0; MAX_PACKET_BYTES]
    }

    fn round(message: &ToRunner) -> (Vec<ToRunner>, usize) {
        let (here, there) = socket::pair().unwrap();
        Packet::new(&[message, message], vec![fd::null().unwrap()]).unwrap().send(&here).unwrap();
        match receive(&there, &mut buffer()).unwrap() {
            Received::Messages(messages, descriptors) => (messages, descriptors.len()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_arrive_as_they_were_sent_small_and_large() {
        for count in [0, 3, 100_000] {
            let message = ToRunner::Acknowledge(vec![Key { task: i64::MAX, attempt: 1 }; count]);
            assert_eq!(round(&message), (vec![message.clone(), message], 1));
        }
    }

    #[test]
    fn what_there_is_room_for_travels_as_one_packet() {
        let packet = |message: &ToRunner| Packet::new(&[message], vec![fd::null().unwrap()]).unwrap();
        let acknowledge = |count| ToRunner::Acknowledge(vec![Key { task: i64::MAX, attempt: 1 }; count]);
        let (here, there) = socket::pair().unwrap();
        let mut joined = packet(&acknowledge(1));
        joined.join(packet(&acknowledge(2))).unwrap();
        // One that is just too long, one that lies in memory, and too many descriptors.
        assert!(joined.join(packet(&acknowledge(5_955))).is_err());
        assert!(joined.join(packet(&acknowledge(100_000))).is_err());
        assert!(packet(&acknowledge(100_000)).join(packet(&acknowledge(1))).is_err());
        while joined.descriptors.len() < socket::MAX_DESCRIPTORS {
            joined.join(packet(&acknowledge(1))).unwrap();
        }
        assert!(joined.join(packet(&acknowledge(1))).is_err());
        joined.send(&here).unwrap();
        let Received::Messages(messages, descriptors) = receive::<ToRunner>(&there, &mut buffer()).unwrap() else {
            panic!("nothing came");
        };
        assert_eq!(messages[..2], [acknowledge(1), acknowledge(2)]);
        assert_eq!((messages.len(), descriptors.len()), (socket::MAX_DESCRIPTORS, socket::MAX_DESCRIPTORS));
    }

    #[test]
    fn the_form_of_the_first_message_never_changes() {
        let hello = ToRunner::Hello { version: 1, instance: "ab".into() };
        assert_eq!(postcard::to_allocvec(&hello).unwrap(), [0, 1, 2, b'a', b'b']);
    }

    #[test]
    fn strangers_bytes_are_an_error_and_never_a_panic() {
        for bytes in [&[7u8][..], &[1], &[1, 2], &[0, 255], &[0, 0, 1, 255, 255, 255, 255, 15, 1]] {
            let (here, there) = socket::pair().unwrap();
            socket::send(&here, bytes, &[]).unwrap();
            let error = receive::<ToRunner>(&there, &mut buffer()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }

    #[test]
    fn nothing_and_the_end_are_told_apart() {
        let (here, there) = socket::pair().unwrap();
        assert!(matches!(receive::<ToRunner>(&there, &mut buffer()).unwrap(), Received::Nothing));
        drop(here);
        assert!(matches!(receive::<ToRunner>(&there, &mut buffer()).unwrap(), Received::End));
    }
}
