//! Queues and recurring tasks, kept as documents.
//!
//! Each function does what the method of [`Store`](super::Store) promises that calls it.

use super::db::read_document;
use super::{Result, SqliteStore, sql};
use crate::task::{Queue, QueueName, Schedule};

pub(super) fn all(store: &SqliteStore) -> Result<Vec<Queue>> {
    store.db.rows(sql::QUEUES, (), |row| read_document(row, 0))
}

pub(super) fn put(store: &SqliteStore, queue: &Queue) -> Result<()> {
    let document = store.db.document(sql::PUT_QUEUE.action(), queue)?;
    store.db.execute(sql::PUT_QUEUE, (queue.name.as_str(), document)).map(drop)
}

pub(super) fn remove(store: &SqliteStore, name: &QueueName) -> Result<()> {
    store.db.execute(sql::DELETE_QUEUE, [name.as_str()]).map(drop)
}

pub(super) fn schedules(store: &SqliteStore) -> Result<Vec<Schedule>> {
    store.db.rows(sql::SCHEDULES, (), |row| read_document(row, 0))
}

pub(super) fn put_schedule(store: &SqliteStore, schedule: &Schedule) -> Result<()> {
    let document = store.db.document(sql::PUT_SCHEDULE.action(), schedule)?;
    store.db.execute(sql::PUT_SCHEDULE, (schedule.owner, &schedule.name, document)).map(drop)
}

pub(super) fn remove_schedule(store: &SqliteStore, owner: u32, name: &str) -> Result<()> {
    store.db.execute(sql::DELETE_SCHEDULE, (owner, name)).map(drop)
}
