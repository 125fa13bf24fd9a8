//! The circuit breakers: failures in a row pause a queue, a probe opens it again.

use std::time::Duration;

use super::Engine;
use crate::executor::Executor;
use crate::store::{self, Store};
use crate::task::{Breaker, BreakerLimits, EventKind, Mode, Outcome, QueueName, State, TaskId, Timestamp};

impl<S: Store, E: Executor> Engine<S, E> {
    /// Lets the end of an attempt count for its queue's breaker.
    pub(super) fn judge(
        &mut self,
        now: Timestamp,
        name: &QueueName,
        task: TaskId,
        outcome: &Outcome,
    ) -> store::Result<()> {
        let Some(lane) = self.memory.lanes.get(name) else { return Ok(()) };
        let Some(limits) = lane.queue.limits.breaker else { return Ok(()) };
        let was = lane.queue.breaker;
        let Some((breaker, kind)) = after_end(was, limits, task, outcome, now) else { return Ok(()) };
        self.set_breaker(name, breaker)?;
        kind.map_or(Ok(()), |kind| self.tell_queue(now, name, kind))
    }

    /// Ends the cool-downs that are over.
    pub(super) fn begin_probes(&mut self, now: Timestamp) -> store::Result<()> {
        let over = |breaker: Breaker| matches!(breaker, Breaker::Open { until } if until <= now);
        let names: Vec<QueueName> = self
            .memory
            .lanes
            .iter()
            .filter(|(_, lane)| over(lane.queue.breaker))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            self.set_breaker(&name, Breaker::Probing { task: None })?;
            self.tell_queue(now, &name, EventKind::BreakerProbing)?;
        }
        Ok(())
    }

    /// When the next cool-down is over; a paused queue has time until it is resumed.
    pub(super) fn next_probe(&self) -> Option<Timestamp> {
        let until = self.memory.lanes.values().filter_map(|lane| match (lane.queue.breaker, lane.queue.mode) {
            (Breaker::Open { until }, Mode::Open) => Some(until),
            (Breaker::Open { .. }, Mode::Paused | Mode::Draining)
            | (Breaker::Closed { .. } | Breaker::Probing { .. }, _) => None,
        });
        until.min()
    }

    /// A cool-down never lasts longer than its limit, though the clock was set back.
    pub(super) fn shorten_cooldowns(&mut self, now: Timestamp) -> store::Result<()> {
        let mut late = Vec::new();
        for (name, lane) in &self.memory.lanes {
            if let (Breaker::Open { until }, Some(limits)) = (lane.queue.breaker, lane.queue.limits.breaker)
                && until > cooled(limits, now)
            {
                late.push((name.clone(), cooled(limits, now)));
            }
        }
        late.into_iter().try_for_each(|(name, until)| self.set_breaker(&name, Breaker::Open { until }))
    }

    /// The probing queue has started its task.
    pub(super) fn probe_claimed(&mut self, name: &QueueName, task: TaskId) -> store::Result<()> {
        match self.memory.lanes.get(name).map(|lane| lane.queue.breaker) {
            Some(Breaker::Probing { task: None }) => self.set_breaker(name, Breaker::Probing { task: Some(task) }),
            Some(Breaker::Closed { .. } | Breaker::Open { .. } | Breaker::Probing { task: Some(_) }) | None => Ok(()),
        }
    }

    /// The task that was to decide never started: another one is tried.
    pub(super) fn probe_lost(&mut self, name: &QueueName, task: TaskId) -> store::Result<()> {
        match self.memory.lanes.get(name).map(|lane| lane.queue.breaker) {
            Some(Breaker::Probing { task: Some(probe) }) if probe == task => {
                self.set_breaker(name, Breaker::Probing { task: None })
            }
            Some(Breaker::Closed { .. } | Breaker::Open { .. } | Breaker::Probing { .. }) | None => Ok(()),
        }
    }

    fn set_breaker(&mut self, name: &QueueName, breaker: Breaker) -> store::Result<()> {
        let Some(lane) = self.memory.lanes.get_mut(name) else { return Ok(()) };
        if lane.queue.breaker == breaker {
            return Ok(());
        }
        lane.queue.breaker = breaker;
        self.dirty = true;
        self.store.put_queue(&lane.queue)
    }
}

fn cooled(limits: BreakerLimits, now: Timestamp) -> Timestamp {
    now + Duration::from_millis(limits.cooldown_ms)
}

/// What an end makes of a breaker, with the event that says so; `None` leaves it as it is.
fn after_end(
    breaker: Breaker,
    limits: BreakerLimits,
    task: TaskId,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<(Breaker, Option<EventKind>)> {
    let until = cooled(limits, now);
    let opened = Some((Breaker::Open { until }, Some(EventKind::BreakerOpened { until })));
    let failed = match outcome.state() {
        State::Succeeded => Some(false),
        State::Failed | State::TimedOut => Some(true),
        State::Cancelled
        | State::Interrupted
        | State::Queued
        | State::Scheduled
        | State::Held
        | State::Waiting
        | State::Running => None,
    };
    match (breaker, failed) {
        (Breaker::Closed { failures }, Some(true)) if failures.saturating_add(1) >= limits.failures => opened,
        (Breaker::Closed { failures }, Some(true)) => Some((Breaker::Closed { failures: failures + 1 }, None)),
        (Breaker::Closed { .. }, Some(false)) => Some((Breaker::default(), None)),
        (Breaker::Probing { task: Some(probe) }, verdict) if probe == task => match verdict {
            Some(true) => opened,
            Some(false) => Some((Breaker::default(), Some(EventKind::BreakerClosed))),
            None => Some((Breaker::Probing { task: None }, None)),
        },
        (Breaker::Closed { .. }, None) | (Breaker::Open { .. } | Breaker::Probing { .. }, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits { failures: 2, cooldown_ms: 1 };
    const FAILED: Outcome = Outcome::Exited { code: 1 };
    const GOOD: Outcome = Outcome::Exited { code: 0 };

    fn step(breaker: Breaker, outcome: &Outcome) -> Option<Breaker> {
        after_end(breaker, LIMITS, TaskId(1), outcome, Timestamp(0)).map(|(breaker, _)| breaker)
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        assert_eq!(step(Breaker::Closed { failures: 0 }, &FAILED), Some(Breaker::Closed { failures: 1 }));
        assert_eq!(step(Breaker::Closed { failures: 1 }, &GOOD), Some(Breaker::Closed { failures: 0 }));
        assert_eq!(step(Breaker::Closed { failures: 1 }, &Outcome::Interrupted), None);
        assert_eq!(step(Breaker::Closed { failures: 1 }, &FAILED), Some(Breaker::Open { until: Timestamp(1000) }));
    }

    #[test]
    fn the_probe_alone_decides() {
        let probing = Breaker::Probing { task: Some(TaskId(1)) };
        assert_eq!(step(probing, &GOOD), Some(Breaker::default()));
        assert_eq!(step(probing, &FAILED), Some(Breaker::Open { until: Timestamp(1000) }));
        assert_eq!(step(probing, &Outcome::Cancelled), Some(Breaker::Probing { task: None }));
        assert_eq!(step(Breaker::Probing { task: Some(TaskId(2)) }, &GOOD), None);
    }
}
