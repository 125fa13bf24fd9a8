//! The history.
//!
//! Each function does what the method of [`Store`](super::Store) promises that calls it.

use rusqlite::Row;

use super::db::{limit, odd, read_document};
use super::ledger::Ledger;
use super::list::LOOKED_AT;
use super::{EventFilter, EventPage, Result, SqliteStore, sql};
use crate::task::{Event, EventKind, QueueName, TaskId, Timestamp};

/// Reads an event from the columns of `event_where!`.
fn read(row: &Row<'_>, books: &Ledger) -> rusqlite::Result<Event> {
    Ok(Event {
        seq: row.get(0)?,
        at: Timestamp(row.get(1)?),
        task: row.get::<_, Option<i64>>(2)?.map(TaskId),
        owner: row.get(3)?,
        queue: books.name(row.get(4)?).cloned().ok_or_else(|| odd(4, "no such queue"))?,
        kind: read_document(row, 5)?,
    })
}

pub(super) fn append(
    store: &mut SqliteStore,
    at: Timestamp,
    task: Option<(TaskId, u32)>,
    queue: &QueueName,
    kind: EventKind,
) -> Result<Event> {
    let (db, books) = (&store.db, &mut store.books);
    let lane = books.lane_of(db, queue)?;
    let seq = books.next_event();
    let (id, owner) = task.unzip();
    let document = db.document(sql::INSERT_EVENT.action(), &kind)?;
    db.execute(sql::INSERT_EVENT, (seq, at.0, id.map(|id| id.0), owner, lane, document))?;
    Ok(Event { seq, at, task: id, owner, queue: queue.clone(), kind })
}

pub(super) fn page(store: &SqliteStore, filter: &EventFilter, most: usize) -> Result<EventPage> {
    let (db, books) = (&store.db, &store.books);
    let statement = if filter.task.is_some() { sql::TASK_EVENTS } else { sql::EVENTS };
    let fail = |source| db.error(statement.action(), source);
    let mut prepared = db.prepare(statement)?;
    let mut rows = match filter.task {
        Some(task) => prepared.query((filter.after, task.0)),
        None => prepared.query([filter.after]),
    }
    .map_err(fail)?;
    let mut page = EventPage { events: Vec::new(), next: filter.after };
    let mut looked_at = 0;
    while let Some(row) = rows.next().map_err(fail)? {
        if page.events.len() >= most.max(1) || looked_at >= LOOKED_AT {
            return Ok(page);
        }
        looked_at += 1;
        page.next = row.get(0).map_err(fail)?;
        let owner: Option<u32> = row.get(3).map_err(fail)?;
        if filter.owner.is_none() || owner.is_none() || owner == filter.owner {
            page.events.push(read(row, books).map_err(fail)?);
        }
    }
    page.next = books.last_event().max(filter.after);
    Ok(page)
}

pub(super) fn remove(store: &mut SqliteStore, before: Timestamp, most: usize) -> Result<usize> {
    let (db, books) = (&store.db, &mut store.books);
    // Numbers, not times, are in order where the clock was set back: what stands behind a younger event stays with it.
    let oldest = db.rows(sql::EVENT_TIMES, [limit(most)], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    let Some((last, _)) = oldest.into_iter().take_while(|(_, at)| *at < before.0).last() else { return Ok(0) };
    books.forget_events(last);
    db.execute(sql::DELETE_EVENTS, [last])
}
