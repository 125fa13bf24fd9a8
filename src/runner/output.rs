//! The way of a task's output: from its pipe to its file, up to a cap.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::sys::fd;

/// Moved at a time: a pipe's usual size, so that one loud task cannot keep the others waiting.
const CHUNK: u64 = 64 * 1024;

/// A drained pipe holds at most /proc/sys/fs/pipe-max-size, 1 MiB unless raised; what a stranger writes on
/// and on is not waited for.
const DRAIN_BYTES: u64 = 1024 * 1024;

/// What one step found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    More,
    Empty,
    Closed,
}

/// One attempt's output.
#[derive(Debug)]
pub(super) struct Output {
    open: Option<(OwnedFd, OwnedFd)>,
    room: u64,
    refused: bool,
    pub(super) kept: u64,
    pub(super) dropped: u64,
}

impl Output {
    pub(super) fn new(pipe: OwnedFd, file: OwnedFd, cap: u64) -> Self {
        Self { open: Some((pipe, file)), room: cap, refused: false, kept: 0, dropped: 0 }
    }

    /// Moves one chunk. Past the cap, or once the file refused (a full disk), it goes to `null` and is
    /// counted: what is kept is the output's beginning, without holes.
    pub(super) fn pump(&mut self, null: BorrowedFd<'_>) -> Pumped {
        let Some((pipe, file)) = &self.open else { return Pumped::Closed };
        let keeps = self.room > 0 && !self.refused;
        let limit = if keeps { CHUNK.min(self.room) } else { CHUNK };
        let moved = if keeps {
            fd::splice(pipe, file, usize::try_from(limit).unwrap_or(usize::MAX))
        } else {
            fd::splice(pipe, null, usize::try_from(limit).unwrap_or(usize::MAX))
        };
        match moved.map(|count| u64::try_from(count).unwrap_or(0)) {
            Ok(0) => self.close(),
            Ok(count) if keeps => {
                self.kept += count;
                self.room -= count;
                Pumped::More
            }
            Ok(count) => {
                self.dropped += count;
                Pumped::More
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Pumped::Empty
            }
            Err(_) if keeps => {
                self.refused = true;
                Pumped::More
            }
            Err(_) => self.close(),
        }
    }

    fn close(&mut self) -> Pumped {
        self.open = None;
        Pumped::Closed
    }

    /// Takes what is in the pipe after the end, and closes it: who else holds the other end is a stranger.
    pub(super) fn finish(&mut self, null: BorrowedFd<'_>) {
        let last = self.kept + self.dropped + DRAIN_BYTES;
        while self.kept + self.dropped < last && self.pump(null) == Pumped::More {}
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::fd::AsFd;

    use super::*;

    fn pumped(cap: u64, file: File, bytes: &[u8]) -> Output {
        let null = fd::null().unwrap();
        let (reader, writer) = fd::pipe().unwrap();
        let mut output = Output::new(reader, file.into(), cap);
        File::from(writer.try_clone().unwrap()).write_all(bytes).unwrap();
        output.finish(null.as_fd());
        drop(writer);
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
