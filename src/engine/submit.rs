//! Taking tasks in: everything is checked before anything is written, so that a refusal leaves no trace.

use std::collections::{BTreeMap, HashMap};

use super::settle::Doom;
use super::{Caller, Engine, Refusal, Reply};
use crate::executor::Executor;
use crate::store::{self, Draft, NewTask, Store};
use crate::task::{
    Condition, Dependency, EventKind, Key, Mode, Placement, QueueName, Ready, Start, State, TaskId, Timestamp,
};

/// What becomes of one submission.
enum Admission {
    /// A task with its key is there already.
    Known(TaskId),
    /// An earlier one of the same command has its key.
    Twin(usize),
    /// It is new.
    Fresh(Waits),
}

/// What a new task has to wait for.
#[derive(Default)]
pub(super) struct Waits {
    /// What has not ended.
    pub(super) open: Vec<Dependency>,
    /// What has ended otherwise than the task needs.
    pub(super) doom: Option<Doom>,
}

impl<S: Store, E: Executor> Engine<S, E> {
    pub(super) fn submit(&mut self, now: Timestamp, caller: Caller, drafts: &[Draft]) -> Result<Reply, Refusal> {
        self.check_intake()?;
        let admissions = self.admit(caller, drafts)?;
        let mut accepted: Vec<(TaskId, bool)> = Vec::with_capacity(drafts.len());
        for (draft, admission) in drafts.iter().zip(admissions) {
            accepted.push(match admission {
                Admission::Known(id) => (id, true),
                Admission::Twin(index) => (accepted.get(index).map_or(TaskId(0), |(id, _)| *id), true),
                Admission::Fresh(waits) => (self.enter(now, caller.uid, draft, &waits, None)?, false),
            });
        }
        Ok(Reply::Accepted(accepted))
    }

    /// Whether anything is taken in at all.
    pub(super) fn check_intake(&mut self) -> Result<(), Refusal> {
        if self.stopping.is_some() {
            return Err(Refusal::Stopping);
        }
        let (free, least) = (self.free_bytes()?, self.settings.min_free_bytes);
        if free < least { Err(Refusal::DiskFull { free, least }) } else { Ok(()) }
    }

    /// Free bytes, asked once in a beat.
    pub(super) fn free_bytes(&mut self) -> store::Result<u64> {
        if let Some(free) = self.free {
            return Ok(free);
        }
        let free = self.store.free_bytes()?;
        self.free = Some(free);
        Ok(free)
    }

    fn admit(&mut self, caller: Caller, drafts: &[Draft]) -> Result<Vec<Admission>, Refusal> {
        let mut admissions = Vec::with_capacity(drafts.len());
        let mut twins: HashMap<&Key, usize> = HashMap::new();
        let mut fresh: BTreeMap<&QueueName, u64> = BTreeMap::new();
        for (index, draft) in drafts.iter().enumerate() {
            let placement = &draft.placement;
            placement.check()?;
            self.check_slots(placement)?;
            if let Some(key) = &placement.key {
                if let Some(id) = self.store.task_with_key(caller.uid, key)? {
                    admissions.push(Admission::Known(id));
                    continue;
                }
                if let Some(twin) = twins.get(key) {
                    admissions.push(Admission::Twin(*twin));
                    continue;
                }
                twins.insert(key, index);
            }
            admissions.push(Admission::Fresh(self.waits(caller, &placement.after)?));
            *fresh.entry(&placement.queue).or_default() += 1;
        }
        self.check_room(&fresh)?;
        Ok(admissions)
    }

    /// Whether the task may be in its queue, and could ever have its slots. One that was accepted before the limits were lowered takes all
    /// that there are.
    pub(super) fn check_slots(&self, placement: &Placement) -> Result<(), Refusal> {
        let (asked, host) = (placement.slots, self.settings.slots);
        if placement.queue.is_of_hooks() {
            return Err(Refusal::Reserved(placement.queue.clone()));
        }
        if asked > host {
            return Err(Refusal::TooManySlots { asked, most: host, queue: None });
        }
        match self.lane(&placement.queue)?.queue.limits.slots {
            Some(most) if asked > most => {
                Err(Refusal::TooManySlots { asked, most, queue: Some(placement.queue.clone()) })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the queues and the host take so many more.
    pub(super) fn check_room(&self, fresh: &BTreeMap<&QueueName, u64>) -> Result<(), Refusal> {
        for (name, more) in fresh {
            let lane = self.lane(name)?;
            if lane.queue.mode == Mode::Draining {
                return Err(Refusal::QueueDraining((*name).clone()));
            }
            let length = self.memory.length(name);
            if let Some(max) = lane.queue.limits.max_length
                && length.saturating_add(*more) > max
            {
                return Err(Refusal::QueueFull { queue: (*name).clone(), length, max });
            }
        }
        let Some(max) = self.settings.max_tasks else { return Ok(()) };
        let all = self.memory.total(|state| !state.is_ended());
        if all.saturating_add(fresh.values().sum()) > max { Err(Refusal::TooManyTasks(all)) } else { Ok(()) }
    }

    /// Which of the dependencies are open; each is named once, with the stricter condition.
    fn waits(&mut self, caller: Caller, after: &[Dependency]) -> Result<Waits, Refusal> {
        let mut waits = Waits::default();
        for dependency in after {
            let on = self.store.task(dependency.on)?.filter(|task| caller.privileged || task.owner == caller.uid);
            let Some(on) = on else { return Err(Refusal::NoDependency(dependency.on)) };
            if on.state.is_ended() {
                waits.doom = waits.doom.or(Doom::of(on.id, on.state, dependency.condition));
            } else if let Some(known) = waits.open.iter_mut().find(|known| known.on == dependency.on) {
                if dependency.condition == Condition::Success {
                    known.condition = Condition::Success;
                }
            } else {
                waits.open.push(*dependency);
            }
        }
        Ok(waits)
    }

    /// Writes a new task; what is doomed by a dependency is cancelled at once.
    pub(super) fn enter(
        &mut self,
        now: Timestamp,
        owner: u32,
        draft: &Draft,
        waits: &Waits,
        schedule: Option<&str>,
    ) -> store::Result<TaskId> {
        let due = due(&draft.placement, now);
        let state = first_state(&draft.placement, due, !waits.open.is_empty());
        let new = NewTask { owner, draft, state, now, due, open_dependencies: &waits.open, schedule };
        let id = self.store.insert_task(&new)?;
        let queue = &draft.placement.queue;
        self.memory.count(queue, None, Some(state));
        let kind = EventKind::Submitted { state };
        let event = self.store.append_event(now, Some((id, owner)), queue, kind)?;
        self.told(event);
        if let Some(doom) = &waits.doom
            && let Some(task) = self.store.task(id)?
        {
            self.cancel_unstarted(now, &task, Some(doom.to_string()))?;
        }
        Ok(id)
    }
}

/// When a task may run at the earliest; `None` is now.
fn due(placement: &Placement, now: Timestamp) -> Option<Timestamp> {
    let due = match placement.start {
        Start::Now => None,
        Start::After(delay) => Some(now + delay),
        Start::At(time) => Some(time),
    };
    due.filter(|due| *due > now)
}

fn first_state(placement: &Placement, due: Option<Timestamp>, blocked: bool) -> State {
    if placement.held {
        State::Held
    } else if blocked {
        Ready::Blocked.state()
    } else if due.is_some() {
        Ready::Later.state()
    } else {
        Ready::Now.state()
    }
}
