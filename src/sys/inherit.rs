//! Descriptors that the next program of this process finds open.
//!
//! A program that becomes another by execve(2) writes the numbers of what it leaves into a record, as a serialised
//! [`Inheritable`]; the next one reads them back and owns them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fd::adopt;

/// A descriptor that is written down as its number, and owned again by whoever reads that.
///
/// Only a record that this process left to itself may be read: whoever reads a number takes it over.
#[derive(Debug)]
pub struct Inheritable(OwnedFd);

impl Inheritable {
    /// The descriptor itself.
    #[must_use]
    pub fn into_inner(self) -> OwnedFd {
        self.0
    }
}

impl From<OwnedFd> for Inheritable {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for Inheritable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Serialize for Inheritable {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.as_raw_fd().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Inheritable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = RawFd::deserialize(from)?;
        adopt(number).map(Self).map_err(|error| D::Error::custom(format!("take over descriptor {number}: {error}")))
    }
}

/// Whether the next program finds `fd` open.
///
/// # Errors
/// None for a descriptor that is open.
pub fn stays_open(fd: impl AsFd, open: bool) -> io::Result<()> {
    let flags = if open { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    fcntl(fd.as_fd(), FcntlArg::F_SETFD(flags))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd;

    #[test]
    fn what_is_written_down_is_owned_by_whoever_reads_it() {
        let left = Inheritable::from(fd::null().unwrap());
        let record = serde_json::to_string(&left).unwrap();
        let _ = std::os::fd::IntoRawFd::into_raw_fd(left.into_inner());
        let taken: Inheritable = serde_json::from_str(&record).unwrap();
        assert_eq!(serde_json::to_string(&taken).unwrap(), record);
    }

    #[test]
    fn what_is_not_open_or_is_a_standard_descriptor_is_refused() {
        for number in [-1, 0, 2, 1_000_000] {
            assert!(serde_json::from_str::<Inheritable>(&number.to_string()).is_err(), "{number}");
        }
    }
}
