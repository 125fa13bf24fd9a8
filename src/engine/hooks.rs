//! Hooks: what the configuration has the daemon run when something happens, as tasks in a queue of their own.
//!
//! A hook is accepted in the transaction of what it tells of, so it is run for that once it is committed, and after a
//! crash too. Its queue has slots beside those of the host, so it keeps no task waiting; it holds so many and no more;
//! and what happens in it is told to nobody, so that no hook sets off another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Engine;
use super::link::Runner;
use super::plan::{LEAST_FREE, LOOK_FOR_ROOM};
use super::submit::Waits;
use crate::daemon::health::Level;
use crate::executor::Executor;
use crate::scheduler::{self, Gate};
use crate::store::{self, Store};
use crate::task::{Outcome, Placement, QueueName, Spec, State, Submission, Task, TaskId, Timestamp};

/// When something is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occasion {
    /// A task has failed for good.
    Failed,
    /// Health has got worse.
    Degraded,
    /// The daemon has started.
    Started,
    /// The daemon is about to stop.
    Stopped,
}

impl Occasion {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Degraded => "degraded",
            Self::Started => "started",
            Self::Stopped => "stopped",
        }
    }
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// How; what happened is added to its environment.
    pub spec: Spec,
    /// For tasks of these queues alone; `None` is for all.
    pub queues: Option<BTreeSet<QueueName>>,
}

/// All hooks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hooks {
    /// Whose tasks they are.
    pub owner: u32,
    /// How many may wait; more are left out.
    pub max_waiting: u64,
    /// How often health is looked at, where that has a hook.
    pub watch_every: Duration,
    /// What is run when.
    pub on: BTreeMap<Occasion, Hook>,
}

/// What the hooks were and are still to be told.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    /// Hooks that were left out since the last one that was not.
    missed: u64,
    /// How well the daemon was when it last looked.
    level: Level,
    looked_at: Timestamp,
    /// Whether it was told that the daemon stops.
    stop_told: bool,
}

impl Watch {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { missed: 0, level: Level::Healthy, looked_at: now, stop_told: false }
    }
}

/// How long the hook on the stop may take where the tasks have no time left.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

