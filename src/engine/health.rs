//! How well the daemon does what it is there for, as far as the engine knows.

use std::time::Duration;

use super::link::Link;
use super::{Engine, Refusal};
use crate::daemon::health::Finding;
use crate::daemon::log::in_full;
use crate::executor::Executor;
use crate::scheduler::{self, Gate};
use crate::store::{self, Error, Store};
use crate::task::{Breaker, QueueName, Size, State, TaskId, Timestamp};

/// A commit this recent proves as much as another would.
const STILL_PROVEN: Duration = Duration::from_secs(5);

/// From where on something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thresholds {
    /// Free bytes where the state is kept below which health is degraded.
    pub min_free_bytes: u64,
    /// Files that can still be made there below which it is.
    pub min_free_inodes: u64,
    /// How long the first task that could start may wait; `None` is for ever.
    pub max_wait: Option<Duration>,
    /// How long the runner may be away before health is unhealthy instead of degraded.
    pub runner_patience: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { min_free_bytes: 0, min_free_inodes: 0, max_wait: None, runner_patience: Duration::from_secs(30) }
    }
}

/// What the engine looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Whether the queue can be written.
    Store,
    /// Room where the state is kept.
    Disk,
    /// The link to the runner.
    Runner,
    /// How long tasks wait.
    Queues,
    /// Queues that paused themselves.
    Breakers,
}

impl Part {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Store, Self::Disk, Self::Runner, Self::Queues, Self::Breakers];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Disk => "disk",
            Self::Runner => "runner",
            Self::Queues => "queues",
            Self::Breakers => "breakers",
        }
    }
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// Looks at every part; reads nothing that grows with the number of tasks.
    pub(super) fn examine(&mut self, now: Timestamp) -> store::Result<Vec<(Part, Finding)>> {
        let mut found = Vec::with_capacity(Part::ALL.len());
        for part in Part::ALL {
            let finding = match part {
                Part::Store => self.store_finding(),
                Part::Disk => self.disk_finding()?,
                Part::Runner => self.runner_finding(now),
                Part::Queues => self.queues_finding(now)?,
                Part::Breakers => self.breakers_finding(),
            };
            found.push((part, finding));
        }
        Ok(found)
    }

    /// Whether no commit has shown for a while that the store takes any; a clock that went back counts as a while.
    pub(super) fn needs_proof(&self, now: Timestamp) -> bool {
        self.committed_at > now || now.since(self.committed_at) >= STILL_PROVEN
    }

    fn store_finding(&self) -> Finding {
        match &self.trouble {
            None => Finding::healthy("the queue can be written"),
            Some(trouble) => Finding::unhealthy(in_full(&trouble.error), advice(&trouble.error)),
        }
    }

    fn disk_finding(&mut self) -> store::Result<Finding> {
        let (free, inodes) = (self.free_bytes()?, self.store.free_inodes()?);
        let (least, limits) = (self.settings.min_free_bytes, &self.settings.health);
        let free_some = "free some where the queue is kept, or remove old tasks with 'taskdaemon prune'";
        if free < least {
            return Ok(Finding::unhealthy(Refusal::DiskFull { free, least }.to_string(), free_some));
        }
        if free < limits.min_free_bytes {
            let says = format!(
                "only {} is free where the queue is kept, and {} should be",
                Size(free),
                Size(limits.min_free_bytes)
            );
            return Ok(Finding::degraded(says, free_some));
        }
        match inodes {
            Some(left) if left < limits.min_free_inodes => {
                let says = format!(
                    "only {left} more files can be made where the queue is kept, and {} should be",
                    limits.min_free_inodes
                );
                Ok(Finding::degraded(says, free_some))
            }
            Some(left) => Ok(Finding::healthy(format!("{} and {left} files are free", Size(free)))),
            None => Ok(Finding::healthy(format!("{} is free", Size(free)))),
        }
    }

    fn runner_finding(&self, now: Timestamp) -> Finding {
        match &self.link {
            Link::Up(runner) => Finding::healthy(format!("the runner answers, process {}", runner.pid)),
            Link::Down { reason, since } => {
                let away = now.since(*since);
                let says = format!("no runner: {reason}");
                if away >= self.settings.health.runner_patience {
                    let advice = "no task can start; the log says why it does not come back";
                    Finding::unhealthy(format!("{says}, for {} s", away.as_secs()), advice)
                } else {
                    Finding::degraded(says, "queued tasks wait; it is looked for, or started again, by itself")
                }
            }
        }
    }

    /// The queue whose first task has waited longest, of those that start tasks.
    fn queues_finding(&mut self, now: Timestamp) -> store::Result<Finding> {
        let Some((queue, task, waited)) = self.longest_wait(now)? else {
            return Ok(Finding::healthy("no task waits that could start"));
        };
        let says = format!("task {task} has waited in queue {queue} for {} s", waited.as_secs());
        match self.settings.health.max_wait {
            Some(most) if waited > most => {
                let advice =
                    "see what takes the slots with 'taskdaemon list --state running', or give more with host.slots";
                Ok(Finding::degraded(format!("{says}, and {} s is the limit", most.as_secs()), advice))
            }
            Some(_) | None => Ok(Finding::healthy(says)),
        }
    }

    /// The longest that the first task of a queue has waited though its queue is open.
    pub(super) fn longest_wait(&mut self, now: Timestamp) -> store::Result<Option<(QueueName, TaskId, Duration)>> {
        let mut longest: Option<(QueueName, TaskId, Duration)> = None;
        for (name, lane) in &self.memory.lanes {
            let gate = scheduler::gate(lane.queue.mode, &lane.queue.breaker, now);
            if gate == Gate::Shut || self.memory.in_state(name, State::Queued) == 0 {
                continue;
            }
            let Some((task, since)) = self.store.first_queued(name)? else { continue };
            let waited = now.since(since);
            if longest.as_ref().is_none_or(|(.., most)| waited > *most) {
                longest = Some((name.clone(), task, waited));
            }
        }
        Ok(longest)
    }

    fn breakers_finding(&self) -> Finding {
        let shut = self.memory.lanes.values().filter_map(|lane| match lane.queue.breaker {
            Breaker::Closed { .. } => None,
            Breaker::Open { until } => {
                Some(format!("queue {} paused itself after failures, until {until}", lane.queue.name))
            }
            Breaker::Probing { .. } => Some(format!("queue {} tries one task after failures", lane.queue.name)),
        });
        let shut: Vec<String> = shut.collect();
        if shut.is_empty() {
            return Finding::healthy("no queue has paused itself");
        }
        let advice = "see why with 'taskdaemon list --state failed'; 'taskdaemon queue resume' opens it at once";
        Finding::degraded(shut.join("; "), advice)
    }
}

fn advice(error: &Error) -> &'static str {
    match error {
        Error::Full { .. } => "free some where the queue is kept; it is tried again by itself",
        Error::File { .. } | Error::Database { .. } | Error::InUse { .. } => {
            "nothing is accepted until it can be written; it is tried again by itself"
        }
        Error::Damaged { .. } | Error::Newer { .. } => "stop the daemon and restore the queue from a backup",
    }
}
