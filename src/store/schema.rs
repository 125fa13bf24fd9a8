//! The making of a database, and its way from any older schema to the newest.

use std::fs::{File, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::db::Db;
use super::recover::{beside, file_error};
use super::{Error, Result, sql};
use crate::task::Timestamp;

/// Marks the file as ours: "task" in ASCII, as file(1) may learn it.
pub(super) const APPLICATION_ID: u32 = 0x7461_736b;

/// How the schema came to be, step by step; a released step never changes again.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql")];

/// The newest schema that this program knows; a store that was opened has it.
#[must_use]
pub fn newest_schema() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Whether this program could open a queue at `path` that has the schema `found`; the queue itself is not touched.
///
/// # Errors
/// [`Error::Newer`], or where SQLite is missing.
pub fn check_schema(path: &Path, found: u32) -> Result<()> {
    let path = path.display().to_string();
    super::open::load_library(&path)?;
    let known = newest_schema();
    if found > known { Err(Error::Newer { path, found, known }) } else { Ok(()) }
}

/// Brings the database to the newest schema, each step in one transaction.
///
/// # Errors
/// [`Error::Newer`] where the database is ahead of `migrations`.
pub(super) fn migrate(db: &mut Db, migrations: &[&str]) -> Result<()> {
    const ACTION: &str = "cannot bring the schema up to date";
    let found: u32 =
        db.conn().query_row("PRAGMA user_version", (), |row| row.get(0)).map_err(|fault| db.error(ACTION, fault))?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(Error::Newer { path: db.path().to_owned(), found, known });
    }
    for (version, step) in (1..=known).zip(migrations).filter(|(version, _)| *version > found) {
        let path = db.path().to_owned();
        let apply = |conn: &mut Connection| {
            let change = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            change.execute_batch(step)?;
            change.pragma_update(None, "user_version", version)?;
            change.commit()
        };
        apply(db.conn_mut()).map_err(|fault| super::db::translate(&path, ACTION, fault))?;
    }
    Ok(())
}

/// Makes a new, empty queue at `path`, where nothing is yet.
///
/// It is made under another name and renamed when it is whole and durable: a crash leaves either nothing or a queue.
pub(super) fn create(path: &Path, now: Timestamp) -> Result<()> {
    let draft = beside(path, ".new");
    for leftover in ["", "-journal", "-wal"] {
        let file = beside(&draft, leftover);
        match std::fs::remove_file(&file) {
            Ok(()) => {}
            Err(fault) if fault.kind() == ErrorKind::NotFound => {}
            Err(fault) => return Err(file_error("remove", &file, fault)),
        }
    }
    let fail = |action| move |fault| file_error(action, path, fault);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&draft).map_err(fail("create"))?;
    // A strict umask may have taken away even the owner's right.
    file.set_permissions(Permissions::from_mode(0o600)).map_err(fail("create"))?;
    fill(&draft, now)?;
    file.sync_all().map_err(fail("create"))?;
    std::fs::rename(&draft, path).map_err(fail("create"))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(fail("create"))
}

fn fill(draft: &Path, now: Timestamp) -> Result<()> {
    const ACTION: &str = "cannot make the first schema";
    let name = draft.display().to_string();
    let fail = |fault| super::db::translate(&name, ACTION, fault);
    let conn = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(fail)?;
    // A draft that is cut off is thrown away, and one that is whole is flushed once before it gets its name.
    conn.pragma_update(None, "synchronous", "off").map_err(fail)?;
    conn.pragma_update_and_check(None, "journal_mode", "memory", |_| Ok(())).map_err(fail)?;
    conn.pragma_update(None, "application_id", APPLICATION_ID).map_err(fail)?;
    let mut db = Db::new(conn, name.clone());
    migrate(&mut db, MIGRATIONS)?;
    db.execute(sql::PUT_META, ("created_at", now.0))?;
    db.conn().pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(())).map_err(fail)?;
    db.close().map_err(fail)
}
