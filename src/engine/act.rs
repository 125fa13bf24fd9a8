//! What people do to tasks.

use std::collections::{BTreeMap, BTreeSet};

use super::outbox::Order;
use super::{Action, Caller, Engine, Refusal, Reply, Selection};
use crate::executor::Executor;
use crate::store::{self, Filter, Page, Store};
use crate::task::{AttemptKey, EventKind, Ready, SpecError, State, Task, TaskId, Timestamp, Trigger};

/// Lines of a list that one beat reads or acts on at most.
pub(super) const LONGEST_PAGE: usize = 10_000;

impl<S: Store, E: Executor> Engine<S, E> {
    pub(super) fn act(
        &mut self,
        now: Timestamp,
        caller: Caller,
        action: Action,
        selection: Selection,
    ) -> Result<Reply, Refusal> {
        check_priority(action)?;
        match selection {
            Selection::Ids(ids) => self.act_on_ids(now, caller, action, &ids),
            Selection::Matching(filter, page) => self.act_on_page(now, caller, action, filter, page),
        }
    }

    /// All or nothing: each is checked before the first is touched.
    fn act_on_ids(&mut self, now: Timestamp, caller: Caller, action: Action, ids: &[TaskId]) -> Result<Reply, Refusal> {
        let ids: BTreeSet<TaskId> = ids.iter().copied().collect();
        for id in &ids {
            let task = self.visible(caller, *id)?;
            self.check_action(action, &task)?;
        }
        for id in &ids {
            self.act_on(now, action, *id)?;
        }
        Ok(Reply::Done { ids: ids.into_iter().collect(), next: None })
    }

    /// What cannot take the action is passed over.
    fn act_on_page(
        &mut self,
        now: Timestamp,
        caller: Caller,
        action: Action,
        filter: Filter,
        page: Page,
    ) -> Result<Reply, Refusal> {
        let listing = self.store.list(&scoped(caller, filter), bounded(page))?;
        let mut ids = Vec::new();
        for line in listing.lines {
            match self.check_action(action, &line.task) {
                Ok(()) => {
                    self.act_on(now, action, line.task.id)?;
                    ids.push(line.task.id);
                }
                Err(Refusal::Store(error)) => return Err(Refusal::Store(error)),
                Err(_) => {}
            }
        }
        Ok(Reply::Done { ids, next: listing.next })
    }

    /// The task, if the caller may know of it.
    pub(super) fn visible(&mut self, caller: Caller, id: TaskId) -> Result<Task, Refusal> {
        let task = self.store.task(id)?.filter(|task| caller.privileged || task.owner == caller.uid);
        task.ok_or(Refusal::NoTask(id))
    }

    fn check_action(&mut self, action: Action, task: &Task) -> Result<(), Refusal> {
        let state = task.state;
        let (allowed, participle) = match action {
            Action::Cancel => (!state.is_ended(), "cancelled"),
            Action::Signal(_) => (state == State::Running, "signalled"),
            Action::Retry => (state.is_ended(), "retried"),
            Action::Hold => (matches!(state, State::Queued | State::Scheduled | State::Waiting), "held"),
            Action::Release => (matches!(state, State::Held | State::Scheduled), "released"),
            Action::Remove => (state.is_ended(), "removed"),
            Action::Prioritise(_) => (!state.is_ended() && state != State::Running, "given another priority"),
        };
        if !allowed {
            return Err(Refusal::NotNow { task: task.id, state, action: participle });
        }
        if action == Action::Retry { self.check_retry(task) } else { Ok(()) }
    }

    /// A retry by hand is an intake: it needs room, its queue, and its key.
    fn check_retry(&mut self, task: &Task) -> Result<(), Refusal> {
        self.check_intake()?;
        self.check_room(&BTreeMap::from([(&task.queue, 1)]))?;
        let Some(key) = &task.key else { return Ok(()) };
        match self.store.task_with_key(task.owner, key)? {
            Some(by) => Err(Refusal::KeyTaken { task: task.id, by, key: key.clone() }),
            None => Ok(()),
        }
    }

