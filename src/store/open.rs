//! The opening of a store, and how SQLite is set for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::db::{Db, int, translate};
use super::ledger::Ledger;
use super::recover;
use super::reserve::Reserve;
use super::schema::{self, MIGRATIONS};
use super::{Error, Result, SqliteStore, Store, sql};
use crate::sys::sqlite;
use crate::task::Timestamp;

/// What the log may keep on disk after a large transaction, in bytes.
const KEPT_LOG_BYTES: u64 = 8 << 20;
/// What could not be done, where opening fails.
const OPEN: &str = "cannot open what is stored";
/// The first SQLite with strict tables, as sqlite3_libversion_number() counts: 3.37.0.
const OLDEST_LIBRARY: i32 = 3_037_000;

/// How a database file is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Memory for pages of the database, in bytes.
    pub cache_bytes: u64,
    /// Pages of 4 KiB in the log after which a commit moves them into the database.
    pub checkpoint_pages: u32,
    /// Room kept back beside the database for the time when the disk is full, in bytes.
    pub reserve_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cache_bytes: 2 << 20, checkpoint_pages: 1000, reserve_bytes: 4 << 20 }
    }
}

impl SqliteStore {
    /// Opens the queue at `path`; makes an empty one where there is no file. The directory must exist.
    ///
    /// # Errors
    /// - [`Error::Damaged`] where the file is empty, cut short, or no queue; it is left as it is.
    /// - [`Error::Newer`] where a later version wrote it.
    /// - [`Error::InUse`] where another process has it open.
    /// - [`Error::File`] where the file or its directory may not be used.
    pub fn open(path: &Path, settings: &Settings, now: Timestamp) -> Result<Self> {
        let path = real(path)?;
        load_library(&path.display().to_string())?;
        check_library(&path, rusqlite::version_number())?;
        if !recover::examine(&path)? {
            schema::create(&path, now)?;
        }
        let name = path.display().to_string();
        let fail = |fault| translate(&name, OPEN, fault);
        // NOFOLLOW closes the gap between the look at the file and its opening.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let conn = Connection::open_with_flags(&path, flags).map_err(fail)?;
        keep_log(&conn, true).map_err(fail)?;
        if configure(&conn, settings).map_err(fail)? != "wal" {
            return Err(unfit(&path, "the file system allows no write-ahead log".to_owned()));
        }
        let db = Db::new(conn, name.clone());
        let reserve = Reserve::new(recover::beside(&path, "-reserve"), settings.reserve_bytes);
        let mut store = Self::start(db, Some(path), Some(reserve))?;
        store.fill_reserve();
        keep_log(store.db.conn(), false).map_err(fail)?;
        Ok(store)
    }

    /// An empty queue in memory, for tests and simulations.
    ///
    /// # Errors
    /// Where SQLite fails, for want of memory.
    pub fn in_memory() -> Result<Self> {
        let name = ":memory:";
        load_library(name)?;
        let conn = Connection::open_in_memory().map_err(|fault| translate(name, OPEN, fault))?;
        Self::start(Db::new(conn, name.to_owned()), None, None)
    }

    /// The queue as it is found after the process died at this moment: what was not committed never
    /// happened, and nothing is known but what the database says.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn crash(mut self) -> Result<Self> {
        self.rollback();
        self.db.conn().flush_prepared_statement_cache();
        Self::start(self.db, self.path, self.reserve)
    }

    fn start(mut db: Db, path: Option<PathBuf>, reserve: Option<Reserve>) -> Result<Self> {
        schema::migrate(&mut db, MIGRATIONS)?;
        let books = Ledger::load(&db)?;
        let identity = db.row(sql::GET_META, ["identity"], |row| row.get(0))?;
        let identity = identity.ok_or_else(|| db.damaged("its identity is missing"))?;
        Ok(Self { db, books, identity, path, reserve })
    }
}

/// The path with its directory resolved: the file itself must be no link, what leads to it may.
fn real(path: &Path) -> Result<PathBuf> {
    let directory = match path.parent() {
        Some(directory) if directory.as_os_str().is_empty() => Path::new("."),
        Some(directory) => directory,
        None => Path::new("/"),
    };
    let directory = directory.canonicalize().map_err(|fault| recover::file_error("enter", directory, fault))?;
    Ok(directory.join(path.file_name().unwrap_or_default()))
}

/// Whether the log stays as it is when the database is closed: what is refused is left untouched.
fn keep_log(conn: &Connection, kept: bool) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, kept).map(drop)
}

fn unfit(path: &Path, why: String) -> Error {
    Error::Database { action: OPEN, path: path.display().to_string(), source: why.into() }
}

pub(super) fn load_library(name: &str) -> Result<()> {
    sqlite::load().map_err(|source| Error::Database { action: OPEN, path: name.to_owned(), source: Box::new(source) })
}

fn check_library(path: &Path, version: i32) -> Result<()> {
    if version >= OLDEST_LIBRARY {
        return Ok(());
    }
    Err(unfit(path, format!("the host's libsqlite3 is {}, and 3.37.0 is the oldest that will do", rusqlite::version())))
}

/// Sets SQLite for one process that wants every commit durable and little memory taken; returns the kind of its log.
fn configure(conn: &Connection, settings: &Settings) -> rusqlite::Result<String> {
    // Who has it open keeps it open: waiting would not help.
    conn.busy_timeout(Duration::ZERO)?;
    // One process alone: the index of the log lives in its memory instead of a shared file, and no lock is taken twice.
    conn.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
    let kind = conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "cache_size", -int(settings.cache_bytes / 1024))?;
    conn.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(no_answer)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update_and_check(None, "wal_autocheckpoint", settings.checkpoint_pages, |_| Ok(()))?;
    conn.pragma_update_and_check(None, "journal_size_limit", int(KEPT_LOG_BYTES), |_| Ok(()))?;
    // Tables refer to each other by rules that the store keeps in each transaction; checking them again costs a look-up per row.
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // Finds a damaged page when it is read, before it is trusted.
    conn.pragma_update(None, "cell_size_check", true)?;
    // Removed environments and inputs do not linger where wiping them costs no further write.
    conn.pragma_update_and_check(None, "secure_delete", "fast", |_| Ok(()))?;
    Ok(kind)
}

/// A setting that a build without the feature does not answer is as good as set.
fn no_answer(fault: rusqlite::Error) -> rusqlite::Result<()> {
    match fault {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::path::Path;

    use super::{check_library, sqlite};

    #[test]
    fn a_host_whose_sqlite_is_too_old_is_told_so() {
        sqlite::load().unwrap();
        let path = Path::new("/var/lib/queue.db");
        assert!(check_library(path, rusqlite::version_number()).is_ok());
        let fault = check_library(path, 3_034_001).unwrap_err();
        assert!(fault.source().unwrap().to_string().ends_with("3.37.0 is the oldest that will do"));
    }
}
