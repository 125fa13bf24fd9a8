//! The one door: commands in, replies and events out.
//!
//! An [`Engine`] owns the store and the executor and is the only writer. [`Command`]s from clients and
//! reports from the runner are taken up together in one *beat*, committed in one transaction, and only then
//! answered and acted on. Time and chance come in from outside, so that a simulator can own them.
//!
//! It must not know HTTP, configuration files, threads' schedules or any runtime.

mod act;
mod beat;
mod breaker;
mod command;
mod handle;
mod health;
mod hooks;
mod link;
mod memory;
mod outbox;
mod plan;
mod pulse;
mod queues;
mod read;
mod reply;
mod report;
mod reserve;
mod retention;
mod round;
mod schedules;
mod serve;
mod settings;
mod settle;
mod shutdown;
mod standby;
mod submit;
mod tally;
mod timers;
mod trouble;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub use command::{Action, Caller, Command, Query, QueueChange, Selection};
pub use handle::{Envelope, Handle, Message, ReplyTo};
pub use health::{Part, Thresholds};
pub use hooks::{Hook, Hooks, Occasion};
pub use outbox::Feed;
pub use pulse::Pulse;
pub use reply::{Detail, Metrics, Refusal, Reply, RunnerState, Status};
pub use serve::serve;
pub use settings::Settings;
pub use tally::{BOUNDS, Spans, Tally, Work};

/// What the store is given and what its answers are made of: those who ask the engine see them, not the store.
pub use crate::store::{Counts, Draft, Error as StoreError, EventFilter, EventPage, Filter, Line, Listing, Page};

use crate::executor::{Executor, Report};
use crate::store::{self, Store};
use crate::task::{AttemptKey, Event, EventKind, QueueName, Spec, State, Task, TaskId, Timestamp};
use hooks::Watch;
use link::Link;
use memory::Memory;
use outbox::Outbox;
use report::Note;
use round::Round;
use shutdown::Stopping;
use standby::Standby;
use trouble::Trouble;

/// The sole writer of the state, and the only one who gives orders to the executor.
///
/// Everything in here but the store is small, O(running tasks + queues), and derived from the store: after a
/// failed commit it is read again.
pub struct Engine<S, E> {
    store: S,
    executor: E,
    settings: Arc<Settings>,
    rng: fastrand::Rng,
    feed: Feed,
    memory: Memory,
    link: Link,
    stopping: Option<Stopping>,
    trouble: Option<Trouble>,
    /// The transaction that the last beat left open.
    round: Option<Round>,
    /// Reserved attempts whose start was ordered and is not yet committed.
    begun: BTreeSet<AttemptKey>,
    /// Reserved attempts that the runner starts by itself.
    standby: Standby,
    /// What reserved tasks run, as it was read when they were.
    specs: BTreeMap<TaskId, Spec>,
    /// What has arrived and was not yet taken up.
    inbox: VecDeque<Message>,
    /// Reports of beats that could not be committed.
    kept: VecDeque<Report>,
    /// What the current round is to do once it is committed.
    outbox: Outbox,
    /// Processes that started and are not yet written down.
    notes: BTreeMap<AttemptKey, Note>,
    /// Whether the current round wrote anything.
    dirty: bool,
    /// Whether the current beat left work for one right after it.
    more: bool,
    /// Free bytes, as asked once in the current round.
    free: Option<u64>,
    /// When old tasks are next looked for; `None` while there are none.
    retain_at: Option<Timestamp>,
    /// When room for tasks is looked for again; `None` while there is some.
    room_at: Option<Timestamp>,
    /// Events since the engine last rested.
    busy: usize,
    /// What the hooks were and are still to be told.
    watch: Watch,
    /// What was committed since the engine began.
    tally: Tally,
    /// When something was last committed.
    committed_at: Timestamp,
    /// The last beat's moment.
    clock: Timestamp,
    since: Timestamp,
    left: bool,
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// An engine on what the store holds. `seed` decides the jitter of retries; `feed` takes every event after
    /// its commit, on the engine's thread.
    ///
    /// Attempts that were open when the last engine ended stay so until [`Report::Linked`] tells what became of them.
    ///
    /// # Errors
    /// Where the store cannot be read, or the configured queues cannot be written to it.
    pub fn new(
        store: S,
        executor: E,
        settings: Settings,
        seed: u64,
        feed: Feed,
        now: Timestamp,
    ) -> store::Result<Self> {
        let mut engine = Self {
            store,
            executor,
            settings: Arc::new(settings),
            rng: fastrand::Rng::with_seed(seed),
            feed,
            memory: Memory::default(),
            link: Link::down("the runner has not answered yet", now),
            stopping: None,
            trouble: None,
            round: None,
            begun: BTreeSet::new(),
            standby: Standby::default(),
            specs: BTreeMap::new(),
            inbox: VecDeque::new(),
            kept: VecDeque::new(),
            outbox: Outbox::default(),
            notes: BTreeMap::new(),
            dirty: false,
            more: false,
            free: None,
            retain_at: Some(now),
            room_at: None,
            // A start needs code and memory that work does not.
            busy: beat::BUSY_EVENTS,
            watch: Watch::new(now),
            tally: Tally::default(),
            committed_at: now,
            clock: now,
            since: now,
            left: false,
        };
        engine.open(now)?;
        Ok(engine)
    }

    fn open(&mut self, now: Timestamp) -> store::Result<()> {
        self.store.begin()?;
        self.memory = Memory::load(&mut self.store, self.settings.slots)?;
        self.doubt_reserved(now)?;
        self.sync_queues(now)?;
        self.hook_started(now)?;
        if self.dirty {
            self.store.commit()?;
        } else {
            self.store.rollback();
        }
        self.publish(now);
        Ok(())
    }

    /// Whether [`Handle::leave`] was obeyed: no beat does anything any more.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// Writes an event about a task.
    fn tell(&mut self, now: Timestamp, task: &Task, kind: EventKind) -> store::Result<()> {
        let event = self.store.append_event(now, Some((task.id, task.owner)), &task.queue, kind)?;
        self.told(event);
        Ok(())
    }

    /// Writes an event about a queue.
    fn tell_queue(&mut self, now: Timestamp, queue: &QueueName, kind: EventKind) -> store::Result<()> {
        let event = self.store.append_event(now, None, queue, kind)?;
        self.told(event);
        Ok(())
    }

    fn told(&mut self, event: Event) {
        self.dirty = true;
        self.outbox.events.push(event);
    }

    /// Writes what changed of a task.
    fn change(&mut self, before: &Task, after: &Task) -> store::Result<()> {
        self.dirty = true;
        if before.state == State::Queued && after.state != State::Queued {
            self.unreserve(before.id)?;
        }
        self.store.update_task(before, after)?;
        self.memory.count(&before.queue, Some(before.state), Some(after.state));
        Ok(())
    }
}
