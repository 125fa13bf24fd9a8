//! The log in a file, which logrotate(8) may move away.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::libc::{EISDIR, ELOOP, ENXIO, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK};

use super::LogError;
use crate::daemon::directory::odd_kind;
use crate::sys::detach::replace_standard;

/// An open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    mode: u32,
    /// Whether standard output and error are this file too.
    standard: bool,
    file: File,
    /// Whether the last line was cut off by a full disk.
    torn: bool,
}

impl LogFile {
    pub(super) fn open(path: &Path, mode: u32, standard: bool) -> Result<Self, LogError> {
        let file = open(path, mode)?;
        let log = Self { path: path.to_owned(), mode, standard, file, torn: false };
        log.take_standard()?;
        Ok(log)
    }

    /// Opens what is at the path now; what was open stays where that fails.
    pub(super) fn reopen(&mut self) -> Result<(), LogError> {
        self.file = open(&self.path, self.mode)?;
        self.torn = false;
        self.take_standard()
    }

    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        // Removed, not moved: what is written now would be seen by nobody.
        if self.file.metadata()?.nlink() == 0 {
            self.reopen().map_err(io::Error::other)?;
        }
        // In one write, so that it stays whole beside what others append.
        let whole = if self.torn { format!("\n{line}") } else { line.to_owned() };
        let written = self.file.write(whole.as_bytes())?;
        self.torn = written < whole.len();
        if self.torn { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn take_standard(&self) -> Result<(), LogError> {
        if !self.standard {
            return Ok(());
        }
        let io = |source| LogError::FileSystem { verb: "log standard error to", path: self.path.clone(), source };
        replace_standard(&self.file, &[1, 2]).map_err(io)
    }
}

/// Opens the file to append; where it is missing it is made, for its owner and, where `mode` says so, its group.
fn open(path: &Path, mode: u32) -> Result<File, LogError> {
    let failed = |verb| move |source| LogError::FileSystem { verb, path: path.to_owned(), source };
    let planted = |found| LogError::Planted { path: path.to_owned(), found };
    let mut options = OpenOptions::new();
    options.append(true).mode(mode).custom_flags(O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    let (file, made) = match options.clone().create_new(true).open(path) {
        Ok(file) => (Ok(file), true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (options.open(path), false),
        Err(error) => (Err(error), false),
    };
    let file = file.map_err(|error| match error.raw_os_error() {
        Some(ELOOP) => planted("a symbolic link"),
        Some(EISDIR) => planted("a directory"),
        Some(ENXIO) => planted("a pipe or a socket"),
        _ => failed("open the log")(error),
    })?;
    let found = file.metadata().map_err(failed("look at"))?;
    match odd_kind(found.file_type()) {
        Some(kind) => return Err(planted(kind)),
        // It would append to whatever the other name is.
        None if found.nlink() > 1 => return Err(planted("a file that has another name too")),
        None if ![0, nix::unistd::geteuid().as_raw()].contains(&found.uid()) => {
            return Err(LogError::ForeignOwner { path: path.to_owned(), owner: found.uid() });
        }
        None => {}
    }
    if made {
        // Whatever the umask says.
        file.set_permissions(Permissions::from_mode(mode)).map_err(failed("set the mode of"))?;
    }
    Ok(file)
}
