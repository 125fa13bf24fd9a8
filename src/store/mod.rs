//! Durable state behind one trait.
//!
//! [`Store`] is what the engine needs of a database; SQLite is one. All changes of one beat stand
//! between one [`Store::begin`] and one [`Store::commit`], after which they survive a power cut.
//! Each operation touches a bounded number of rows through an index: none scans a table.
//!
//! It must not know scheduling policy, processes or clients, and decides nothing: times come in as arguments.

mod attempts;
mod codes;
mod db;
mod events;
mod ledger;
mod list;
mod queues;
mod recover;
mod schema;
mod sql;
mod sqlite;
mod tasks;
#[cfg(test)]
mod tests;

pub use sqlite::SqliteStore;

use std::collections::BTreeMap;

use crate::task::{
    Attempt, AttemptKey, Claim, Condition, Dependency, Event, EventKind, Key, Label, Outcome, Queue, QueueName,
    Schedule, Spec, State, Submission, Task, TaskId, Timestamp,
};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No room on the file system; nothing of the transaction happened.
    #[error("no space left for the queue in {path}; free some and try again")]
    Full {
        /// The database file.
        path: String,
    },
    /// The file is not an intact database. It is left as it is.
    #[error(
        "the queue {path} is damaged ({detail}); it was left untouched: restore it from a backup, or move it away to start with an empty queue"
    )]
    Damaged {
        /// The database file.
        path: String,
        /// What the database said.
        detail: String,
    },
    /// The file was written by a later version.
    #[error("the queue {path} has schema {found}, and this version knows {known}; install the newer taskdaemon again")]
    Newer {
        /// The database file.
        path: String,
        /// The schema found.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
    /// Another process has the database open.
    #[error("the queue {path} is in use by another process; stop that one first, fuser(1) tells which it is")]
    InUse {
        /// The database file.
        path: String,
    },
    /// The file or its directory may not be used.
    #[error("cannot {action} {path}")]
    File {
        /// The verb.
        action: &'static str,
        /// The file or directory.
        path: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Anything else the database said.
    #[error("{action} in the queue {path}")]
    Database {
        /// What was being done.
        action: &'static str,
        /// The database file.
        path: String,
        /// What it said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What the store says back.
pub type Result<T> = std::result::Result<T, Error>;

/// How a database file is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Memory for pages of the database, in bytes.
    pub cache_bytes: u64,
    /// Pages of 4 KiB in the log after which a commit moves them into the database.
    pub checkpoint_pages: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { cache_bytes: 2 << 20, checkpoint_pages: 1000 }
    }
}

/// A task as it is first written.
#[derive(Debug)]
pub struct NewTask<'a> {
    /// The user who submits it.
    pub owner: u32,
    /// What was asked for.
    pub submission: &'a Submission,
    /// The state that it starts in.
    pub state: State,
    /// When it was accepted.
    pub now: Timestamp,
    /// Not before this.
    pub due: Option<Timestamp>,
    /// Those of its dependencies that have not ended yet.
    pub open_dependencies: &'a [Dependency],
    /// The recurring task that it is a run of.
    pub schedule: Option<&'a str>,
}

/// A queued task that could start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The task.
    pub id: TaskId,
    /// Higher first.
    pub priority: i32,
    /// How many slots it takes.
    pub slots: u32,
}

/// An attempt that was claimed and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Which.
    pub key: AttemptKey,
    /// Who claimed it.
    pub claim: Claim,
    /// Its process, once known.
    pub pid: Option<i32>,
    /// When that process started, in clock ticks after boot.
    pub pid_start: Option<u64>,
}

/// Which tasks a list shows; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this user's.
    pub owner: Option<u32>,
    /// Only in one of these states; empty is any.
    pub states: Vec<State>,
    /// Only of this queue.
    pub queue: Option<QueueName>,
    /// Only with this label.
    pub label: Option<Label>,
    /// Only runs of this recurring task.
    pub schedule: Option<String>,
}

/// Which part of a list, newest first unless `oldest_first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only what comes after this task in the list's order.
    pub after: Option<TaskId>,
    /// At most this many.
    pub limit: usize,
    /// From the lowest ID up.
    pub oldest_first: bool,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The task.
    pub task: Task,
    /// What it runs.
    pub spec: Spec,
    /// How its last attempt ended, if it did.
    pub outcome: Option<Outcome>,
    /// When its last attempt started, if it did.
    pub started_at: Option<Timestamp>,
}

/// One page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The lines.
    pub lines: Vec<Line>,
    /// Where the next page starts after; `None` at the end. A page may be short, even empty, before the end:
    /// the store looks at a bounded number of rows at a time.
    pub next: Option<TaskId>,
}

/// Which events are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those after this one.
    pub after: i64,
    /// Only about this task.
    pub task: Option<TaskId>,
    /// Only about this user's tasks, and about queues.
    pub owner: Option<u32>,
}

/// One page of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Where the next page starts after; equals the end of the history where nothing more is there now.
    pub next: i64,
}

/// How many tasks of a queue are in each state.
pub type Counts = BTreeMap<State, u64>;

/// What the engine needs of a database.
///
/// All methods but the plain reads need an open transaction.
///
/// # Errors
/// Every method fails with an [`Error`]; the caller then rolls back, for half a beat is never committed.
pub trait Store: Send {
    /// The state's lasting identity, made with it: 128 random bits in hexadecimal.
    fn identity(&self) -> &str;

