//! Tasks, what they run and what they wait for.
//!
//! Each function does what the method of [`Store`](super::Store) promises that calls it.

use rusqlite::Row;

use super::db::{limit, odd, read_document};
use super::ledger::{Ledger, Place};
use super::{Candidate, NewTask, Result, SqliteStore, codes, sql};
use crate::task::{Condition, Dependency, Key, QueueName, Spec, Task, TaskId, Timestamp};

/// Reads a task from the columns of `task_where!`.
pub(super) fn read(row: &Row<'_>, books: &Ledger) -> rusqlite::Result<Task> {
    Ok(Task {
        id: TaskId(row.get(0)?),
        owner: row.get(1)?,
        queue: books.name(row.get(2)?).cloned().ok_or_else(|| odd(2, "no such queue"))?,
        state: codes::to_state(row.get(3)?).ok_or_else(|| odd(3, "no such state"))?,
        priority: row.get(4)?,
        slots: row.get(5)?,
        submitted_at: Timestamp(row.get(6)?),
        due: row.get::<_, Option<i64>>(7)?.map(Timestamp),
        ended_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        attempts: row.get(9)?,
        failures: row.get(10)?,
        interruptions: row.get(11)?,
        cancelling: row.get(12)?,
        label: word(row, 13)?,
        key: word(row, 14)?,
        schedule: row.get(15)?,
        reason: row.get(16)?,
    })
}

fn word<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text = row.get_ref(column)?.as_str_or_null().map_err(|fault| odd(column, fault))?;
    text.map(str::parse).transpose().map_err(|fault| odd(column, fault))
}

pub(super) fn insert(store: &mut SqliteStore, new: &NewTask<'_>) -> Result<TaskId> {
    let (db, books) = (&store.db, &mut store.books);
    let placement = &new.draft.placement;
    let lane = books.lane_of(db, &placement.queue)?;
    let id = books.next_task();
    db.execute(
        sql::INSERT_TASK,
        (
            id.0,
            new.owner,
            lane,
            codes::from_state(new.state),
            placement.priority,
            placement.slots,
            new.now.0,
            new.due.map(|due| due.0),
            placement.label.as_ref().map(|label| label.as_str()),
            placement.key.as_ref().map(Key::as_str),
            new.schedule,
        ),
    )?;
    let document =
        new.draft.document.as_ref().map_err(|fault| db.unwritable(sql::INSERT_SPEC.action(), fault.as_str()))?;
    db.execute(sql::INSERT_SPEC, (id.0, document))?;
    if let Some(input) = &new.draft.stdin {
        db.execute(sql::INSERT_INPUT, (id.0, input))?;
    }
    for dependency in new.open_dependencies {
        let condition = codes::from_condition(dependency.condition);
        db.execute(sql::INSERT_DEPENDENCY, (id.0, dependency.on.0, condition))?;
    }
    books.enter(Place { owner: new.owner, lane, state: new.state });
    Ok(id)
}

pub(super) fn get(store: &SqliteStore, id: TaskId) -> Result<Option<Task>> {
    store.db.row(sql::TASK, [id.0], |row| read(row, &store.books))
}

pub(super) fn with_key(store: &SqliteStore, owner: u32, key: &Key) -> Result<Option<TaskId>> {
    store.db.row(sql::TASK_WITH_KEY, (owner, key.as_str()), |row| row.get(0).map(TaskId))
}

pub(super) fn spec(store: &SqliteStore, id: TaskId) -> Result<Option<Spec>> {
    store.db.row(sql::SPEC, [id.0], |row| read_document(row, 0))
}

pub(super) fn input(store: &SqliteStore, id: TaskId) -> Result<Option<Vec<u8>>> {
    store.db.row(sql::INPUT, [id.0], |row| row.get(0))
}

