//! Orders given ahead: the runner itself starts the next task in the place of one that succeeds.
//!
//! While short tasks keep every slot busy, the way from an end to the engine and back would leave the slot empty each
//! time. So a few of what is reserved is given to the runner beforehand, and *stands by*; the tasks stay queued until the
//! runner tells that one began. A slot is passed on or comes back, so no more run than before.
//!
//! - What stands by is exactly what the plan would choose next. Where that is not sure any more, it is recalled, and
//!   until the runner has answered the plan chooses nothing.
//! - A command that may be about one of these tasks is held back meanwhile, so that no answer is overtaken by a start.
//! - A runner that does not answer keeps nobody waiting: after a moment all that stands by is taken for begun, and the
//!   runner tells it better later.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Command, Engine, Envelope, Message};
use crate::executor::{End, Executor, Start};
use crate::scheduler::Gate;
use crate::store::{self, Candidate, Store};
use crate::task::{AttemptKey, QueueName, TaskId, Timestamp};

/// What stands by for each slot at most: enough that the runner need not tell of each end by itself.
const MOST_PER_SLOT: u32 = 6;

/// What stands by at most.
const MOST: u32 = 32;

/// How long a task may take that others stand by behind: behind longer ones there is nothing to gain.
const SHORT: Duration = Duration::from_millis(20);

/// How long nobody may have asked for anything: who asks now will ask again, and would wait for a recall.
const QUIET: Duration = Duration::from_millis(5);

/// How long the runner may take to give back what stands by.
const PATIENCE: Duration = Duration::from_secs(1);

/// What stands by, and what waits for its recall.
#[derive(Default)]
pub(super) struct Standby {
    keys: Vec<AttemptKey>,
    recalled_at: Option<Timestamp>,
    held: VecDeque<Message>,
    /// When somebody last asked for anything.
    asked_at: Timestamp,
    /// Whether the last attempt that ended was a short one.
    is_brisk: bool,
}

impl Standby {
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn contains(&self, id: TaskId) -> bool {
        self.keys.iter().any(|key| key.task == id)
    }

    /// Whether what was held back can be taken up.
    pub(super) fn lets_go(&self) -> bool {
        self.keys.is_empty() && !self.held.is_empty()
    }

    /// When the runner's answer is not waited for any more.
    pub(super) fn patience_ends(&self) -> Option<Timestamp> {
        self.recalled_at.map(|at| at + PATIENCE)
    }

    /// Takes up how long an attempt took.
    pub(super) fn pace(&mut self, end: &End) {
        self.is_brisk = end.started_at.is_some_and(|started| end.ended_at.since(started) < SHORT);
    }
}

