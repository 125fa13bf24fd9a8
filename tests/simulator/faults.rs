//! What goes wrong: the daemon dies at any call, the disk is full.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskdaemon::executor::fake::FakeExecutor;
use taskdaemon::executor::{Executor, Leftover, Start};
use taskdaemon::store::{
    Candidate, Counts, Error, EventFilter, EventPage, Filter, Listing, NewTask, OpenAttempt, Page, Result, SqliteStore,
    Store,
};
use taskdaemon::task::{
    Attempt, AttemptKey, Breaker, Claim, Condition, Dependency, Event, EventKind, Key, Mode, Queue, QueueName,
    Schedule, Signal, Spec, State, Stop, Task, TaskId, Timestamp,
};

/// The death of the daemon; unwinds to whoever holds its engine.
pub(crate) struct Death;

/// Shared by what the daemon calls.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Calls until the daemon dies; below zero it lives.
    fuse: AtomicI64,
    /// Calls to the store until the disk is full; below zero there is room.
    room: AtomicI64,
    /// Free bytes as the store tells them.
    pub(crate) free: AtomicU64,
    /// Whether a transaction is open.
    pub(crate) writing: AtomicBool,
    /// The attempts that are committed and have not ended.
    claimed: Mutex<BTreeSet<AttemptKey>>,
    /// The starts that were ordered since somebody last asked.
    ordered: Mutex<Vec<AttemptKey>>,
}

impl Faults {
    pub(crate) fn new() -> Arc<Self> {
        let faults = Self { free: AtomicU64::new(1 << 40), ..Self::default() };
        faults.light(None);
        faults.fill(None);
        Arc::new(faults)
    }

    /// Has the daemon die after so many calls, or live.
    pub(crate) fn light(&self, calls: Option<i64>) {
        self.fuse.store(calls.unwrap_or(-1), Ordering::Relaxed);
    }

