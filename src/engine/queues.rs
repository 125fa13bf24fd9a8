//! What people and the configuration do to queues.

use std::sync::Arc;

use super::memory::Lane;
use super::{Caller, Engine, QueueChange, Refusal, Reply, Settings};
use crate::executor::Executor;
use crate::store::{self, Store};
use crate::task::{Breaker, EventKind, Mode, Origin, Queue, QueueLimits, QueueName, SpecError, Timestamp};

impl<S: Store, E: Executor> Engine<S, E> {
    pub(super) fn change_queue(
        &mut self,
        now: Timestamp,
        caller: Caller,
        name: QueueName,
        change: QueueChange,
    ) -> Result<Reply, Refusal> {
        if !caller.privileged {
            return Err(Refusal::Forbidden("change queues"));
        }
        let queue = match change {
            QueueChange::Set(limits) => {
                check_limits(&limits)?;
                self.set_limits(now, name, limits, Origin::Adjusted)?
            }
            QueueChange::Mode(mode) => self.set_mode(now, &name, mode)?,
            QueueChange::Remove => self.remove_or_reset(now, &name)?,
        };
        let counts = self.memory.counts.get(&queue.name).cloned().unwrap_or_default();
        Ok(Reply::Queues(vec![(queue, counts)]))
    }

    pub(super) fn lane(&self, name: &QueueName) -> Result<&Lane, Refusal> {
        let missing = || Refusal::NoQueue { name: name.clone(), known: self.memory.names() };
        self.memory.lanes.get(name).ok_or_else(missing)
    }

    fn set_limits(
        &mut self,
        now: Timestamp,
        name: QueueName,
        limits: QueueLimits,
        origin: Origin,
    ) -> store::Result<Queue> {
        let old = self.memory.lanes.get(&name).map(|lane| &lane.queue);
        let breaker = old.map(|queue| queue.breaker).filter(|_| limits.breaker.is_some()).unwrap_or_default();
        let mode = old.map(|queue| queue.mode).unwrap_or_default();
        let queue = Queue { name, limits, origin, mode, breaker };
        self.put_queue(queue.clone())?;
        self.tell_queue(now, &queue.name, EventKind::QueueChanged)?;
        Ok(queue)
    }

    fn set_mode(&mut self, now: Timestamp, name: &QueueName, mode: Mode) -> Result<Queue, Refusal> {
        let old = self.lane(name)?.queue.clone();
        let kind = match mode {
            Mode::Open => EventKind::QueueResumed,
            Mode::Paused => EventKind::QueuePaused,
            Mode::Draining => EventKind::QueueDraining,
        };
        let closes = mode == Mode::Open && !matches!(old.breaker, Breaker::Closed { .. });
        let breaker = if mode == Mode::Open { Breaker::default() } else { old.breaker };
        let queue = Queue { mode, breaker, ..old };
        self.put_queue(queue.clone())?;
        self.tell_queue(now, name, kind)?;
        if closes {
            self.tell_queue(now, name, EventKind::BreakerClosed)?;
        }
        Ok(queue)
    }

    /// A configured queue goes back to its configuration; any other goes, if nobody needs it.
    fn remove_or_reset(&mut self, now: Timestamp, name: &QueueName) -> Result<Queue, Refusal> {
        let queue = self.lane(name)?.queue.clone();
        if let Some(limits) = self.settings.queues.get(name).cloned() {
            return Ok(self.set_limits(now, name.clone(), limits, Origin::Configured)?);
        }
        if let Some(why) = self.needed(name) {
            return Err(Refusal::QueueNeeded { queue: name.clone(), why });
        }
        self.drop_queue(now, name)?;
        Ok(queue)
    }

    fn needed(&self, name: &QueueName) -> Option<&'static str> {
        if self.memory.length(name) > 0 {
            Some("tasks in it have not ended; wait for them or cancel them")
        } else if self.memory.schedules.values().any(|schedule| schedule.placement.queue == *name) {
            Some("a schedule submits to it; remove that first")
        } else if *name == QueueName::default() {
            Some("it is the default")
        } else {
            None
        }
    }

    fn drop_queue(&mut self, now: Timestamp, name: &QueueName) -> store::Result<()> {
        self.store.remove_queue(name)?;
        self.memory.lanes.remove(name);
        self.tell_queue(now, name, EventKind::QueueRemoved)
    }

    fn put_queue(&mut self, queue: Queue) -> store::Result<()> {
        self.dirty = true;
        self.store.put_queue(&queue)?;
        self.memory.lanes.insert(queue.name.clone(), Lane { queue, used: 0 });
        self.memory.weigh(self.settings.slots);
        Ok(())
    }

    pub(super) fn reconfigure(&mut self, now: Timestamp, caller: Caller, settings: Settings) -> Result<Reply, Refusal> {
        if !caller.privileged {
            return Err(Refusal::Forbidden("reconfigure the daemon"));
        }
        self.settings = Arc::new(settings);
        // They were written under the limits of before.
        self.unreserve_unless(|_, _| false)?;
        let kept = self.sync_queues(now)?;
        self.memory.weigh(self.settings.slots);
        self.retain_at = Some(now);
        Ok(Reply::Reconfigured { kept })
    }

    /// Brings the configured queues into the store; returns those that are configured no more and still needed.
    pub(super) fn sync_queues(&mut self, now: Timestamp) -> store::Result<Vec<QueueName>> {
        let settings = Arc::clone(&self.settings);
        for (name, limits) in &settings.queues {
            let same = |lane: &Lane| lane.queue.origin == Origin::Adjusted || lane.queue.limits == *limits;
            if !self.memory.lanes.get(name).is_some_and(same) {
                self.set_limits(now, name.clone(), limits.clone(), Origin::Configured)?;
            }
        }
        let configured = |lane: &Lane| lane.queue.origin == Origin::Configured;
        let gone =
            self.memory.lanes.iter().filter(|(name, lane)| configured(lane) && !settings.queues.contains_key(*name));
        let gone: Vec<QueueName> = gone.map(|(name, _)| name.clone()).collect();
        let mut kept = Vec::new();
        for name in gone {
            if self.needed(&name).is_some() {
                kept.push(name);
            } else {
                self.drop_queue(now, &name)?;
            }
        }
        Ok(kept)
    }
}

fn check_limits(limits: &QueueLimits) -> Result<(), SpecError> {
    at_least_one("the queue's slots", limits.slots.map(i64::from))?;
    at_least_one("the breaker's failures", limits.breaker.map(|breaker| breaker.failures.into()))
}

fn at_least_one(what: &'static str, given: Option<i64>) -> Result<(), SpecError> {
    match given {
        Some(given) if given < 1 => Err(SpecError::Range { what, given, least: 1, most: u32::MAX.into() }),
        Some(_) | None => Ok(()),
    }
}
