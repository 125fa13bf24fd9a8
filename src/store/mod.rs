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
mod error;
mod events;
mod ledger;
mod list;
mod log;
mod open;
mod page;
mod queues;
mod records;
mod recover;
mod reserve;
mod schema;
mod sql;
mod sqlite;
mod tasks;
#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use open::Settings;
pub use page::{EventFilter, EventPage, Filter, Line, Listing, Page};
pub use records::{Candidate, Counts, Draft, NewTask, OpenAttempt};
pub use schema::{check_schema, newest_schema};
pub use sqlite::SqliteStore;

use std::collections::BTreeMap;

use crate::task::{
    Attempt, AttemptKey, Claim, Condition, Dependency, Event, EventKind, Key, Queue, QueueName, Schedule, Spec, Task,
    TaskId, Timestamp,
};

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

    /// Free bytes on the file system that holds the state, less what is written but not yet in its place.
    fn free_bytes(&self) -> Result<u64>;

    /// Files that may still be made on that file system; `None` where it does not count them.
    fn free_inodes(&self) -> Result<Option<u64>>;

    /// Gives back memory that only a busy time needed; between transactions.
    fn rest(&mut self);

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

    /// The first queued task of a queue, by number and whatever its priority, with when it became ready.
    fn first_queued(&mut self, queue: &QueueName) -> Result<Option<(TaskId, Timestamp)>>;

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