type Facts = Vec<(&'static str, String)>;

impl<S: Store, E: Executor> Engine<S, E> {
    /// Has the hook run that tells of a task that ended otherwise than it should.
    pub(super) fn hook_failed(&mut self, now: Timestamp, task: &Task, outcome: &Outcome) -> store::Result<()> {
        let failed = match task.state {
            State::Failed | State::TimedOut | State::Interrupted => true,
            State::Succeeded
            | State::Cancelled
            | State::Queued
            | State::Scheduled
            | State::Held
            | State::Waiting
            | State::Running => false,
        };
        let Some(hook) = self.settings.hooks.on.get(&Occasion::Failed) else { return Ok(()) };
        let meant = hook.queues.as_ref().is_none_or(|queues| queues.contains(&task.queue));
        if !failed || !meant || task.queue.is_of_hooks() {
            return Ok(());
        }
        let mut facts: Facts = vec![
            ("_TASK", task.id.to_string()),
            ("_QUEUE", task.queue.to_string()),
            ("_STATE", task.state.as_str().to_owned()),
            ("_EXIT_CODE", outcome.exit_code().to_string()),
            ("_ATTEMPTS", task.attempts.to_string()),
            ("_OWNER", task.owner.to_string()),
        ];
        facts.extend(task.label.as_ref().map(|label| ("_LABEL", label.to_string())));
        facts.extend(task.reason.as_ref().map(|reason| ("_REASON", reason.clone())));
        self.hook(now, Occasion::Failed, facts).map(drop)
    }

    pub(super) fn hook_started(&mut self, now: Timestamp) -> store::Result<()> {
        self.hook(now, Occasion::Started, Vec::new()).map(drop)
    }

    /// Has the hook run that tells of the stop, once: it is part of what the stop waits for.
    pub(super) fn hook_stopped(&mut self, now: Timestamp) -> store::Result<()> {
        if self.watch.stop_told || self.stopping.is_none() {
            return Ok(());
        }
        self.watch.stop_told = true;
        let hook = self.hook(now, Occasion::Stopped, Vec::new())?;
        if let Some(stopping) = &mut self.stopping {
            stopping.hook = hook;
        }
        Ok(())
    }

    /// When health is looked at next.
    pub(super) fn next_look(&self) -> Option<Timestamp> {
        let hooks = &self.settings.hooks;
        let watched = hooks.on.contains_key(&Occasion::Degraded) && self.stopping.is_none();
        watched.then(|| self.watch.looked_at + hooks.watch_every)
    }

    /// Looks at health where it is time to, and has the hook run if it got worse.
    pub(super) fn look_at_health(&mut self, now: Timestamp) -> store::Result<()> {
        // A clock that was set back must not make the pause longer.
        if self.next_look().is_none_or(|at| at > now && self.watch.looked_at <= now) {
            return Ok(());
        }
        self.watch.looked_at = now;
        // What cannot be looked at now is looked at the next time; the commit of this beat does not depend on it.
        let Ok(findings) = self.examine(now) else { return Ok(()) };
        let worst = findings.iter().map(|(_, finding)| finding.level).max().unwrap_or(Level::Healthy);
        let before = std::mem::replace(&mut self.watch.level, worst);
        if worst <= before {
            return Ok(());
        }
        let ill = findings.into_iter().filter(|(_, finding)| finding.level > Level::Healthy);
        let reasons: Vec<String> = ill.map(|(_, finding)| finding.says).collect();
        let facts = vec![("_HEALTH", worst.word().to_owned()), ("_REASON", reasons.join("; "))];
        self.hook(now, Occasion::Degraded, facts).map(drop)
    }

    /// Accepts a hook, unless there is none, the same is still to be run, or there is no room for it.
    fn hook(&mut self, now: Timestamp, occasion: Occasion, facts: Facts) -> store::Result<Option<TaskId>> {
        let settings = std::sync::Arc::clone(&self.settings);
        let hooks = &settings.hooks;
        let Some(hook) = hooks.on.get(&occasion) else { return Ok(None) };
        let key = match occasion {
            Occasion::Failed => None,
            Occasion::Degraded | Occasion::Started | Occasion::Stopped => occasion.word().parse().ok(),
        };
        if let Some(key) = &key
            && let Some(same) = self.store.task_with_key(hooks.owner, key)?
        {
            return Ok(Some(same));
        }
        let queue = QueueName::of_hooks();
        let full = self.memory.length(&queue) >= hooks.max_waiting;
        if full || self.free_bytes()? < self.settings.min_free_bytes {
            if self.watch.missed == 0 {
                tracing::warn!(hook = occasion.word(), "no room for a hook; it is left out, and so are others like it");
            }
            self.watch.missed += 1;
            return Ok(None);
        }
        let spec = self.with_facts(hook.spec.clone(), now, occasion, facts);
        let label = occasion.word().parse().ok();
        let priority = if occasion == Occasion::Stopped { 1000 } else { 0 };
        let placement = Placement { queue, label, key, priority, ..Placement::default() };
        let submission = Submission { spec, placement, stdin: None };
        self.enter(now, hooks.owner, &submission.into(), &Waits::default(), None).map(Some)
    }

    /// The command with what happened in its environment.
    fn with_facts(&mut self, mut spec: Spec, now: Timestamp, occasion: Occasion, facts: Facts) -> Spec {
        let missed = std::mem::take(&mut self.watch.missed);
        let always = [("", occasion.word().to_owned()), ("_AT", now.to_string()), ("_MISSED", missed.to_string())];
        for (name, value) in always.into_iter().chain(facts) {
            spec.environment.push((format!("TASKDAEMON_EVENT{name}").as_str().into(), value.as_str().into()));
        }
        if let Some(stopping) = self.stopping.as_ref().filter(|_| occasion == Occasion::Stopped) {
            // The stop waits for it, and for nothing longer than for the tasks.
            let left = stopping.until.since(now).max(LEAST_PATIENCE).as_millis();
            let left = u64::try_from(left).unwrap_or(u64::MAX);
            spec.timeout_ms = Some(spec.timeout_ms.map_or(left, |most| most.min(left)));
        }
        spec
    }

    /// Claims hooks where their own slots are free; while the daemon stops, that which tells of the stop alone.
    pub(super) fn plan_hooks(&mut self, now: Timestamp, runner: &Runner) -> store::Result<()> {
        let queue = QueueName::of_hooks();
        let Some(lane) = self.memory.lanes.get(&queue) else { return Ok(()) };
        let shut = scheduler::gate(lane.queue.mode, &lane.queue.breaker, now) == Gate::Shut;
        let slots = lane.queue.limits.slots.unwrap_or(1).saturating_sub(lane.used);
        if shut || slots == 0 || self.memory.in_state(&queue, State::Queued) == 0 {
            return Ok(());
        }
        if self.free_bytes()? < self.settings.min_free_bytes.min(LEAST_FREE) {
            self.room_at = Some(now + LOOK_FOR_ROOM);
            return Ok(());
        }
        let most = usize::try_from(slots).unwrap_or(usize::MAX);
        for head in self.store.candidates(&queue, most)? {
            let wanted = self.stopping.as_ref().is_none_or(|stopping| stopping.hook == Some(head.id));
            if wanted {
                self.claim(now, runner, head.id, false)?;
            }
        }
        Ok(())
    }
}
