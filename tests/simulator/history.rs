//! What the events say happened, told again from the first: each must follow from those before.

use std::collections::{BTreeMap, BTreeSet};

use taskdaemon::store::{Counts, Store};
use taskdaemon::task::{
    AttemptKey, Condition, Dependency, Event, EventKind, Key, Label, OnInterrupt, Outcome, QueueName, Spec, State,
    Submission, Task, TaskId,
};

use crate::daemon::Daemon;

/// A task as its events tell it.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) owner: u32,
    pub(crate) queue: QueueName,
    pub(crate) state: State,
    pub(crate) attempts: u32,
    key: Option<Key>,
    spec: Spec,
    pub(crate) cancelling: bool,
    failures: u32,
    /// Executions since it was accepted or last retried by hand.
    executions: u32,
    /// Those of them that the end of the service cut short.
    pub(crate) drained: u32,
    /// What it waits for, as far as it has not ended.
    waits: BTreeMap<TaskId, Condition>,
    /// Whether what it waited for went wrong.
    doomed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) tasks: BTreeMap<TaskId, Past>,
    removed: BTreeSet<TaskId>,
    /// Accepted, and not there any more when it was looked for: its removal must follow in the same commit.
    passing: BTreeSet<TaskId>,
    pub(crate) seq: i64,
}

impl History {
    /// Takes the next event; `submitted` finds what was asked for by its label.
    pub(crate) fn take(
        &mut self,
        event: &Event,
        daemon: &Daemon,
        submitted: &BTreeMap<String, Submission>,
        max_interruptions: u32,
    ) {
        self.seq += 1;
        assert_eq!(event.seq, self.seq, "the history has a gap");
        let Some(id) = event.task else { return };
        match &event.kind {
            EventKind::Submitted { state } => self.submitted(event, id, *state, daemon, submitted),
            EventKind::Recurred { .. } => {}
            EventKind::Removed if self.passing.remove(&id) => drop(self.removed.insert(id)),
            _ if self.passing.contains(&id) => {}
            kind => {
                if let EventKind::Unclaimed { attempt } = *kind {
                    let key = AttemptKey { task: id, attempt };
                    assert!(!daemon.started.contains(&key), "attempt {key} started, and is said not to have");
                }
                let Some(past) = self.tasks.get_mut(&id) else {
                    panic!("an event of task {id}, which is not there: {event:?}");
                };
                let before = past.state;
                past.follow(kind, max_interruptions);
                if past.state.is_ended() && !before.is_ended() {
                    let state = past.state;
                    self.ended(id, state);
                }
                if *kind == EventKind::Removed {
                    self.tasks.remove(&id);
                    self.removed.insert(id);
                }
            }
        }
    }

    fn submitted(
        &mut self,
        event: &Event,
        id: TaskId,
        state: State,
        daemon: &Daemon,
        submitted: &BTreeMap<String, Submission>,
    ) {
        assert!(!self.tasks.contains_key(&id) && !self.removed.contains(&id), "task {id} was given twice");
        let found: Option<(Task, Spec)> =
            daemon.look(|store| Some((store.task(id).unwrap()?, store.spec(id).unwrap()?)));
        let Some((task, spec)) = found else {
            self.passing.insert(id);
            return;
        };
        if event.queue.is_of_hooks() {
            self.check_hook(&task, &spec);
        }
        let asked = task.label.as_ref().and_then(|label| submitted.get(label.as_str()));
        let mut past = Past {
            owner: event.owner.unwrap(),
            queue: event.queue.clone(),
            state,
            attempts: 0,
            key: task.key.clone(),
            spec,
            cancelling: false,
            failures: 0,
            executions: 0,
            drained: 0,
            waits: BTreeMap::new(),
            doomed: false,
        };
        for Dependency { on, condition } in asked.map_or(&[][..], |asked| &asked.placement.after) {
            match self.tasks.get(on).map(|on| on.state) {
                Some(state) if state.is_ended() => past.resolve(*condition, state),
                Some(_) => past.wait(*on, *condition),
                None => panic!("task {id} waits for task {on}, which is not there"),
            }
        }
        self.tasks.insert(id, past);
    }

    /// A hook on a failure tells of a task that has failed by then, and that is no hook itself.
    fn check_hook(&self, hook: &Task, spec: &Spec) {
        let fact = |wanted: &str| {
            let found = spec.environment.iter().find(|(name, _)| name.to_string() == wanted);
            found.map(|(_, value)| value.to_string())
        };
        assert_eq!(fact("TASKDAEMON_EVENT").as_deref(), hook.label.as_ref().map(Label::as_str));
        let Some(about) = fact("TASKDAEMON_EVENT_TASK") else { return };
        let past = &self.tasks[&TaskId(about.parse().unwrap())];
        assert_eq!(fact("TASKDAEMON_EVENT_STATE").as_deref(), Some(past.state.as_str()), "{past:?}");
        assert!(!past.queue.is_of_hooks() && past.state != State::Succeeded, "{past:?}");
    }

