//! A file examined before the database opens it: a queue is never mistaken for an empty one.
//!
//! New databases are renamed into place whole, so whatever stands at the path was a queue once. An empty, cut,
//! foreign or unreadable file is therefore refused, not replaced. Checking every page of a large queue at each start
//! would take seconds; what lies deeper is found when it is read, and told as damage then.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::db::{Db, read_count};
use super::schema::APPLICATION_ID;
use super::{Error, Result};

/// The start of an SQLite file; <https://www.sqlite.org/fileformat.html#the_database_header>.
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// What stands at the path.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing: a queue may be made.
    Nothing,
    /// A queue whose last user closed it.
    Closed,
    /// A queue whose last user died; its log has to be taken over.
    Left,
}

/// The file beside the database with that ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// An error about a file itself.
pub(super) fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::File { action, path: path.display().to_string(), source }
}

fn damaged(path: &Path, detail: impl Into<String>) -> Error {
    Error::Damaged { path: path.display().to_string(), detail: detail.into() }
}

/// Looks at what is there, and changes nothing but a mode that lets others read.
pub(super) fn examine(path: &Path) -> Result<Found> {
    let log = beside(path, "-wal");
    let log_bytes = match std::fs::symlink_metadata(&log) {
        Ok(about) => about.len(),
        Err(fault) if fault.kind() == ErrorKind::NotFound => 0,
        Err(fault) => return Err(file_error("look at", &log, fault)),
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = match options.open(path) {
        Ok(file) => file,
        // A new database would take the old one's log for its own.
        Err(fault) if fault.kind() == ErrorKind::NotFound && log_bytes > 0 => {
            return Err(damaged(path, "it is gone, and its log is still there"));
        }
        Err(fault) if fault.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(fault) => return Err(file_error("open", path, fault)),
    };
    check_header(path, &mut file, log_bytes > 0)?;
    keep_private(path, &file)?;
    Ok(if log_bytes > 0 { Found::Left } else { Found::Closed })
}

fn check_header(path: &Path, file: &mut File, has_log: bool) -> Result<()> {
    let about = file.metadata().map_err(|fault| file_error("look at", path, fault))?;
    if !about.is_file() {
        return Err(damaged(path, "it is not a regular file"));
    }
    if about.len() == 0 {
        return Err(damaged(path, "it is empty"));
    }
    let mut header = [0; HEADER];
    match file.read_exact(&mut header) {
        Ok(()) => {}
        Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => return Err(damaged(path, "it is cut short")),
        Err(fault) => return Err(file_error("read", path, fault)),
    }
    if !header.starts_with(MAGIC) {
        return Err(damaged(path, "it is not an SQLite database"));
    }
    if number(&header, 68) != APPLICATION_ID {
        return Err(damaged(path, "it is another program's database"));
    }
    // A log may hold pages that the file does not have yet.
    let page_bytes = u64::from(number(&header, 16) >> 16);
    let page_bytes = if page_bytes == 1 { 65_536 } else { page_bytes };
    let expected = page_bytes * u64::from(number(&header, 28));
    if !has_log && about.len() < expected {
        return Err(damaged(path, format!("it is cut short: {} of {expected} bytes", about.len())));
    }
    Ok(())
}

/// The big-endian number of four bytes at that offset.
fn number(header: &[u8; HEADER], offset: usize) -> u32 {
    header[offset..].iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The queue holds environments; nobody but its owner reads it.
fn keep_private(path: &Path, file: &File) -> Result<()> {
    let about = file.metadata().map_err(|fault| file_error("look at", path, fault))?;
    if about.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let private = std::fs::Permissions::from_mode(0o600);
    file.set_permissions(private).map_err(|fault| file_error("make private", path, fault))
}

/// Brings what a dead process left in the log into the file, and sees that the file then is whole.
pub(super) fn take_over_log(db: &Db, path: &Path) -> Result<()> {
    let fail = |fault| db.error("cannot take the log over", fault);
    let conn = db.conn();
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).map_err(fail)?;
    let expected: u64 = conn
        .query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", (), |row| {
            read_count(row, 0)
        })
        .map_err(fail)?;
    // Not by opening it: closing a second descriptor would drop the database's lock, fcntl(2).
    let bytes = std::fs::metadata(path).map_err(|fault| file_error("look at", path, fault))?.len();
    if bytes < expected {
        return Err(db.damaged(format!("it is cut short: {bytes} of {expected} bytes")));
    }
    Ok(())
}
