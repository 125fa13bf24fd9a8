//! What the store knows by heart: how many tasks are where, the last numbers given, queue names as numbers.
//!
//! Changes gather here and are written once, before the commit: a thousand tasks cost one update.
//! It must not begin or end transactions.

use std::collections::BTreeMap;

use rusqlite::types::{FromSql, ToSql};

use super::db::{Db, int, odd, read_count};
use super::{Counts, Result, codes, sql};
use crate::task::{Claim, QueueName, State, TaskId};

/// Where a task is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) owner: u32,
    pub(super) lane: i64,
    pub(super) state: State,
}

/// Numbers of which there is one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    /// The last numbers given.
    task: i64,
    event: i64,
    /// The last numbers given, as written down; it is enough that no removed row stood above them.
    task_mark: i64,
    event_mark: i64,
    output_bytes: u64,
}

/// The books, with what has changed since the last commit.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    totals: Totals,
    committed: Totals,
    counts: BTreeMap<Place, u64>,
    /// What the changed counts were at the last commit.
    before: BTreeMap<Place, u64>,
    lanes: BTreeMap<QueueName, i64>,
    names: Vec<QueueName>,
    committed_lanes: usize,
    claimant: Option<(Claim, i64)>,
}

fn get<T: FromSql>(db: &Db, name: &str) -> Result<Option<T>> {
    db.row(sql::GET_META, [name], |row| row.get(0))
}

fn put(db: &Db, name: &str, value: impl ToSql) -> Result<()> {
    db.execute(sql::PUT_META, (name, value)).map(drop)
}

