//! The store in an SQLite database: each operation of the trait, handed to the file that knows it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::db::Db;
use super::ledger::Ledger;
use super::reserve::Reserve;
use super::{
    Candidate, Counts, EventFilter, EventPage, Filter, Listing, NewTask, OpenAttempt, Page, Result, Store, attempts,
    events, list, queues, recover, sql, tasks,
};
use crate::sys::fs;
use crate::task::{
    Attempt, AttemptKey, Claim, Condition, Dependency, Event, EventKind, Key, Queue, QueueName, Schedule, Spec, Task,
    TaskId, Timestamp,
};

/// A queue in one file, used by one process at a time.
#[derive(Debug)]
pub struct SqliteStore {
    pub(super) db: Db,
    pub(super) books: Ledger,
    pub(super) identity: String,
    pub(super) path: Option<PathBuf>,
    /// Room for when the disk is full; none for a queue in memory.
    pub(super) reserve: Option<Reserve>,
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
            Ok(_) => {
                self.books.committed();
                self.fill_reserve();
            }
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
        // The caller tries again, and finds the room that this gives.
        if self.db.take_was_full()
            && let Some(reserve) = &mut self.reserve
        {
            reserve.give_way();
        }
    }

    fn free_bytes(&self) -> Result<u64> {
        let Some(path) = &self.path else { return Ok(u64::MAX) };
        let free =
            fs::free_bytes(path).map_err(|fault| recover::file_error("look at the file system of", path, fault))?;
        // What stands in the log is yet to be moved into the file, which grows by as much.
        let log = std::fs::metadata(recover::beside(path, "-wal")).map_or(0, |about| about.len());
        Ok(free.saturating_sub(log))
    }

    fn free_inodes(&self) -> Result<Option<u64>> {
        let Some(path) = &self.path else { return Ok(None) };
        fs::free_inodes(path).map_err(|fault| recover::file_error("look at the file system of", path, fault))
    }

    fn rest(&mut self) {
        // What stays in memory for want of an answer is given back another time.
        let _ = self.db.execute(sql::SHRINK_MEMORY, ());
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

    fn first_queued(&mut self, queue: &QueueName) -> Result<Option<(TaskId, Timestamp)>> {
        list::first_queued(self, queue)
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

impl SqliteStore {
    /// Puts the reserve right where it is not whole and there is room for it.
    pub(super) fn fill_reserve(&mut self) {
        if self.reserve.as_ref().is_none_or(Reserve::is_whole) {
            return;
        }
        let free = self.free_bytes().unwrap_or(0);
        if let Some(reserve) = &mut self.reserve {
            reserve.fill(free);
        }
    }
}
