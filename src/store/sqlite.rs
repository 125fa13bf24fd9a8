//! The store in an SQLite database.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::db::{Db, translate};
use super::ledger::Ledger;
use super::recover::{self, Found};
use super::schema::{self, MIGRATIONS};
use super::{
    Candidate, Counts, EventFilter, EventPage, Filter, Listing, NewTask, OpenAttempt, Page, Result, Settings, Store,
    attempts, events, list, queues, sql, tasks,
};
use crate::task::{
    Attempt, AttemptKey, Claim, Condition, Dependency, Event, EventKind, Key, Queue, QueueName, Schedule, Spec, Task,
    TaskId, Timestamp,
};

/// What the log may keep on disk after a large transaction, in bytes.
const KEPT_LOG_BYTES: u64 = 8 << 20;

/// A queue in one file, used by one process at a time.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) db: Db,
    pub(super) books: Ledger,
    identity: String,
    path: Option<PathBuf>,
}

impl SqliteStore {
    /// Opens the queue at `path`; makes an empty one where there is no file. The directory must exist.
    ///
    /// # Errors
    /// - [`Error::Damaged`](super::Error::Damaged) where the file is empty, cut short, or no queue; it is left as it is.
    /// - [`Error::Newer`](super::Error::Newer) where a later version wrote it.
    /// - [`Error::InUse`](super::Error::InUse) where another process has it open.
    /// - [`Error::File`](super::Error::File) where the file or its directory may not be used.
    pub fn open(path: &Path, settings: &Settings, now: Timestamp) -> Result<Self> {
        let path = real(path)?;
        let found = recover::examine(&path)?;
        if found == Found::Nothing {
            schema::create(&path, now)?;
        }
        let name = path.display().to_string();
        let fail = |fault| translate(&name, "cannot open what is stored", fault);
        // NOFOLLOW closes the gap between the look at the file and its opening.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let conn = Connection::open_with_flags(&path, flags).map_err(fail)?;
        configure(&conn, settings).map_err(fail)?;
        let db = Db::new(conn, name.clone());
        match found {
            Found::Nothing | Found::Closed => {}
            Found::Left => take_over_log(&db, &path)?,
        }
        Self::start(db, Some(path))
    }

    /// An empty queue in memory, for tests and simulations.
    ///
    /// # Errors
    /// Where SQLite fails, for want of memory.
    pub fn in_memory() -> Result<Self> {
        let name = ":memory:";
        let conn =
            Connection::open_in_memory().map_err(|fault| translate(name, "cannot open what is stored", fault))?;
        Self::start(Db::new(conn, name.to_owned()), None)
    }

    /// The queue as it is found after the process died at this moment: what was not committed never
    /// happened, and nothing is known but what the database says.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn crash(mut self) -> Result<Self> {
        self.rollback();
        self.db.conn().flush_prepared_statement_cache();
        Self::start(self.db, self.path)
    }

    fn start(mut db: Db, path: Option<PathBuf>) -> Result<Self> {
        schema::migrate(&mut db, MIGRATIONS)?;
        let books = Ledger::load(&db)?;
        let identity = db.row(sql::GET_META, ["identity"], |row| row.get(0))?;
        let identity = identity.ok_or_else(|| db.damaged("its identity is missing"))?;
        Ok(Self { db, books, identity, path })
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

fn configure(conn: &Connection, settings: &Settings) -> rusqlite::Result<()> {
    // Who has it open keeps it open: waiting would not help.
    conn.busy_timeout(Duration::ZERO)?;
    // One process alone: the index of the log lives in its memory instead of a shared file, and no lock is taken twice.
    conn.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
    conn.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "full")?;
    conn.pragma_update(None, "cache_size", -super::db::int(settings.cache_bytes / 1024))?;
    conn.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(no_answer)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    conn.pragma_update_and_check(None, "wal_autocheckpoint", settings.checkpoint_pages, |_| Ok(()))?;
    conn.pragma_update_and_check(None, "journal_size_limit", super::db::int(KEPT_LOG_BYTES), |_| Ok(()))?;
    // Tables refer to each other by rules that the store keeps in each transaction; checking them again costs a look-up per row.
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    // Finds a damaged page when it is read, before it is trusted.
    conn.pragma_update(None, "cell_size_check", true)?;
    // Removed environments and inputs do not linger where wiping them costs no further write.
    conn.pragma_update_and_check(None, "secure_delete", "fast", |_| Ok(()))
}

/// A setting that a build without the feature does not answer is as good as set.
fn no_answer(fault: rusqlite::Error) -> rusqlite::Result<()> {
    match fault {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

/// Brings what a dead process left in the log into the file, and sees that the file then is whole.
fn take_over_log(db: &Db, path: &Path) -> Result<()> {
    let fail = |fault| db.error("cannot take the log over", fault);
    let conn = db.conn();
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).map_err(fail)?;
    let expected: u64 = conn
        .query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", (), |row| {
            super::db::read_count(row, 0)
        })
        .map_err(fail)?;
    // Not by opening it: closing a second descriptor would drop the database's lock, fcntl(2).
    let bytes = std::fs::metadata(path).map_err(|fault| recover::file_error("look at", path, fault))?.len();
    if bytes < expected {
        return Err(db.damaged(format!("it is cut short: {bytes} of {expected} bytes")));
    }
    Ok(())
}

impl Store for SqliteStore {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn begin(&mut self) -> Result<()> {
        self.db.execute(sql::BEGIN, ()).map(drop)
    }