impl Ledger {
    /// The books as the database has them.
    pub(super) fn load(db: &Db) -> Result<Self> {
        let task_mark = get(db, "last_task")?.unwrap_or(0);
        let event_mark = get(db, "last_event")?.unwrap_or(0);
        let totals = Totals {
            task: db.row(sql::LAST_TASK, [task_mark], |row| row.get(0))?.unwrap_or(task_mark),
            event: db.row(sql::LAST_EVENT, [event_mark], |row| row.get(0))?.unwrap_or(event_mark),
            task_mark,
            event_mark,
            output_bytes: db.row(sql::GET_META, ["output_bytes"], |row| read_count(row, 0))?.unwrap_or(0),
        };
        let mut books = Self { totals, committed: totals, ..Self::default() };
        for (id, name) in db.rows(sql::LANES, (), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?.parse().map_err(|fault| odd(1, fault))?))
        })? {
            books.add_lane(name);
            if books.lane_count() != id {
                return Err(db.damaged(format!("queue number {} is missing", books.lane_count())));
            }
        }
        books.committed_lanes = books.names.len();
        let counts = db.rows(sql::COUNTS, (), |row| {
            let state = codes::to_state(row.get(2)?).ok_or_else(|| odd(2, "no such state"))?;
            Ok((Place { owner: row.get(0)?, lane: row.get(1)?, state }, read_count(row, 3)?))
        })?;
        books.counts = counts.into_iter().collect();
        Ok(books)
    }

    /// Writes what has changed; the transaction is about to be committed.
    pub(super) fn write(&mut self, db: &Db) -> Result<()> {
        for (place, before) in &self.before {
            let (owner, lane, state) = (place.owner, place.lane, codes::from_state(place.state));
            match self.counts.get(place) {
                Some(now) if now == before => {}
                Some(now) => drop(db.execute(sql::PUT_COUNT, (owner, lane, state, int(*now)))?),
                None => drop(db.execute(sql::DELETE_COUNT, (owner, lane, state))?),
            }
        }
        if self.totals.output_bytes != self.committed.output_bytes {
            put(db, "output_bytes", int(self.totals.output_bytes))?;
        }
        if self.totals.task_mark != self.committed.task_mark {
            put(db, "last_task", self.totals.task_mark)?;
        }
        if self.totals.event_mark != self.committed.event_mark {
            put(db, "last_event", self.totals.event_mark)?;
        }
        Ok(())
    }

    /// What has changed is durable now.
    pub(super) fn committed(&mut self) {
        self.before.clear();
        self.committed = self.totals;
        self.committed_lanes = self.names.len();
    }

    /// What has changed since the last commit never happened.
    pub(super) fn rolled_back(&mut self) {
        self.totals = self.committed;
        for (place, n) in std::mem::take(&mut self.before) {
            self.set(place, n);
        }
        for name in self.names.drain(self.committed_lanes..) {
            self.lanes.remove(&name);
        }
        self.claimant = None;
    }

    fn set(&mut self, place: Place, n: u64) {
        if n == 0 {
            self.counts.remove(&place)
        } else {
            self.counts.insert(place, n)
        };
    }

    fn change(&mut self, place: Place, by: impl FnOnce(u64) -> u64) {
        let n = self.counts.get(&place).copied().unwrap_or(0);
        self.before.entry(place).or_insert(n);
        self.set(place, by(n));
    }

    /// A task is now in that place.
    pub(super) fn enter(&mut self, place: Place) {
        self.change(place, |n| n + 1);
    }

    /// A task is no longer in that place.
    pub(super) fn leave(&mut self, place: Place) {
        self.change(place, |n| n.saturating_sub(1));
    }

    /// The places that hold tasks, with how many.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, u64)> {
        self.counts.iter().map(|(place, n)| (*place, *n))
    }

    /// How many tasks each queue has in each state.
    pub(super) fn counts(&self) -> BTreeMap<QueueName, Counts> {
        let mut counts = BTreeMap::<QueueName, Counts>::new();
        for (place, n) in &self.counts {
            if let Some(name) = self.name(place.lane) {
                *counts.entry(name.clone()).or_default().entry(place.state).or_default() += n;
            }
        }
        counts
    }

    /// The next task's number.
    pub(super) fn next_task(&mut self) -> TaskId {
        self.totals.task += 1;
        TaskId(self.totals.task)
    }

    /// A task is about to be removed: its number must not be given again.
    pub(super) fn forget_task(&mut self, id: TaskId) {
        if id.0 > self.totals.task_mark {
            self.totals.task_mark = self.totals.task;
        }
    }

    /// The next event's number.
    pub(super) fn next_event(&mut self) -> i64 {
        self.totals.event += 1;
        self.totals.event
    }

    /// The last event's number.
    pub(super) fn last_event(&self) -> i64 {
        self.totals.event
    }

    /// Events up to `seq` are about to be removed: their numbers must not be given again.
    pub(super) fn forget_events(&mut self, seq: i64) {
        if seq > self.totals.event_mark {
            self.totals.event_mark = self.totals.event;
        }
    }

    /// Bytes of output kept.
    pub(super) fn output_bytes(&self) -> u64 {
        self.totals.output_bytes
    }

    /// Output came and went.
    pub(super) fn change_output(&mut self, more: u64, less: u64) {
        self.totals.output_bytes = self.totals.output_bytes.saturating_add(more).saturating_sub(less);
    }

    /// The queue's number, if it ever had one.
    pub(super) fn lane(&self, queue: &QueueName) -> Option<i64> {
        self.lanes.get(queue).copied()
    }

    /// The queue's number; it gets one if it had none.
    pub(super) fn lane_of(&mut self, db: &Db, queue: &QueueName) -> Result<i64> {
        if let Some(lane) = self.lane(queue) {
            return Ok(lane);
        }
        db.execute(sql::INSERT_LANE, (self.lane_count() + 1, queue.as_str()))?;
        self.add_lane(queue.clone());
        Ok(self.lane_count())
    }

    /// The queue with that number.
    pub(super) fn name(&self, lane: i64) -> Option<&QueueName> {
        usize::try_from(lane - 1).ok().and_then(|index| self.names.get(index))
    }

    fn lane_count(&self) -> i64 {
        super::db::limit(self.names.len())
    }

    fn add_lane(&mut self, name: QueueName) {
        self.names.push(name.clone());
        let number = self.lane_count();
        self.lanes.insert(name, number);
    }

    /// The claimant's number; it gets one if it had none. Leases are each attempt's own.
    pub(super) fn claimant_of(&mut self, db: &Db, claim: &Claim) -> Result<i64> {
        if let Some((known, id)) = &self.claimant
            && (&known.owner, &known.runner, &known.boot) == (&claim.owner, &claim.runner, &claim.boot)
        {
            return Ok(*id);
        }
        let words = (&claim.owner, &claim.runner, &claim.boot);
        let id = match db.row(sql::CLAIMANT, words, |row| row.get(0))? {
            Some(id) => id,
            None => {
                db.execute(sql::INSERT_CLAIMANT, words)?;
                db.conn().last_insert_rowid()
            }
        };
        self.claimant = Some((claim.clone(), id));
        Ok(id)
    }
}
