//! Pages of tasks, through whichever index looks at the fewest rows.
//!
//! The books say how many tasks are in each place (owner, queue and state), so the way is chosen without
//! looking: by number where everything matches, by place where few places do, by label or schedule where one is given.

use super::db::{limit, read_document, read_optional_document};
use super::ledger::Place;
use super::{Filter, Line, Listing, Page, Result, SqliteStore, codes, sql, tasks};
use crate::task::{QueueName, State, Task, TaskId, Timestamp};

/// Rows that one page looks at before it is handed out short.
pub(super) const LOOKED_AT: usize = 5_000;
/// Places that are walked side by side; where more match, the tasks are walked by number.
const PLACES: usize = 64;
/// Tasks in the matching places up to which they are looked at one by one for a label or a schedule.
const FEW: u64 = 500;

/// A page in the making.
struct Pick<'a> {
    filter: &'a Filter,
    most: usize,
    looked_at: usize,
    tasks: Vec<Task>,
    last: Option<TaskId>,
    more: bool,
}

impl Pick<'_> {
    /// Whether there is no room for another row; notes that there was one.
    fn is_full(&mut self) -> bool {
        self.more = self.tasks.len() >= self.most || self.looked_at >= LOOKED_AT;
        self.more
    }

    fn offer(&mut self, task: Task) {
        self.looked_at += 1;
        self.last = Some(task.id);
        if matches(self.filter, &task) {
            self.tasks.push(task);
        }
    }
}

fn matches(filter: &Filter, task: &Task) -> bool {
    filter.owner.is_none_or(|owner| owner == task.owner)
        && (filter.states.is_empty() || filter.states.contains(&task.state))
        && filter.queue.as_ref().is_none_or(|queue| *queue == task.queue)
        && (filter.label.is_none() || filter.label == task.label)
        && (filter.schedule.is_none() || filter.schedule == task.schedule)
}

/// The places that can hold what the filter wants, and how many tasks they and all places hold.
fn places(store: &SqliteStore, filter: &Filter) -> (Vec<Place>, u64, u64) {
    let lane = filter.queue.as_ref().map(|queue| store.books.lane(queue));
    let (mut fitting, mut within, mut all) = (Vec::new(), 0, 0);
    for (place, n) in store.books.places() {
        all += n;
        if filter.owner.is_none_or(|owner| owner == place.owner)
            && (filter.states.is_empty() || filter.states.contains(&place.state))
            && lane.is_none_or(|lane| lane == Some(place.lane))
        {
            within += n;
            fitting.push(place);
        }
    }
    (fitting, within, all)
}

pub(super) fn list(store: &SqliteStore, filter: &Filter, page: Page) -> Result<Listing> {
    let most = page.limit.max(1);
    let mut pick = Pick { filter, most, looked_at: 0, tasks: Vec::new(), last: None, more: false };
    let (fitting, within, all) = places(store, filter);
    let worded = filter.label.is_some() || filter.schedule.is_some();
    let side_by_side = fitting.len() <= PLACES && if worded { within <= FEW } else { within < all };
    if side_by_side {
        by_place(store, &fitting, page, worded, &mut pick)?;
    } else {
        by_row(store, page, &mut pick)?;
    }
    let next = if pick.more { pick.last } else { None };
    let lines = pick.tasks.into_iter().map(|task| line(store, task)).collect::<Result<_>>()?;
    Ok(Listing { lines, next })
}

/// The first queued task of a queue, with when it became ready: that was the last that happened to it.
pub(super) fn first_queued(store: &SqliteStore, queue: &QueueName) -> Result<Option<(TaskId, Timestamp)>> {
    let filter = Filter { states: vec![State::Queued], queue: Some(queue.clone()), ..Filter::default() };
    let mut first: Option<i64> = None;
    for place in places(store, &filter).0 {
        let values = (place.owner, place.lane, codes::from_state(place.state), 0, 1);
        let id = store.db.row(sql::PLACE_UP, values, |row| row.get::<_, i64>(0))?;
        first = first.into_iter().chain(id).min();
    }
    let Some(task) = first.map(|id| tasks::get(store, TaskId(id))).transpose()?.flatten() else { return Ok(None) };
    let last = store.db.row(sql::LAST_OF_TASK, [task.id.0], |row| row.get(0).map(Timestamp))?;
    Ok(Some((task.id, last.unwrap_or(task.submitted_at))))
}

/// Walks the tasks of some places, merged into one order.
fn by_place(store: &SqliteStore, places: &[Place], page: Page, worded: bool, pick: &mut Pick<'_>) -> Result<()> {
    let wanted = limit(if worded { LOOKED_AT } else { pick.most } + 1);
    let (statement, start) = if page.oldest_first { (sql::PLACE_UP, 0) } else { (sql::PLACE_DOWN, i64::MAX) };
    let start = page.after.map_or(start, |after| after.0);
    let mut ids = Vec::new();
    for place in places {
        let values = (place.owner, place.lane, codes::from_state(place.state), start, wanted);
        ids.extend(store.db.rows(statement, values, |row| row.get::<_, i64>(0))?);
    }
    ids.sort_unstable();
    if !page.oldest_first {
        ids.reverse();
    }
    for id in ids {
        if pick.is_full() {
            break;
        }
        let task = tasks::get(store, TaskId(id))?;
        pick.offer(task.ok_or_else(|| store.db.damaged(format!("task {id} stands in an index alone")))?);
    }
    Ok(())
}

/// Walks the tasks of a label, of a schedule, or all of them.
fn by_row(store: &SqliteStore, page: Page, pick: &mut Pick<'_>) -> Result<()> {
    let (word, down, up) = match (&pick.filter.label, &pick.filter.schedule) {
        (Some(label), _) => (Some(label.as_str()), sql::LABEL_DOWN, sql::LABEL_UP),
        (None, Some(schedule)) => (Some(schedule.as_str()), sql::SCHEDULE_DOWN, sql::SCHEDULE_UP),
        (None, None) => (None, sql::LIST_DOWN, sql::LIST_UP),
    };
    let (statement, start) = if page.oldest_first { (up, 0) } else { (down, i64::MAX) };
    let start = page.after.map_or(start, |after| after.0);
    let fail = |source| store.db.error(statement.action(), source);
    let mut prepared = store.db.prepare(statement)?;
    let mut rows = match word {
        Some(word) => prepared.query((start, word)),
        None => prepared.query([start]),
    }
    .map_err(fail)?;
    while let Some(row) = rows.next().map_err(fail)? {
        if pick.is_full() {
            break;
        }
        pick.offer(tasks::read(row, &store.books).map_err(fail)?);
    }
    Ok(())
}

fn line(store: &SqliteStore, task: Task) -> Result<Line> {
    let found = store.db.row(sql::LINE, (task.id.0, task.attempts), |row| {
        Ok((read_document(row, 0)?, read_optional_document(row, 1)?, row.get::<_, Option<i64>>(2)?.map(Timestamp)))
    })?;
    let (spec, outcome, started_at) =
        found.ok_or_else(|| store.db.damaged(format!("what task {} runs is missing", task.id)))?;
    Ok(Line { task, spec, outcome, started_at })
}