    fn commit(&mut self) -> Result<()> {
        let written = self.books.write(&self.db).and_then(|()| self.db.execute(sql::COMMIT, ()));
        match written {
            Ok(_) => self.books.committed(),
            Err(fault) => {
                self.rollback();
                return Err(fault);
            }
        }
        Ok(())
    }

    fn rollback(&mut self) {
        if !self.db.conn().is_autocommit() {
            // It fails only where SQLite has rolled back by itself already.
            let _ = self.db.execute(sql::ROLLBACK, ());
        }
        self.books.rolled_back();
    }

    fn free_bytes(&self) -> Result<u64> {
        let Some(path) = &self.path else { return Ok(u64::MAX) };
        match nix::sys::statvfs::statvfs(path) {
            Ok(about) => Ok(about.blocks_available().saturating_mul(about.fragment_size())),
            Err(fault) => Err(recover::file_error("look at the file system of", path, fault.into())),
        }
    }

    fn insert_task(&mut self, task: &NewTask<'_>) -> Result<TaskId> {
        tasks::insert(self, task)
    }

    fn task(&mut self, id: TaskId) -> Result<Option<Task>> {
        tasks::get(self, id)
    }

    fn task_with_key(&mut self, owner: u32, key: &Key) -> Result<Option<TaskId>> {
        tasks::with_key(self, owner, key)
    }

    fn spec(&mut self, id: TaskId) -> Result<Option<Spec>> {
        tasks::spec(self, id)
    }

    fn stdin(&mut self, id: TaskId) -> Result<Option<Vec<u8>>> {
        tasks::input(self, id)
    }

    fn update_task(&mut self, before: &Task, after: &Task) -> Result<()> {
        tasks::update(self, before, after)
    }

    fn remove_task(&mut self, task: &Task) -> Result<()> {
        tasks::remove(self, task)
    }

    fn list(&mut self, filter: &Filter, page: Page) -> Result<Listing> {
        list::list(self, filter, page)
    }

    fn candidates(&mut self, queue: &QueueName, limit: usize) -> Result<Vec<Candidate>> {
        tasks::candidates(self, queue, limit)
    }

    fn due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<TaskId>> {
        tasks::due(self, now, limit)
    }

    fn next_due(&mut self) -> Result<Option<Timestamp>> {
        tasks::next_due(self)
    }

    fn dependents(&mut self, on: TaskId, limit: usize) -> Result<Vec<(TaskId, Condition)>> {
        tasks::dependents(self, on, limit)
    }

    fn open_dependencies(&mut self, task: TaskId) -> Result<Vec<Dependency>> {
        tasks::open_dependencies(self, task)
    }

    fn strike_dependency(&mut self, task: TaskId, on: TaskId) -> Result<u64> {
        tasks::strike_dependency(self, task, on)
    }

    fn insert_attempt(&mut self, key: AttemptKey, claim: &Claim, now: Timestamp) -> Result<()> {
        attempts::insert(self, key, claim, now)
    }

    fn note_started(&mut self, key: AttemptKey, pid: i32, pid_start: u64, at: Timestamp) -> Result<()> {
        attempts::note_started(self, key, pid, pid_start, at)
    }

    fn end_attempt(&mut self, task: TaskId, attempt: &Attempt) -> Result<()> {
        attempts::end(self, task, attempt)
    }

    fn remove_attempt(&mut self, key: AttemptKey) -> Result<()> {
        attempts::remove(self, key)
    }

    fn attempt(&mut self, key: AttemptKey) -> Result<Option<Attempt>> {
        attempts::get(self, key)
    }

    fn attempts(&mut self, task: TaskId) -> Result<Vec<Attempt>> {
        attempts::of_task(self, task)
    }

    fn open_attempts(&mut self) -> Result<Vec<OpenAttempt>> {
        attempts::open(self)
    }

    fn append_event(
        &mut self,
        at: Timestamp,
        task: Option<(TaskId, u32)>,
        queue: &QueueName,
        kind: EventKind,
    ) -> Result<Event> {
        events::append(self, at, task, queue, kind)
    }

    fn events(&mut self, filter: &EventFilter, limit: usize) -> Result<EventPage> {
        events::page(self, filter, limit)
    }

    fn last_event(&mut self) -> Result<i64> {
        Ok(self.books.last_event())
    }

    fn queues(&mut self) -> Result<Vec<Queue>> {
        queues::all(self)
    }

    fn put_queue(&mut self, queue: &Queue) -> Result<()> {
        queues::put(self, queue)
    }

    fn remove_queue(&mut self, name: &QueueName) -> Result<()> {
        queues::remove(self, name)
    }

    fn counts(&mut self) -> Result<BTreeMap<QueueName, Counts>> {
        Ok(self.books.counts())
    }

    fn schedules(&mut self) -> Result<Vec<Schedule>> {
        queues::schedules(self)
    }

    fn put_schedule(&mut self, schedule: &Schedule) -> Result<()> {
        queues::put_schedule(self, schedule)
    }

    fn remove_schedule(&mut self, owner: u32, name: &str) -> Result<()> {
        queues::remove_schedule(self, owner, name)
    }

    fn ended_before(&mut self, before: Timestamp, limit: usize) -> Result<Vec<Task>> {
        tasks::ended_before(self, before, limit)
    }

    fn output_bytes(&mut self) -> Result<u64> {
        Ok(self.books.output_bytes())
    }

    fn remove_events(&mut self, before: Timestamp, limit: usize) -> Result<usize> {
        events::remove(self, before, limit)
    }
}
