//! Many descriptors watched at once: epoll(7).

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// How many events one wait tells at most; the others follow at the next.
const BATCH: usize = 64;

/// Descriptors that are watched, each with a token of its owner's choice.
#[derive(Debug)]
pub struct Events(Epoll);

/// What a descriptor is watched for, beside its other side's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Nothing for now.
    Nothing,
    /// Something to read.
    Reading,
    /// Something to read, or room to write.
    Both,
}

impl Interest {
    fn event(self, token: u64) -> EpollEvent {
        let flags = match self {
            Self::Nothing => EpollFlags::empty(),
            Self::Reading => EpollFlags::EPOLLIN,
            Self::Both => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
        };
        EpollEvent::new(flags, token)
    }
}

impl Events {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// Where descriptors run out.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Watches `fd` for something to read, until it is closed together with all copies of it, or removed.
    ///
    /// # Errors
    /// Where memory or this user's watches run out.
    pub fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.0.add(fd, Interest::Reading.event(token))?)
    }

    /// Watches `fd`, which was added before, for something else.
    pub fn change(&self, fd: impl AsFd, token: u64, interest: Interest) {
        // Fails for a descriptor alone that was not added: a change needs no memory.
        let changed = self.0.modify(fd, &mut interest.event(token));
        debug_assert!(changed.is_ok(), "{changed:?}");
    }

    /// Watches `fd`, which was added before, no longer. Closing it alone leaves it watched as long as there is a
    /// copy, such as that of a child until its execve(2): epoll(7), "Questions and answers", 6.
    pub fn remove(&self, fd: impl AsFd) {
        let removed = self.0.delete(fd);
        debug_assert!(removed.is_ok(), "{removed:?}");
    }

    /// Waits for events, at most until `deadline`; returns their tokens.
    ///
    /// # Errors
    /// Never for want of events, nor for a signal.
    pub fn wait(&self, deadline: Option<Instant>) -> io::Result<Vec<u64>> {
        let timeout = deadline.map_or(EpollTimeout::NONE, |at| {
            // Rounded up, or the last millisecond would be spent asking again and again.
            let wait = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
            EpollTimeout::try_from(wait).unwrap_or(EpollTimeout::MAX)
        });
        let mut events = [EpollEvent::empty(); BATCH];
        match self.0.wait(&mut events, timeout) {
            Ok(count) => Ok(events.iter().take(count).map(EpollEvent::data).collect()),
            Err(Errno::EINTR) => Ok(Vec::new()),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;
    use crate::sys::fd;

    #[test]
    fn what_can_be_read_is_told_by_its_token_until_nobody_cares() {
        let (reader, writer) = fd::pipe().unwrap();
        let events = Events::new().unwrap();
        events.add(&reader, 7).unwrap();
        let now = Instant::now();
        assert!(events.wait(Some(now)).unwrap().is_empty());
        File::from(writer.try_clone().unwrap()).write_all(b"x").unwrap();
        assert_eq!(events.wait(None).unwrap(), [7]);
        events.change(&reader, 7, Interest::Nothing);
        assert!(events.wait(Some(now)).unwrap().is_empty());
        events.change(&reader, 8, Interest::Both);
        assert_eq!(events.wait(None).unwrap(), [8]);
    }

    #[test]
    fn what_is_removed_is_not_told_though_a_copy_of_it_lives() {
        let (reader, writer) = fd::pipe().unwrap();
        let copy = reader.try_clone().unwrap();
        let events = Events::new().unwrap();
        events.add(&reader, 7).unwrap();
        drop(writer);
        assert_eq!(events.wait(None).unwrap(), [7]);
        events.remove(&reader);
        drop(reader);
        assert!(events.wait(Some(Instant::now())).unwrap().is_empty());
        drop(copy);
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before() {
        let deadline = Instant::now() + Duration::from_micros(1_500);
        assert!(Events::new().unwrap().wait(Some(deadline)).unwrap().is_empty());
        assert!(Instant::now() >= deadline);
    }
}
