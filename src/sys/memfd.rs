//! Bytes in memory that travel as a descriptor and that nobody can change any more.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

const SEALS: SealFlag =
    SealFlag::F_SEAL_WRITE.union(SealFlag::F_SEAL_SHRINK).union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_SEAL);

/// A sealed memory file that holds `bytes`, to be read from its start: memfd_create(2).
///
/// # Errors
/// Where memory or descriptors run out.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(bytes)?;
    io::Seek::rewind(&mut file)?;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(SEALS))?;
    Ok(file.into())
}

/// Reads a sealed memory file of at most `limit` bytes.
///
/// # Errors
/// InvalidData where it is larger, or where its sender could still change it.
pub fn read_sealed(fd: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    let seals = SealFlag::from_bits_truncate(fcntl(fd.as_fd(), FcntlArg::F_GET_SEALS)?);
    let file = File::from(fd);
    if !seals.contains(SEALS) || file.metadata()?.len() > limit {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?);
    FromStart { file: &file, at: 0 }.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads without moving the offset, which is shared with the sender.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FromStart<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.at)?;
        self.at += u64::try_from(count).map_err(io::Error::other)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_can_be_read_and_no_longer_written() {
        let fd = sealed("test", b"bytes").unwrap();
        assert!(File::from(fd.try_clone().unwrap()).write_all(b"x").is_err());
        assert_eq!(read_sealed(fd, 5).unwrap(), b"bytes");
    }

    #[test]
    fn what_its_sender_could_change_is_refused() {
        let open = memfd_create("test", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        assert_eq!(read_sealed(open, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(read_sealed(sealed("test", b"123456").unwrap(), 5).is_err());
    }
}
