//! What a program writes, on its way from a pipe to a file, up to a cap.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use super::events::Events;
use super::fd;
use super::inherit::Inheritable;

/// Moved at a time: a pipe's usual size, so that one loud program cannot keep the others waiting.
const CHUNK: u64 = 64 * 1024;

/// A drained pipe holds at most /proc/sys/fs/pipe-max-size, 1 MiB unless raised; what a stranger writes on
/// and on is not waited for.
const DRAIN_BYTES: u64 = 1024 * 1024;

/// A pipe that is moved to a file. It can be written down, and read back by the next program of this process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pump {
    open: Option<(Inheritable, Inheritable)>,
    /// The end that the program writes to. While it is open here, the pipe does not end with the program, which would
    /// wake us a moment before the program's own end does. The next program of this process goes without.
    #[serde(skip)]
    writer: Option<OwnedFd>,
    room: u64,
    /// Bytes that are in the file.
    pub kept: u64,
    /// Bytes that were thrown away.
    pub dropped: u64,
}

impl Pump {
    /// From a pipe, of which it takes both ends, to `file`, at most `cap` bytes.
    #[must_use]
    pub fn new((pipe, writer): (OwnedFd, OwnedFd), file: OwnedFd, cap: u64) -> Self {
        Self { open: Some((pipe.into(), file.into())), writer: Some(writer), room: cap, kept: 0, dropped: 0 }
    }

    /// The pipe, while it is open.
    #[must_use]
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.open.as_ref().map(|(pipe, _)| pipe.as_fd())
    }

    /// Both ends, while they are open.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.open.iter().flat_map(|(pipe, file)| [pipe.as_fd(), file.as_fd()])
    }

    /// Moves one chunk; false where nothing more is there. Past the cap, or once the file refused (a full
    /// disk), it goes to `null` and is counted: what is kept is the output's beginning, without holes.
    pub fn pump(&mut self, null: BorrowedFd<'_>, events: &Events) -> bool {
        let Some((pipe, file)) = &self.open else { return false };
        let keeps = self.room > 0;
        let (to, limit) = if keeps { (file.as_fd(), CHUNK.min(self.room)) } else { (null, CHUNK) };
        match fd::splice(pipe, to, limit) {
            Ok(count @ 1..) if keeps => {
                self.kept += count;
                self.room -= count;
            }
            Ok(count @ 1..) => self.dropped += count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return false;
            }
            Err(_) if keeps => self.room = 0,
            Ok(0) | Err(_) => self.close(events),
        }
        self.open.is_some()
    }

    /// Takes what is in the pipe after the end, and closes it: who else holds the other end is a stranger.
    pub fn finish(&mut self, null: BorrowedFd<'_>, events: &Events) {
        let last = self.kept + self.dropped + DRAIN_BYTES;
        while self.kept + self.dropped < last && self.pump(null, events) {}
        self.close(events);
    }

    /// A program that is on its way into execve(2) holds a copy of the pipe, and would make it an event on and on.
    fn close(&mut self, events: &Events) {
        self.writer = None;
        if let Some((pipe, _)) = self.open.take() {
            events.remove(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;

    fn pumped(cap: u64, file: File, bytes: &[u8]) -> Pump {
        let null = fd::null().unwrap();
        let (reader, writer) = fd::pipe().unwrap();
        let events = Events::new().unwrap();
        events.add(&reader, 1).unwrap();
        let stranger = writer.try_clone().unwrap();
        let mut output = Pump::new((reader, writer), file.into(), cap);
        File::from(stranger.try_clone().unwrap()).write_all(bytes).unwrap();
        output.finish(null.as_fd(), &events);
        drop(stranger);
        output
    }

    #[test]
    fn what_is_past_the_cap_is_dropped_and_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let output = pumped(4, File::create(&path).unwrap(), b"0123456789");
        assert_eq!((output.kept, output.dropped), (4, 6));
        assert_eq!(fs::read(&path).unwrap(), b"0123");
    }

    #[test]
    fn a_full_disk_drops_and_counts_and_does_not_wait() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = pumped(100, full, b"0123456789");
        assert_eq!((output.kept, output.dropped), (0, 10));
    }

    #[test]
    fn an_open_pipe_of_a_stranger_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let output = pumped(100, File::create(directory.path().join("output")).unwrap(), b"");
        assert_eq!((output.kept, output.dropped), (0, 0));
    }
}
