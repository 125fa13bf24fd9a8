//! What the engine keeps in mind: as much as the store holds of running tasks, queues and schedules, and no task
//! that does not run.

use std::collections::BTreeMap;

use crate::scheduler::{self, Gate};
use crate::store::{self, Counts, Store};
use crate::task::{AttemptKey, Claim, Queue, QueueName, Schedule, State, TaskId, Timestamp};

/// A queue and the slots that its running tasks take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) queue: Queue,
    pub(super) used: u32,
}

/// An attempt that was claimed and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) queue: QueueName,
    /// What the task asks for.
    pub(super) slots: u32,
    /// What it takes under the limits of now.
    pub(super) weight: u32,
    pub(super) claimed: Claimed,
    pub(super) process: Option<(i32, u64)>,
}

/// For whom an attempt was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claimed {
    /// The runner that it was claimed for.
    pub(super) runner: String,
    /// The boot in which it was claimed.
    pub(super) boot: String,
    /// Whether it was only reserved when the last daemon died: then it may never have been ordered.
    pub(super) is_doubtful: bool,
}

/// An attempt that was written ahead, of a task that is still queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reserved {
    pub(super) attempt: u32,
    pub(super) claimed: Claimed,
}

/// Derived from the store alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) lanes: BTreeMap<QueueName, Lane>,
    pub(super) open: BTreeMap<AttemptKey, Open>,
    /// What was written ahead, by its task.
    pub(super) reserved: BTreeMap<TaskId, Reserved>,
    /// Slots taken over all queues but that of the hooks.
    pub(super) used: u32,
    pub(super) counts: BTreeMap<QueueName, Counts>,
    pub(super) schedules: BTreeMap<(u32, String), Schedule>,
    /// When the next scheduled task is due.
    pub(super) next_due: Option<Timestamp>,
}

impl Memory {
    /// Reads it all.
    pub(super) fn load(store: &mut impl Store, host_slots: u32) -> store::Result<Self> {
        let lanes = store.queues()?.into_iter().map(|queue| (queue.name.clone(), Lane { queue, used: 0 }));
        let schedules =
            store.schedules()?.into_iter().map(|schedule| ((schedule.owner, schedule.name.clone()), schedule));
        let mut memory = Self {
            lanes: lanes.collect(),
            counts: store.counts()?,
            schedules: schedules.collect(),
            next_due: store.next_due()?,
            ..Self::default()
        };
        for attempt in store.open_attempts()? {
            let Some(task) = store.task(attempt.key.task)? else { continue };
            let Claim { runner, boot, .. } = attempt.claim;
            let claimed = Claimed { runner, boot, is_doubtful: false };
            if attempt.key.attempt > task.attempts {
                memory.reserved.insert(task.id, Reserved { attempt: attempt.key.attempt, claimed });
                continue;
            }
            let open = Open {
                queue: task.queue,
                slots: task.slots,
                weight: 0,
                claimed,
                process: attempt.pid.zip(attempt.pid_start),
            };
            memory.open.insert(attempt.key, open);
        }
        memory.weigh(host_slots);
        Ok(memory)
    }

    /// Weighs every open attempt again, after limits changed.
    pub(super) fn weigh(&mut self, host_slots: u32) {
        self.used = 0;
        self.lanes.values_mut().for_each(|lane| lane.used = 0);
        for open in self.open.values_mut() {
            let lane = self.lanes.get_mut(&open.queue);
            let limit = lane.as_ref().and_then(|lane| lane.queue.limits.slots);
            open.weight = scheduler::weight(open.slots, limit, host_slots);
            if !open.queue.is_of_hooks() {
                self.used = self.used.saturating_add(open.weight);
            }
            if let Some(lane) = lane {
                lane.used = lane.used.saturating_add(open.weight);
            }
        }
    }

    pub(super) fn claim(&mut self, key: AttemptKey, open: Open) {
        if !open.queue.is_of_hooks() {
            self.used = self.used.saturating_add(open.weight);
        }
        if let Some(lane) = self.lanes.get_mut(&open.queue) {
            lane.used = lane.used.saturating_add(open.weight);
        }
        self.open.insert(key, open);
    }

    pub(super) fn close(&mut self, key: AttemptKey) {
        let Some(open) = self.open.remove(&key) else { return };
        if !open.queue.is_of_hooks() {
            self.used = self.used.saturating_sub(open.weight);
        }
        if let Some(lane) = self.lanes.get_mut(&open.queue) {
            lane.used = lane.used.saturating_sub(open.weight);
        }
    }

    /// Moves a task from one count to another; `None` is outside, before it is there or once it is removed.
    pub(super) fn count(&mut self, queue: &QueueName, from: Option<State>, to: Option<State>) {
        if !self.counts.contains_key(queue) {
            self.counts.insert(queue.clone(), Counts::new());
        }
        let Some(counts) = self.counts.get_mut(queue) else { return };
        if let Some(from) = from
            && let Some(count) = counts.get_mut(&from)
        {
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            *counts.entry(to).or_default() += 1;
        }
    }

    /// How many tasks of a queue are in a state.
    pub(super) fn in_state(&self, queue: &QueueName, state: State) -> u64 {
        self.counts.get(queue).and_then(|counts| counts.get(&state)).copied().unwrap_or(0)
    }

    /// The queues that have something to start and let it, each with how much.
    pub(super) fn waiting(&self, now: Timestamp) -> impl Iterator<Item = (&QueueName, &Lane, Gate)> {
        self.lanes.iter().filter_map(move |(name, lane)| {
            let gate = scheduler::gate(lane.queue.mode, &lane.queue.breaker, now);
            (gate != Gate::Shut && self.in_state(name, State::Queued) > 0).then_some((name, lane, gate))
        })
    }

    /// How many tasks of a queue have not ended.
    pub(super) fn length(&self, queue: &QueueName) -> u64 {
        self.counts.get(queue).map_or(0, |counts| sum(counts, |state| !state.is_ended()))
    }

    /// How many tasks of all queues are in states that `take` names.
    pub(super) fn total(&self, take: impl Fn(State) -> bool + Copy) -> u64 {
        self.counts.values().map(|counts| sum(counts, take)).sum()
    }

    /// The names of all queues, for people.
    pub(super) fn names(&self) -> String {
        self.lanes.keys().map(QueueName::as_str).collect::<Vec<_>>().join(", ")
    }
}

fn sum(counts: &Counts, take: impl Fn(State) -> bool) -> u64 {
    counts.iter().filter(|(state, _)| take(**state)).map(|(_, count)| count).sum()
}