    /// Has the disk be full after so many calls, or have room.
    pub(crate) fn fill(&self, calls: Option<i64>) {
        self.room.store(calls.unwrap_or(-1), Ordering::Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.room.load(Ordering::Relaxed) >= 0
    }

    /// One call: the daemon may die here.
    pub(crate) fn burn(&self) {
        match self.fuse.load(Ordering::Relaxed) {
            0 => {
                self.light(None);
                resume_unwind(Box::new(Death));
            }
            left if left > 0 => self.fuse.store(left - 1, Ordering::Relaxed),
            _ => {}
        }
    }

    /// What stands in the store is committed.
    pub(crate) fn committed(&self, disk: &Disk) {
        let open = look(disk, |store| store.open_attempts().unwrap());
        *self.claimed.lock().unwrap() = open.into_iter().map(|attempt| attempt.key).collect();
    }

    /// The starts that were ordered since the last time.
    pub(crate) fn ordered(&self) -> Vec<AttemptKey> {
        std::mem::take(&mut *self.ordered.lock().unwrap())
    }

    /// One write: there may be no room.
    fn write(&self) -> Result<()> {
        self.burn();
        match self.room.load(Ordering::Relaxed) {
            0 => Err(Error::Full { path: "simulated".to_owned() }),
            left if left > 0 => {
                self.room.store(left - 1, Ordering::Relaxed);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The disk: what is committed outlives each daemon.
pub(crate) type Disk = Arc<Mutex<Option<SqliteStore>>>;

/// Takes a look at the disk.
pub(crate) fn look<T>(disk: &Disk, at: impl FnOnce(&mut SqliteStore) -> T) -> T {
    let mut disk = disk.lock().unwrap_or_else(PoisonError::into_inner);
    at(disk.as_mut().expect("the disk is in its place"))
}

/// The real store, in memory, with faults.
pub(crate) struct FaultyStore {
    pub(crate) disk: Disk,
    pub(crate) identity: String,
    pub(crate) faults: Arc<Faults>,
}

macro_rules! pass {
    (read $($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        $(fn $name(&mut self, $($arg: $type),*) -> Result<$out> {
            self.faults.burn();
            look(&self.disk, |store| store.$name($($arg),*))
        })*
    };
    (write $($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        $(fn $name(&mut self, $($arg: $type),*) -> Result<$out> {
            assert!(self.faults.writing.load(Ordering::Relaxed), "a write outside a transaction");
            self.faults.write()?;
            look(&self.disk, |store| store.$name($($arg),*))
        })*
    };
}

impl Store for FaultyStore {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn begin(&mut self) -> Result<()> {
        self.faults.burn();
        look(&self.disk, Store::begin)?;
        self.faults.writing.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if let Err(full) = self.faults.write() {
            self.rollback();
            return Err(full);
        }
        look(&self.disk, Store::commit)?;
        self.faults.committed(&self.disk);
        self.faults.writing.store(false, Ordering::Relaxed);
        self.faults.burn();
        Ok(())
    }

    fn rest(&mut self) {
        look(&self.disk, Store::rest);
    }

    fn rollback(&mut self) {
        look(&self.disk, Store::rollback);
        self.faults.writing.store(false, Ordering::Relaxed);
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(self.faults.free.load(Ordering::Relaxed))
    }

    fn free_inodes(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    pass! { read
        task(id: TaskId) -> Option<Task>;
        task_with_key(owner: u32, key: &Key) -> Option<TaskId>;
        spec(id: TaskId) -> Option<Spec>;
        stdin(id: TaskId) -> Option<Vec<u8>>;
        list(filter: &Filter, page: Page) -> Listing;
        candidates(queue: &QueueName, limit: usize) -> Vec<Candidate>;
        first_queued(queue: &QueueName) -> Option<(TaskId, Timestamp)>;
        due(now: Timestamp, limit: usize) -> Vec<TaskId>;
        next_due() -> Option<Timestamp>;
        dependents(on: TaskId, limit: usize) -> Vec<(TaskId, Condition)>;
        open_dependencies(task: TaskId) -> Vec<Dependency>;
        attempt(key: AttemptKey) -> Option<Attempt>;
        attempts(task: TaskId) -> Vec<Attempt>;
        open_attempts() -> Vec<OpenAttempt>;
        events(filter: &EventFilter, limit: usize) -> EventPage;
        last_event() -> i64;
        queues() -> Vec<Queue>;
        counts() -> BTreeMap<QueueName, Counts>;
        schedules() -> Vec<Schedule>;
        ended_before(before: Timestamp, limit: usize) -> Vec<Task>;
        output_bytes() -> u64;
    }

    pass! { write
        insert_task(task: &NewTask<'_>) -> TaskId;
        update_task(before: &Task, after: &Task) -> ();
        remove_task(task: &Task) -> ();
        strike_dependency(task: TaskId, on: TaskId) -> u64;
        insert_attempt(key: AttemptKey, claim: &Claim, now: Timestamp) -> ();
        note_started(key: AttemptKey, pid: i32, pid_start: u64, at: Timestamp) -> ();
        end_attempt(task: TaskId, attempt: &Attempt) -> ();
        remove_attempt(key: AttemptKey) -> ();
        append_event(at: Timestamp, task: Option<(TaskId, u32)>, queue: &QueueName, kind: EventKind) -> Event;
        put_queue(queue: &Queue) -> ();
        remove_queue(name: &QueueName) -> ();
        put_schedule(schedule: &Schedule) -> ();
        remove_schedule(owner: u32, name: &str) -> ();
        remove_events(before: Timestamp, limit: usize) -> usize;
    }
}

/// The pretended runner's executor, with faults; nothing is ordered inside a transaction but the shutdown, and
/// starts whose claims are committed.
pub(crate) struct FaultyExecutor {
    pub(crate) inner: FakeExecutor,
    pub(crate) disk: Disk,
    pub(crate) faults: Arc<Faults>,
}

impl FaultyExecutor {
    fn order(&mut self) -> &mut FakeExecutor {
        self.faults.burn();
        assert!(!self.faults.writing.load(Ordering::Relaxed), "an order before the commit");
        &mut self.inner
    }

    /// An order to start, now or in its turn: its claim is committed, and its queue is not shut.
    fn check_start(&self, key: AttemptKey) {
        self.faults.burn();
        let claimed = self.faults.claimed.lock().unwrap().contains(&key);
        assert!(claimed, "attempt {key} starts before its claim is committed");
        check_gate(&self.disk, key);
    }
}

/// Nothing begins in the place of another that nobody wants to: neither its task nor its queue was held up since.
pub(crate) fn check_willing(disk: &Disk, key: AttemptKey) {
    let (task, queue) = in_its_queue(disk, key);
    assert!(matches!(task.state, State::Queued | State::Running), "task {} begins: {}", task.id, task.state);
    assert_eq!(queue.mode, Mode::Open, "task {} begins in {queue:?}", task.id);
}

/// The task that starts, and its queue.
fn in_its_queue(disk: &Disk, key: AttemptKey) -> (Task, Queue) {
    let task = look(disk, |store| store.task(key.task).unwrap()).expect("no task starts");
    let queues = look(disk, |store| store.queues().unwrap());
    let queue = queues.into_iter().find(|queue| queue.name == task.queue).expect("a task starts in no queue");
    (task, queue)
}

/// Nothing starts where a queue is shut, by all that is written so far.
fn check_gate(disk: &Disk, key: AttemptKey) {
    let (task, queue) = in_its_queue(disk, key);
    assert_eq!(queue.mode, Mode::Open, "task {} starts in {queue:?}", task.id);
    match queue.breaker {
        Breaker::Closed { .. } => {}
        Breaker::Probing { task: probe } => assert_eq!(probe, Some(task.id), "another starts in {queue:?}"),
        Breaker::Open { .. } => panic!("task {} starts in {queue:?}", task.id),
    }
}

impl Executor for FaultyExecutor {
    fn adopt(&mut self) {
        self.order().adopt();
    }

    fn start(&mut self, start: Start) {
        self.check_start(start.key);
        self.faults.ordered.lock().unwrap().push(start.key);
        self.inner.start(start);
        self.faults.burn();
    }

    fn stand_by(&mut self, start: Start) -> bool {
        self.check_start(start.key);
        let stands = self.inner.stand_by(start);
        self.faults.burn();
        stands
    }

    fn recall(&mut self) {
        self.faults.burn();
        self.inner.recall();
    }

    fn stop(&mut self, key: AttemptKey, stop: Stop) {
        self.order().stop(key, stop);
    }

    fn signal(&mut self, key: AttemptKey, signal: Signal) {
        self.order().signal(key, signal);
    }

    fn acknowledge(&mut self, keys: &[AttemptKey]) {
        self.order().acknowledge(keys);
    }

    /// At any time: what waits to leave was allowed to when it was said.
    fn flush(&mut self) {
        self.faults.burn();
        self.inner.flush();
    }

    fn sweep(&mut self, leftovers: Vec<Leftover>) {
        self.order().sweep(leftovers);
    }

    fn drain(&mut self, patience: Duration) {
        self.faults.burn();
        self.inner.drain(patience);
    }

    fn leave(&mut self) {
        self.order().leave();
    }

    fn output(&self, key: AttemptKey) -> io::Result<File> {
        self.inner.output(key)
    }

    fn may_have_begun(&self, key: AttemptKey) -> bool {
        self.inner.may_have_begun(key)
    }

    fn remove_output(&mut self, tasks: &[(TaskId, u32)]) {
        self.order().remove_output(tasks);
    }
}
