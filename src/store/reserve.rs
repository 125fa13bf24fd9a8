//! Room kept back beside the database: a file that gives way where the disk is full.
//!
//! Then what has ended can still be written down, and what nobody needs any more be removed.
//! It must not know the database, nor why there is no room.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::posix_fallocate;

/// Given up at a time, as a part of the whole: what else fills the disk must not take all of it at once.
const PARTS: u64 = 4;

/// Times its own size that have to be free before it takes anything: it must not make a small disk smaller.
const SPARE: u64 = 4;

/// The file, and how much it holds.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    whole: u64,
    held: u64,
}

impl Reserve {
    /// The reserve of `whole` bytes at `path`, with what is there already.
    pub(super) fn new(path: PathBuf, whole: u64) -> Self {
        let held = path.symlink_metadata().map_or(0, |about| if about.is_file() { about.len() } else { 0 });
        Self { path, whole, held: held.min(whole) }
    }

    /// Whether nothing was given up.
    pub(super) fn is_whole(&self) -> bool {
        self.held == self.whole
    }

    /// Gives up a part, where there is one.
    pub(super) fn give_way(&mut self) {
        let left = self.held.saturating_sub(self.whole.div_ceil(PARTS));
        match self.open().and_then(|file| file.set_len(left)) {
            Ok(()) => {
                tracing::warn!(left, "the disk is full; a part of the reserve was given up");
                self.held = left;
            }
            Err(error) => {
                tracing::debug!(%error, "the reserve cannot be given up");
                self.held = 0;
            }
        }
    }

    /// Takes back what was given up, once so much is free that nobody misses it.
    pub(super) fn fill(&mut self, free: u64) {
        if self.is_whole() || free / SPARE < self.whole {
            return;
        }
        match self.take() {
            Ok(()) => self.held = self.whole,
            // A file system that allocates nothing ahead has no use for a reserve: it is tried at the next start.
            Err(error) => {
                tracing::debug!(%error, "there is no reserve for a full disk");
                (self.whole, self.held) = (0, 0);
            }
        }
    }

    fn take(&self) -> io::Result<()> {
        let bytes = i64::try_from(self.whole).map_err(io::Error::other)?;
        Ok(posix_fallocate(self.open()?, 0, bytes)?)
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
        options.open(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    const WHOLE: u64 = 64 << 10;

    #[test]
    fn it_holds_real_room_gives_it_up_in_parts_and_takes_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("reserve");
        let mut reserve = Reserve::new(path.clone(), WHOLE);
        reserve.fill(u64::MAX);
        let about = path.metadata().unwrap();
        assert_eq!((about.len(), about.mode() & 0o777), (WHOLE, 0o600));
        assert!(about.blocks() * 512 >= WHOLE, "the room is taken, not only named");
        for left in [48, 32, 16, 0, 0] {
            reserve.give_way();
            assert_eq!(path.metadata().unwrap().len(), left << 10);
        }
        assert!(!reserve.is_whole());
        reserve.fill(WHOLE);
        assert_eq!(path.metadata().unwrap().len(), 0, "too little is free");
        reserve.fill(WHOLE * SPARE);
        assert!(Reserve::new(path, WHOLE).is_whole(), "the next start finds it");
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("reserve"), directory.path().join("other"));
        std::fs::write(&other, "kept").unwrap();
        symlink(&other, &path).unwrap();
        let mut reserve = Reserve::new(path, WHOLE);
        reserve.fill(u64::MAX);
        reserve.give_way();
        assert_eq!(std::fs::read(other).unwrap(), b"kept");
    }
}
