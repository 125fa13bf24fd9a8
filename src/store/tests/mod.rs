//! The store's promises, on real files where files matter.

mod counting;
mod damage;
mod durability;
mod lists;
mod migrations;
mod round_trip;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{NewTask, Settings, SqliteStore, Store};
use crate::task::{
    AttemptKey, Claim, Dependency, Event, EventKind, Limits, OnInterrupt, Placement, Queue, QueueName, Retry, Spec,
    State, Stop, Submission, Task, TaskId, Timestamp,
};

pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

pub(super) struct Place {
    pub(super) directory: TempDir,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("queue.db")
    }

    pub(super) fn open(&self) -> SqliteStore {
        open(&self.path()).unwrap()
    }
}

/// The database itself, past the store.
pub(super) fn raw(path: impl AsRef<Path>) -> rusqlite::Connection {
    crate::sys::sqlite::load().unwrap();
    rusqlite::Connection::open(path).unwrap()
}

pub(super) fn open(path: &Path) -> super::Result<SqliteStore> {
    SqliteStore::open(path, &Settings::default(), NOW)
}

pub(super) fn spec(argv: &[&str]) -> Spec {
    Spec {
        argv: argv.iter().map(|word| (*word).into()).collect(),
        directory: "/".into(),
        environment: Vec::new(),
        umask: 0o22,
        timeout_ms: None,
        stop: Stop::default(),
        retry: Retry::default(),
        on_interrupt: OnInterrupt::default(),
        limits: Limits::default(),
        nice: 0,
        output_cap_bytes: 1 << 20,
    }
}

pub(super) fn submission() -> Submission {
    Submission { spec: spec(&["true"]), placement: Placement::default(), stdin: None }
}

pub(super) fn queue(name: &str) -> QueueName {
    name.parse().unwrap()
}

/// Writes a task; the caller has begun.
pub(super) fn insert(store: &mut SqliteStore, submission: &Submission, state: State) -> TaskId {
    insert_for(store, 1000, submission, state, None, &[])
}

pub(super) fn insert_for(
    store: &mut SqliteStore,
    owner: u32,
    submission: &Submission,
    state: State,
    due: Option<Timestamp>,
    open_dependencies: &[Dependency],
) -> TaskId {
    let draft = &submission.clone().into();
    store.insert_task(&NewTask { owner, draft, state, now: NOW, due, open_dependencies, schedule: None }).unwrap()
}

pub(super) fn change(store: &mut SqliteStore, id: TaskId, with: impl FnOnce(&mut Task)) -> Task {
    let before = store.task(id).unwrap().unwrap();
    let mut after = before.clone();
    with(&mut after);
    store.update_task(&before, &after).unwrap();
    after
}

pub(super) fn submitted(store: &mut SqliteStore, id: TaskId) -> Event {
    let kind = EventKind::Submitted { state: State::Queued };
    store.append_event(NOW, Some((id, 1000)), &QueueName::default(), kind).unwrap()
}

pub(super) fn committed<T>(store: &mut SqliteStore, with: impl FnOnce(&mut SqliteStore) -> T) -> T {
    store.begin().unwrap();
    let value = with(store);
    store.commit().unwrap();
    value
}

pub(super) fn claim() -> Claim {
    Claim { owner: "o".repeat(32), runner: "r".repeat(16), boot: "b".repeat(36), lease_until: None }
}

pub(super) fn key(task: TaskId, attempt: u32) -> AttemptKey {
    AttemptKey { task, attempt }
}

pub(super) fn plain_queue(name: &str) -> Queue {
    Queue {
        name: queue(name),
        limits: crate::task::QueueLimits::default(),
        origin: crate::task::Origin::Configured,
        mode: crate::task::Mode::Open,
        breaker: crate::task::Breaker::default(),
    }
}
