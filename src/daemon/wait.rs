//! Waiting for descriptors, with a deadline.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Whether `descriptor` became readable before the deadline: poll(2).
pub(super) fn readable(descriptor: impl AsFd, deadline: Instant) -> io::Result<bool> {
    any_readable(&[descriptor.as_fd()], deadline)
}

/// Whether one of the descriptors became readable before the deadline: poll(2).
pub(super) fn any_readable(descriptors: &[BorrowedFd<'_>], deadline: Instant) -> io::Result<bool> {
    let mut asked: Vec<PollFd<'_>> = descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    loop {
        let rest = deadline.saturating_duration_since(Instant::now());
        // A part of a millisecond is waited for as a whole one, not spun away.
        let timeout = PollTimeout::try_from(rest + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        match poll(&mut asked, timeout) {
            Ok(0) if Instant::now() >= deadline => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}