    fn ended(&mut self, ended: TaskId, state: State) {
        for past in self.tasks.values_mut() {
            if let Some(condition) = past.waits.remove(&ended) {
                past.resolve(condition, state);
            }
        }
    }

    /// Whether the task was there once and was removed.
    pub(crate) fn is_removed(&self, id: TaskId) -> bool {
        self.removed.contains(&id)
    }

    /// How many tasks of each queue are in each state.
    pub(crate) fn counts(&self) -> BTreeMap<QueueName, Counts> {
        let mut counts: BTreeMap<QueueName, Counts> = BTreeMap::new();
        for past in self.tasks.values() {
            *counts.entry(past.queue.clone()).or_default().entry(past.state).or_default() += 1;
        }
        counts
    }

    /// What must hold between two commits.
    pub(crate) fn check(&self) {
        assert!(self.passing.is_empty(), "accepted, and not there: {:?}", self.passing);
        let mut keys = BTreeSet::new();
        for (id, past) in &self.tasks {
            assert!(!past.doomed || past.state.is_ended(), "task {id} lives though what it waited for went wrong");
            if let Some(key) = past.key.as_ref().filter(|_| !past.state.is_ended()) {
                assert!(keys.insert((past.owner, key.clone())), "two tasks that have not ended have key {key}");
            }
        }
    }
}

impl Past {
    /// Whether it is to be repeated after an interruption.
    pub(crate) fn runs_again(&self) -> bool {
        self.spec.on_interrupt == OnInterrupt::Retry
    }

    fn wait(&mut self, on: TaskId, condition: Condition) {
        let known = self.waits.entry(on).or_insert(condition);
        if condition == Condition::Success {
            *known = Condition::Success;
        }
    }

    fn resolve(&mut self, condition: Condition, state: State) {
        self.doomed |= condition == Condition::Success && state != State::Succeeded;
    }

    fn is_in(&self, states: &[State], kind: &EventKind) {
        assert!(states.contains(&self.state), "{kind:?} of a task that is {}: {self:?}", self.state);
    }

    fn follow(&mut self, kind: &EventKind, max_interruptions: u32) {
        match kind {
            EventKind::Released { state } => {
                self.is_in(&[State::Held, State::Scheduled, State::Waiting], kind);
                self.state = *state;
            }
            EventKind::Held => {
                self.is_in(&[State::Queued, State::Scheduled, State::Waiting], kind);
                self.state = State::Held;
            }
            EventKind::Started { attempt } => {
                self.is_in(&[State::Queued], kind);
                assert_eq!(*attempt, self.attempts + 1, "{self:?}");
                assert!(self.waits.is_empty(), "it starts before what it waits for has ended: {self:?}");
                (self.attempts, self.executions, self.state) = (*attempt, self.executions + 1, State::Running);
                let most = 1 + self.spec.retry.limit + max_interruptions + self.drained;
                assert!(self.executions <= most, "it runs more often than its policy says: {self:?}");
            }
            EventKind::Unclaimed { attempt } => {
                self.is_in(&[State::Running], kind);
                assert_eq!(*attempt, self.attempts);
                (self.attempts, self.executions, self.state) = (attempt - 1, self.executions - 1, State::Queued);
                self.cancelling = false;
            }
            EventKind::Cancelling => {
                self.is_in(&[State::Running], kind);
                self.cancelling = true;
            }
            EventKind::Ended { attempt: 0, outcome, state, .. } => {
                self.is_in(&[State::Queued, State::Scheduled, State::Held, State::Waiting], kind);
                assert_eq!((outcome, *state), (&None, State::Cancelled));
                self.state = State::Cancelled;
            }
            EventKind::Ended { attempt, outcome: Some(outcome), state, .. } => {
                self.is_in(&[State::Running], kind);
                assert_eq!(*attempt, self.attempts);
                self.end(outcome, *state, kind);
            }
            EventKind::Retried { state } => {
                assert!(self.state.is_ended(), "{kind:?} of {self:?}");
                self.state = *state;
                (self.failures, self.executions, self.drained, self.doomed) = (0, 0, 0, false);
            }
            EventKind::Removed => assert!(self.state.is_ended(), "{kind:?} of {self:?}"),
            EventKind::Signalled { .. } => self.is_in(&[State::Running], kind),
            other => panic!("{other:?} of a task"),
        }
    }

    fn end(&mut self, outcome: &Outcome, state: State, kind: &EventKind) {
        let last = outcome.state();
        match last {
            State::Failed | State::TimedOut => {
                self.failures += 1;
                let retried = self.failures <= self.spec.retry.limit && !self.cancelling;
                assert_eq!(state, if retried { State::Scheduled } else { last }, "{kind:?} of {self:?}");
            }
            State::Interrupted if self.spec.on_interrupt == OnInterrupt::Retry => {
                assert!(!self.cancelling, "{kind:?} of {self:?}");
                assert!([State::Queued, State::Interrupted].contains(&state), "{kind:?} of {self:?}");
            }
            ended => assert_eq!(state, ended, "{kind:?} of {self:?}"),
        }
        self.cancelling = false;
        self.state = state;
    }
}