pub(super) fn update(store: &mut SqliteStore, before: &Task, after: &Task) -> Result<()> {
    let (db, books) = (&store.db, &mut store.books);
    let old = place(books, db, before)?;
    let new = place(books, db, after)?;
    let changed = db.execute(
        sql::UPDATE_TASK,
        (
            after.id.0,
            new.lane,
            codes::from_state(after.state),
            after.priority,
            after.due.map(|due| due.0),
            after.ended_at.map(|ended| ended.0),
            after.attempts,
            after.failures,
            after.interruptions,
            after.cancelling,
            after.reason.as_deref(),
        ),
    )?;
    if changed == 0 {
        return Err(db.damaged(format!("task {} is missing", after.id)));
    }
    if old != new {
        books.leave(old);
        books.enter(new);
    }
    Ok(())
}

fn place(books: &mut Ledger, db: &super::db::Db, task: &Task) -> Result<Place> {
    Ok(Place { owner: task.owner, lane: books.lane_of(db, &task.queue)?, state: task.state })
}

pub(super) fn remove(store: &mut SqliteStore, task: &Task) -> Result<()> {
    let (db, books) = (&store.db, &mut store.books);
    let id = task.id.0;
    let output = db.row(sql::KEPT_OUTPUTS, [id], |row| super::db::read_count(row, 0))?.unwrap_or(0);
    if db.execute(sql::DELETE_TASK, [id])? == 0 {
        return Err(db.damaged(format!("task {id} is missing")));
    }
    for part in [sql::DELETE_SPEC, sql::DELETE_INPUT, sql::DELETE_ATTEMPTS, sql::DELETE_DEPENDENCIES] {
        db.execute(part, [id])?;
    }
    books.forget_task(task.id);
    books.change_output(0, output);
    let left = place(books, db, task)?;
    books.leave(left);
    Ok(())
}

pub(super) fn candidates(store: &SqliteStore, queue: &QueueName, most: usize) -> Result<Vec<Candidate>> {
    let Some(lane) = store.books.lane(queue) else { return Ok(Vec::new()) };
    store.db.rows(sql::READY, (lane, limit(most)), |row| {
        Ok(Candidate { id: TaskId(row.get(0)?), priority: row.get(1)?, slots: row.get(2)? })
    })
}

pub(super) fn due(store: &SqliteStore, now: Timestamp, most: usize) -> Result<Vec<TaskId>> {
    store.db.rows(sql::DUE, (now.0, limit(most)), |row| row.get(0).map(TaskId))
}

pub(super) fn next_due(store: &SqliteStore) -> Result<Option<Timestamp>> {
    store.db.row(sql::NEXT_DUE, (), |row| row.get(0).map(Timestamp))
}

pub(super) fn ended_before(store: &SqliteStore, before: Timestamp, most: usize) -> Result<Vec<Task>> {
    store.db.rows(sql::ENDED_BEFORE, (before.0, limit(most)), |row| read(row, &store.books))
}

fn condition(row: &Row<'_>, column: usize) -> rusqlite::Result<Condition> {
    codes::to_condition(row.get(column)?).ok_or_else(|| odd(column, "no such condition"))
}

pub(super) fn dependents(store: &SqliteStore, on: TaskId, most: usize) -> Result<Vec<(TaskId, Condition)>> {
    store.db.rows(sql::DEPENDENTS, (on.0, limit(most)), |row| Ok((TaskId(row.get(0)?), condition(row, 1)?)))
}

pub(super) fn open_dependencies(store: &SqliteStore, task: TaskId) -> Result<Vec<Dependency>> {
    store.db.rows(sql::DEPENDENCIES, [task.0], |row| {
        Ok(Dependency { on: TaskId(row.get(0)?), condition: condition(row, 1)? })
    })
}

pub(super) fn strike_dependency(store: &SqliteStore, task: TaskId, on: TaskId) -> Result<u64> {
    store.db.execute(sql::DELETE_DEPENDENCY, (task.0, on.0))?;
    let left = store.db.row(sql::COUNT_DEPENDENCIES, [task.0], |row| super::db::read_count(row, 0))?;
    Ok(left.unwrap_or(0))
}