    /// Opens a transaction.
    fn begin(&mut self) -> Result<()>;

    /// Makes everything since [`Store::begin`] durable. After an error nothing since then happened.
    fn commit(&mut self) -> Result<()>;

    /// Forgets everything since [`Store::begin`].
    fn rollback(&mut self);

    /// Free bytes on the file system that holds the state.
    fn free_bytes(&self) -> Result<u64>;

    /// Writes a new task with its spec, standard input and open dependencies; returns its ID.
    fn insert_task(&mut self, task: &NewTask<'_>) -> Result<TaskId>;

    /// The task of that ID.
    fn task(&mut self, id: TaskId) -> Result<Option<Task>>;

    /// The owner's task with this key that has not ended.
    fn task_with_key(&mut self, owner: u32, key: &Key) -> Result<Option<TaskId>>;

    /// What the task runs.
    fn spec(&mut self, id: TaskId) -> Result<Option<Spec>>;

    /// What the task reads on standard input.
    fn stdin(&mut self, id: TaskId) -> Result<Option<Vec<u8>>>;

    /// Writes what can change of `after`, which was `before`: state, due, priority, queue, ended_at, counters, cancelling, reason.
    fn update_task(&mut self, before: &Task, after: &Task) -> Result<()>;

    /// Removes an ended task with all that belongs to it, except its events.
    fn remove_task(&mut self, task: &Task) -> Result<()>;

    /// One page of tasks.
    fn list(&mut self, filter: &Filter, page: Page) -> Result<Listing>;

    /// The first `limit` queued tasks of a queue: highest priority first, then lowest ID.
    fn candidates(&mut self, queue: &QueueName, limit: usize) -> Result<Vec<Candidate>>;

    /// At most `limit` scheduled tasks whose time has come, earliest first.
    fn due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<TaskId>>;

    /// When the next scheduled task is due.
    fn next_due(&mut self) -> Result<Option<Timestamp>>;

    /// At most `limit` tasks that wait for `on`, by ID.
    fn dependents(&mut self, on: TaskId, limit: usize) -> Result<Vec<(TaskId, Condition)>>;

    /// What the task still waits for.
    fn open_dependencies(&mut self, task: TaskId) -> Result<Vec<Dependency>>;

    /// Strikes a dependency that ended; returns how many of the task's are still open.
    fn strike_dependency(&mut self, task: TaskId, on: TaskId) -> Result<u64>;

    /// Writes a claim: the attempt as it is before the runner hears of it.
    fn insert_attempt(&mut self, key: AttemptKey, claim: &Claim, now: Timestamp) -> Result<()>;

    /// Notes the process of an attempt.
    fn note_started(&mut self, key: AttemptKey, pid: i32, pid_start: u64, at: Timestamp) -> Result<()>;

    /// Writes the end of an attempt: all of `attempt` but its claim.
    fn end_attempt(&mut self, task: TaskId, attempt: &Attempt) -> Result<()>;

    /// Forgets an attempt that never started.
    fn remove_attempt(&mut self, key: AttemptKey) -> Result<()>;

    /// One attempt.
    fn attempt(&mut self, key: AttemptKey) -> Result<Option<Attempt>>;

    /// The attempts of a task, oldest first, at most the newest 1000.
    fn attempts(&mut self, task: TaskId) -> Result<Vec<Attempt>>;

    /// Every attempt that was claimed and has not ended.
    fn open_attempts(&mut self) -> Result<Vec<OpenAttempt>>;

    /// Appends to the history; returns the event with its number.
    fn append_event(
        &mut self,
        at: Timestamp,
        task: Option<(TaskId, u32)>,
        queue: &QueueName,
        kind: EventKind,
    ) -> Result<Event>;

    /// One page of the history, at most `limit` events.
    fn events(&mut self, filter: &EventFilter, limit: usize) -> Result<EventPage>;

    /// The number of the newest event; 0 where there is none.
    fn last_event(&mut self) -> Result<i64>;

    /// Every queue.
    fn queues(&mut self) -> Result<Vec<Queue>>;

    /// Adds or replaces a queue.
    fn put_queue(&mut self, queue: &Queue) -> Result<()>;

    /// Removes a queue; the caller has seen that no task needs it.
    fn remove_queue(&mut self, name: &QueueName) -> Result<()>;

    /// How many tasks each queue has in each state; kept with each change, not counted.
    fn counts(&mut self) -> Result<BTreeMap<QueueName, Counts>>;

    /// Every recurring task.
    fn schedules(&mut self) -> Result<Vec<Schedule>>;

    /// Adds or replaces a recurring task.
    fn put_schedule(&mut self, schedule: &Schedule) -> Result<()>;

    /// Removes a recurring task; its runs stay.
    fn remove_schedule(&mut self, owner: u32, name: &str) -> Result<()>;

    /// At most `limit` ended tasks that ended before `before`, earliest ended first.
    fn ended_before(&mut self, before: Timestamp, limit: usize) -> Result<Vec<Task>>;

    /// Output bytes kept of all ended attempts, as counted with each change.
    fn output_bytes(&mut self) -> Result<u64>;

    /// Removes at most `limit` events older than `before`; returns how many.
    fn remove_events(&mut self, before: Timestamp, limit: usize) -> Result<usize>;
}
