//! Attempts: claimed, started, ended.
//!
//! Each function does what the method of [`Store`](super::Store) promises that calls it.

use rusqlite::Row;

use super::db::{Db, int, read_count, read_optional_document};
use super::{OpenAttempt, Result, SqliteStore, sql};
use crate::task::{Attempt, AttemptKey, Claim, Cost, TaskId, Timestamp};

/// Reads an attempt from the columns of `attempt_where!`.
fn read(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        number: row.get(0)?,
        claimed_at: Timestamp(row.get(1)?),
        pid: row.get(2)?,
        pid_start: ticks(row, 3)?,
        started_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        ended_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        outcome: read_optional_document(row, 6)?,
        cost: Cost {
            user_us: read_count(row, 7)?,
            system_us: read_count(row, 8)?,
            max_rss_bytes: read_count(row, 9)?,
            output_bytes: read_count(row, 10)?,
            dropped_bytes: read_count(row, 11)?,
        },
    })
}

fn ticks(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    row.get::<_, Option<i64>>(column)?
        .map(|ticks| u64::try_from(ticks).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, ticks)))
        .transpose()
}

fn found(db: &Db, key: AttemptKey, changed: usize) -> Result<()> {
    if changed == 0 { Err(db.damaged(format!("attempt {key} is missing"))) } else { Ok(()) }
}

pub(super) fn insert(store: &mut SqliteStore, key: AttemptKey, claim: &Claim, now: Timestamp) -> Result<()> {
    let claimant = store.books.claimant_of(&store.db, claim)?;
    let lease = claim.lease_until.map(|until| until.0);
    store.db.execute(sql::INSERT_ATTEMPT, (key.task.0, key.attempt, claimant, lease, now.0)).map(drop)
}

pub(super) fn note_started(
    store: &SqliteStore,
    key: AttemptKey,
    pid: i32,
    pid_start: u64,
    at: Timestamp,
) -> Result<()> {
    let values = (key.task.0, key.attempt, pid, int(pid_start), at.0);
    found(&store.db, key, store.db.execute(sql::START_ATTEMPT, values)?)
}

pub(super) fn end(store: &mut SqliteStore, task: TaskId, attempt: &Attempt) -> Result<()> {
    let (db, books) = (&store.db, &mut store.books);
    let key = AttemptKey { task, attempt: attempt.number };
    let action = sql::END_ATTEMPT.action();
    let outcome = attempt.outcome.as_ref().map(|outcome| db.document(action, outcome)).transpose()?;
    let kept_before = kept(db, key)?;
    let cost = &attempt.cost;
    let changed = db.execute(
        sql::END_ATTEMPT,
        (
            task.0,
            attempt.number,
            attempt.claimed_at.0,
            attempt.pid,
            attempt.pid_start.map(int),
            attempt.started_at.map(|at| at.0),
            attempt.ended_at.map(|at| at.0),
            outcome,
            int(cost.user_us),
            int(cost.system_us),
            int(cost.max_rss_bytes),
            int(cost.output_bytes),
            int(cost.dropped_bytes),
        ),
    )?;
    found(db, key, changed)?;
    let kept_after = if attempt.ended_at.is_some() { cost.output_bytes } else { 0 };
    books.change_output(kept_after, kept_before);
    Ok(())
}

/// The output bytes that the attempt is counted with: none before it has ended.
fn kept(db: &Db, key: AttemptKey) -> Result<u64> {
    let bytes = db.row(sql::KEPT_OUTPUT, (key.task.0, key.attempt), |row| read_count(row, 0))?;
    Ok(bytes.unwrap_or(0))
}

pub(super) fn remove(store: &mut SqliteStore, key: AttemptKey) -> Result<()> {
    let bytes = kept(&store.db, key)?;
    found(&store.db, key, store.db.execute(sql::DELETE_ATTEMPT, (key.task.0, key.attempt))?)?;
    store.books.change_output(0, bytes);
    Ok(())
}

pub(super) fn get(store: &SqliteStore, key: AttemptKey) -> Result<Option<Attempt>> {
    store.db.row(sql::ATTEMPT, (key.task.0, key.attempt), read)
}

pub(super) fn of_task(store: &SqliteStore, task: TaskId) -> Result<Vec<Attempt>> {
    let mut attempts = store.db.rows(sql::ATTEMPTS, [task.0], read)?;
    attempts.reverse();
    Ok(attempts)
}

pub(super) fn open(store: &SqliteStore) -> Result<Vec<OpenAttempt>> {
    store.db.rows(sql::OPEN_ATTEMPTS, (), |row| {
        Ok(OpenAttempt {
            key: AttemptKey { task: TaskId(row.get(0)?), attempt: row.get(1)? },
            claim: Claim {
                owner: row.get(2)?,
                runner: row.get(3)?,
                boot: row.get(4)?,
                lease_until: row.get::<_, Option<i64>>(5)?.map(Timestamp),
            },
            pid: row.get(6)?,
            pid_start: ticks(row, 7)?,
        })
    })
}
