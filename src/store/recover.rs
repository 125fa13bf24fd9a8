//! A file examined before the database opens it: a queue is never mistaken for an empty one.
//!
//! New databases are renamed into place whole, so whatever stands at the path was a queue once. An empty, cut,
//! foreign or unreadable file is therefore refused, not replaced. Checking every page of a large queue at each start
//! would take seconds; what lies deeper is found when it is read, and told as damage then.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::log::number;
use super::schema::APPLICATION_ID;
use super::{Error, Result, log};

/// The start of an SQLite file; <https://www.sqlite.org/fileformat.html#the_database_header>.
const HEADER: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";

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

/// Looks at what is there, and changes nothing but a mode that lets others read; `false` where nothing is.
pub(super) fn examine(path: &Path) -> Result<bool> {
    let log = open_log(&beside(path, "-wal"))?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = match (options.open(path), &log) {
        (Ok(file), _) => file,
        (Err(fault), None) if fault.kind() == ErrorKind::NotFound => return Ok(false),
        // A new database would take the old one's log for its own.
        (Err(fault), Some(_)) if fault.kind() == ErrorKind::NotFound => {
            return Err(damaged(path, "it is gone, and its log is still there"));
        }
        (Err(fault), _) => return Err(file_error("open", path, fault)),
    };
    let header = read_header(path, &mut file)?;
    check_length(path, &file, &header, log)?;
    keep_private(path, &file)?;
    Ok(true)
}

/// The log, if there is one with anything in it.
fn open_log(path: &Path) -> Result<Option<File>> {
    match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(log) => {
            keep_private(path, &log)?;
            let about = log.metadata().map_err(|fault| file_error("look at", path, fault))?;
            Ok((about.len() > 0).then_some(log))
        }
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(file_error("open", path, fault)),
    }
}

fn read_header(path: &Path, file: &mut File) -> Result<[u8; HEADER]> {
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
    Ok(header)
}

/// Every page has to be in the file or, after a crash, in the log.
fn check_length(path: &Path, file: &File, header: &[u8; HEADER], log_file: Option<File>) -> Result<()> {
    let bytes = file.metadata().map_err(|fault| file_error("look at", path, fault))?.len();
    let page_bytes = match number(header, 16) >> 16 {
        0 => return Err(damaged(path, "its header makes no sense")),
        1 => 65_536,
        page_bytes => u64::from(page_bytes),
    };
    let held = log_file.map(log::read).transpose().map_err(|fault| file_error("read the log of", path, fault))?;
    let held = held.unwrap_or_default();
    let total = held.total.unwrap_or_else(|| number(header, 28));
    let in_file = u32::try_from(bytes / page_bytes).unwrap_or(u32::MAX);
    let is_missing = |page: u32| !held.pages.contains(&page);
    if in_file < total && (in_file + 1..=total).any(is_missing) {
        let expected = page_bytes * u64::from(total);
        return Err(damaged(path, format!("it is cut short: {bytes} of {expected} bytes")));
    }
    Ok(())
}

/// The queue and its log hold environments; nobody but their owner reads them.
fn keep_private(path: &Path, file: &File) -> Result<()> {
    let about = file.metadata().map_err(|fault| file_error("look at", path, fault))?;
    if about.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    let private = std::fs::Permissions::from_mode(0o600);
    file.set_permissions(private).map_err(|fault| file_error("make private", path, fault))
}