/// Whether it may be about what stands by, or ends what the engine could be told of it.
fn concerns_tasks(message: &Message) -> bool {
    match message {
        Message::Command(Envelope { command, .. }) => match command {
            Command::Act(..) | Command::Queue(..) | Command::Reconfigure(_) => true,
            Command::Read(_)
            | Command::Submit(_)
            | Command::Shutdown { .. }
            | Command::AddSchedule { .. }
            | Command::PauseSchedule { .. }
            | Command::RemoveSchedule { .. }
            | Command::Examine => false,
        },
        Message::Leave => true,
        Message::Report(_) => false,
    }
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// Puts what was held back where it would have been.
    pub(super) fn take_up_held(&mut self) {
        let mut held = std::mem::take(&mut self.standby.held);
        held.append(&mut self.inbox);
        self.inbox = held;
    }

    /// Parts what can be taken up now from what has to wait for a recall, which it asks for.
    pub(super) fn hold_back(&mut self, now: Timestamp) {
        if self.standby.is_empty() {
            self.take_up_held();
        } else {
            let (mut held, rest) = std::mem::take(&mut self.inbox).into_iter().partition(concerns_tasks);
            self.inbox = rest;
            self.standby.held.append(&mut held);
            if !self.standby.held.is_empty() {
                self.recall(now);
            }
        }
        if self.inbox.iter().chain(&self.standby.held).any(|message| matches!(message, Message::Command(_))) {
            self.standby.asked_at = now;
        }
    }

    /// Asks for what stands by, once.
    pub(super) fn recall(&mut self, now: Timestamp) {
        if !self.standby.is_empty() && self.standby.recalled_at.is_none() {
            self.standby.recalled_at = Some(now);
            self.executor.recall();
        }
    }

    /// Plans while something stands by: it is what comes next, and more may join it; else all of it is recalled.
    pub(super) fn plan_behind(&mut self, now: Timestamp, is_news: bool) -> store::Result<()> {
        if self.standby.recalled_at.is_some() {
            return Ok(());
        }
        let next = self.next_ahead(now)?;
        let count = self.standby.keys.len();
        if next.len() < count || next.iter().take(count).any(|head| !self.standby.contains(head.id)) {
            self.recall(now);
        } else if is_news && 2 * count <= self.most() {
            self.have_stand_by(&next)?;
        }
        Ok(())
    }

    /// Has the first ones stand by, where that pays.
    pub(super) fn begin_standby(&mut self, now: Timestamp) -> store::Result<()> {
        let quiet = !(self.standby.asked_at..self.standby.asked_at + QUIET).contains(&now);
        if !self.standby.is_brisk || !quiet || !self.standby.held.is_empty() {
            return Ok(());
        }
        let next = self.next_ahead(now)?;
        self.have_stand_by(&next)
    }

    /// What the plan would choose next, whichever ends first; nothing where that is not sure.
    fn next_ahead(&mut self, now: Timestamp) -> store::Result<Vec<Candidate>> {
        let lane = self.lane_ahead(now);
        lane.map_or(Ok(Vec::new()), |lane| self.store.candidates(&lane, self.most()))
    }

    fn most(&self) -> usize {
        usize::try_from(self.settings.slots.saturating_mul(MOST_PER_SLOT).min(MOST)).unwrap_or(0)
    }

    /// The queue that the next task is of, whichever ends first: where all that runs takes one slot and is of the one
    /// queue that has any to start.
    fn lane_ahead(&self, now: Timestamp) -> Option<QueueName> {
        if self.stopping.is_some() || self.trouble.is_some() {
            return None;
        }
        let memory = &self.memory;
        let mut waiting = memory.waiting(now);
        let (Some((name, lane, Gate::Open)), None) = (waiting.next(), waiting.next()) else { return None };
        let places = lane.queue.limits.slots.map_or(self.settings.slots, |limit| limit.min(self.settings.slots));
        let full = memory.used == places && lane.used == places;
        // Hooks run beside the slots, and theirs are not passed on.
        let hooks: u32 = memory.lanes.iter().filter(|(name, _)| name.is_of_hooks()).map(|(_, lane)| lane.used).sum();
        let single = hooks == 0 && usize::try_from(memory.used).is_ok_and(|used| used == memory.open.len());
        (full && single && !name.is_of_hooks()).then(|| name.clone())
    }

    /// Gives the runner those of `next` that it does not have, as far as they are reserved.
    fn have_stand_by(&mut self, next: &[Candidate]) -> store::Result<()> {
        if next.is_empty() || !self.has_room()? {
            return Ok(());
        }
        for head in next {
            if self.standby.contains(head.id) {
                continue;
            }
            let (Some(reserved), true) = (self.memory.reserved.get(&head.id), head.slots <= 1) else { break };
            let key = AttemptKey { task: head.id, attempt: reserved.attempt };
            let Some(spec) = self.specs.get(&head.id).cloned() else { break };
            let start = Start { key, spec, stdin: self.store.stdin(head.id)? };
            if !self.executor.stand_by(start) {
                break;
            }
            self.standby.keys.push(key);
        }
        self.executor.flush();
        Ok(())
    }

    /// What stood by has begun in the place of another: that it runs is written with the round.
    pub(super) fn succeeded_by(&mut self, now: Timestamp, next: AttemptKey) -> store::Result<()> {
        self.strike(&[next]);
        self.begun.insert(next);
        self.run_reserved(now, next.task, false)
    }

    /// What the runner gives back is only reserved again; what was taken for begun meanwhile never was.
    pub(super) fn recalled(&mut self, now: Timestamp, keys: &[AttemptKey]) -> store::Result<()> {
        self.strike(keys);
        // On the way out nothing stays reserved, and else it is looked over.
        self.dirty = true;
        for key in keys.iter().filter(|key| self.is_claimed_for_present_runner(**key)).copied().collect::<Vec<_>>() {
            self.begun.remove(&key);
            self.unclaim(now, key)?;
        }
        Ok(())
    }

    fn strike(&mut self, keys: &[AttemptKey]) {
        self.standby.keys.retain(|key| !keys.contains(key));
        if self.standby.is_empty() {
            self.standby.recalled_at = None;
        }
    }

    /// Takes all that stands by for begun where the runner's answer is overdue.
    pub(super) fn lose_patience(&mut self, now: Timestamp) -> store::Result<()> {
        let Some(at) = self.standby.recalled_at else { return Ok(()) };
        if (at..at + PATIENCE).contains(&now) { Ok(()) } else { self.doubt_standby(now) }
    }

    /// Takes all that stands by for begun: nobody can say.
    pub(super) fn doubt_standby(&mut self, now: Timestamp) -> store::Result<()> {
        let keys = std::mem::take(&mut self.standby.keys);
        self.standby.recalled_at = None;
        // All of them, whatever can be written: a round that fails leaves none of them to be started once more.
        self.begun.extend(&keys);
        keys.into_iter().try_for_each(|key| self.run_reserved(now, key.task, true))
    }
}