    /// The action on one task, as it is by now: what came before in the same command may have changed it, and
    /// then there is nothing left to do.
    fn act_on(&mut self, now: Timestamp, action: Action, id: TaskId) -> Result<(), Refusal> {
        let Some(task) = self.store.task(id)? else { return Ok(()) };
        match self.check_action(action, &task) {
            Ok(()) => {}
            Err(Refusal::Store(error)) => return Err(Refusal::Store(error)),
            Err(_) => return Ok(()),
        }
        match action {
            Action::Cancel => self.cancel(now, &task)?,
            Action::Signal(signal) => {
                let key = AttemptKey { task: id, attempt: task.attempts };
                self.outbox.orders.push(Order::Signal(key, signal));
                self.tell(now, &task, EventKind::Signalled { signal })?;
            }
            Action::Retry => self.retry(now, &task)?,
            Action::Hold => self.hold(now, &task)?,
            Action::Release => self.let_go(now, &task)?,
            Action::Remove => self.remove(now, &task)?,
            Action::Prioritise(priority) => self.change(&task, &Task { priority, ..task.clone() })?,
        }
        Ok(())
    }

    fn cancel(&mut self, now: Timestamp, task: &Task) -> store::Result<()> {
        if task.state != State::Running {
            return self.cancel_unstarted(now, task, None);
        }
        if task.cancelling {
            return Ok(());
        }
        self.change(task, &Task { cancelling: true, ..task.clone() })?;
        self.tell(now, task, EventKind::Cancelling)?;
        self.order_stop(task)
    }

    fn retry(&mut self, now: Timestamp, before: &Task) -> store::Result<()> {
        let ready = if self.is_blocked(before.id)? { Ready::Blocked } else { Ready::Now };
        let Ok(state) = before.state.after(Trigger::Again(ready)) else { return Ok(()) };
        let after = Task {
            state,
            due: None,
            ended_at: None,
            failures: 0,
            interruptions: 0,
            cancelling: false,
            reason: None,
            ..before.clone()
        };
        self.change(before, &after)?;
        self.tell(now, &after, EventKind::Retried { state })
    }

    fn hold(&mut self, now: Timestamp, before: &Task) -> store::Result<()> {
        let Ok(state) = before.state.after(Trigger::Hold) else { return Ok(()) };
        let after = Task { state, ..before.clone() };
        self.change(before, &after)?;
        self.tell(now, &after, EventKind::Held)
    }

    /// What was held becomes what it would be by now; what was scheduled is ready at once.
    fn let_go(&mut self, now: Timestamp, before: &Task) -> store::Result<()> {
        if before.state == State::Held && self.is_blocked(before.id)? {
            let Ok(state) = before.state.after(Trigger::Release(Ready::Blocked)) else { return Ok(()) };
            let after = Task { state, ..before.clone() };
            self.change(before, &after)?;
            return self.tell(now, &after, EventKind::Released { state });
        }
        let due = before.due.filter(|due| before.state == State::Held && *due > now);
        self.release(now, before, due)
    }

    fn is_blocked(&mut self, id: TaskId) -> store::Result<bool> {
        Ok(!self.store.open_dependencies(id)?.is_empty())
    }
}

/// The page as far as one beat goes.
pub(super) fn bounded(page: Page) -> Page {
    Page { limit: page.limit.min(LONGEST_PAGE), ..page }
}

/// What a caller may see of what a filter names.
pub(super) fn scoped(caller: Caller, filter: Filter) -> Filter {
    if caller.privileged { filter } else { Filter { owner: Some(caller.uid), ..filter } }
}

fn check_priority(action: Action) -> Result<(), SpecError> {
    match action {
        Action::Prioritise(priority) if !(-1000..=1000).contains(&priority) => {
            Err(SpecError::Range { what: "the priority", given: priority.into(), least: -1000, most: 1000 })
        }
        Action::Cancel
        | Action::Signal(_)
        | Action::Retry
        | Action::Hold
        | Action::Release
        | Action::Remove
        | Action::Prioritise(_) => Ok(()),
    }
}
