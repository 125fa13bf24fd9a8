//! From the engine's commits to those who follow or wait.
//!
//! Followers read one short memory of recent events, each at its own pace; one that falls behind it reads from
//! the store. Those who wait for tasks are told of these tasks alone, once each. So memory is bounded by what
//! was asked for, and no follower can slow the engine or another.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::task::{Event, EventKind, State, TaskId};

/// Events that followers can be behind before they have to ask the store.
const RECENT: usize = 4_096;

/// Where the engine's thread leaves events and the API's thread takes them; cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<Inner>,
    newest: watch::Sender<i64>,
}

#[derive(Debug, Default)]
struct Inner {
    recent: VecDeque<Event>,
    by_task: HashMap<TaskId, Vec<u64>>,
    subscriptions: HashMap<u64, Subscription>,
    last_subscription: u64,
}

#[derive(Debug)]
struct Subscription {
    interest: Interest,
    tasks: HashSet<TaskId>,
    ends: Vec<End>,
    wake: Arc<Notify>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interest {
    /// Each task's end, once.
    Ends,
    /// Whatever happens to the task.
    Changes,
}

/// A task that ended for good, or was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// Which.
    pub(super) task: TaskId,
    /// How; `None` where it was removed.
    pub(super) state: Option<(State, i32)>,
}

/// Events after a place in the history.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recent {
    /// All of them.
    Events(Vec<Event>),
    /// Only the store has all of them.
    Behind,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// A hub that nobody listens to.
    #[must_use]
    pub fn new() -> Self {
        let newest = watch::Sender::new(0);
        Self { shared: Arc::new(Shared { state: Mutex::default(), newest }) }
    }

    /// Tells of events that are committed, oldest first. Called on the engine's thread; never blocks for long.
    pub fn publish(&self, events: &[Event]) {
        let Some(last) = events.last() else { return };
        let mut inner = self.lock();
        for event in events {
            inner.tell(event);
            if inner.recent.len() == RECENT {
                inner.recent.pop_front();
            }
            inner.recent.push_back(event.clone());
        }
        drop(inner);
        self.shared.newest.send_replace(last.seq);
    }

    /// Changes whenever events were published.
    pub(super) fn newest(&self) -> watch::Receiver<i64> {
        self.shared.newest.subscribe()
    }

    /// At most `limit` events after the one numbered `seq`.
    pub(super) fn after(&self, seq: i64, limit: usize) -> Recent {
        let inner = self.lock();
        match inner.recent.front() {
            Some(first) if first.seq <= seq.saturating_add(1) => {
                let start = inner.recent.partition_point(|event| event.seq <= seq);
                Recent::Events(inner.recent.iter().skip(start).take(limit).cloned().collect())
            }
            Some(_) | None => Recent::Behind,
        }
    }

    /// Listens for the ends of these tasks; each is told once.
    pub(super) fn ends(&self, tasks: impl IntoIterator<Item = TaskId>) -> Listener {
        self.subscribe(Interest::Ends, tasks)
    }

    /// Listens for whatever happens to a task.
    pub(super) fn changes(&self, task: TaskId) -> Listener {
        self.subscribe(Interest::Changes, [task])
    }

    fn subscribe(&self, interest: Interest, tasks: impl IntoIterator<Item = TaskId>) -> Listener {
        let wake = Arc::new(Notify::new());
        let tasks: HashSet<_> = tasks.into_iter().collect();
        let mut inner = self.lock();
        inner.last_subscription += 1;
        let id = inner.last_subscription;
        for task in &tasks {
            inner.by_task.entry(*task).or_default().push(id);
        }
        let subscription = Subscription { interest, tasks, ends: Vec::new(), wake: Arc::clone(&wake) };
        inner.subscriptions.insert(id, subscription);
        Listener { hub: self.clone(), id, wake }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing is left half done under this lock, so a panic elsewhere does no harm here.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tell(&mut self, event: &Event) {
        let Some(task) = event.task else { return };
        let Some(listeners) = self.by_task.get(&task) else { return };
        let end = end(task, &event.kind);
        let mut satisfied = Vec::new();
        for id in listeners {
            let Some(subscription) = self.subscriptions.get_mut(id) else { continue };
            match (subscription.interest, end) {
                (Interest::Changes, _) => subscription.wake.notify_one(),
                (Interest::Ends, Some(end)) => {
                    let is_first = subscription.ends.is_empty();
                    subscription.ends.push(end);
                    subscription.tasks.remove(&task);
                    if is_first || subscription.tasks.is_empty() {
                        subscription.wake.notify_one();
                    }
                    satisfied.push(*id);
                }
                (Interest::Ends, None) => {}
            }
        }
        for id in satisfied {
            self.forget(task, id);
        }
    }

    fn forget(&mut self, task: TaskId, id: u64) {
        if let Some(listeners) = self.by_task.get_mut(&task) {
            listeners.retain(|listener| *listener != id);
            if listeners.is_empty() {
                self.by_task.remove(&task);
            }
        }
    }
}

fn end(task: TaskId, kind: &EventKind) -> Option<End> {
    match kind {
        EventKind::Ended { state, outcome, .. } if state.is_ended() => {
            let code = crate::wire::api::exit_code(*state, outcome.as_ref()).unwrap_or(1);
            Some(End { task, state: Some((*state, code)) })
        }
        EventKind::Removed => Some(End { task, state: None }),
        EventKind::Ended { .. }
        | EventKind::Submitted { .. }
        | EventKind::Released { .. }
        | EventKind::Held
        | EventKind::Started { .. }
        | EventKind::Unclaimed { .. }
        | EventKind::Cancelling
        | EventKind::Signalled { .. }
        | EventKind::Retried { .. }
        | EventKind::QueueChanged
        | EventKind::QueueRemoved
        | EventKind::QueuePaused
        | EventKind::QueueDraining
        | EventKind::QueueResumed
        | EventKind::BreakerOpened { .. }
        | EventKind::BreakerProbing
        | EventKind::BreakerClosed
        | EventKind::Recurred { .. } => None,
    }
}

/// One who listens; dropping it ends that.
#[derive(Debug)]
pub(super) struct Listener {
    hub: Hub,
    id: u64,
    wake: Arc<Notify>,
}

impl Listener {
    /// Waits until there is something new: of ends, the first since they were taken, or the last of all.
    pub(super) async fn changed(&self) {
        self.wake.notified().await;
    }

    /// Waits until there are ends: not before `pace`, unless they are the last.
    pub(super) async fn ends(&self, pace: Instant) {
        self.changed().await;
        if !self.is_complete() {
            let _ = timeout_at(pace, self.changed()).await;
        }
    }

    /// Whether every task that it listens for has ended.
    fn is_complete(&self) -> bool {
        self.hub.lock().subscriptions.get(&self.id).is_none_or(|subscription| subscription.tasks.is_empty())
    }

    /// The ends told since the last call.
    pub(super) fn take_ends(&self) -> Vec<End> {
        match self.hub.lock().subscriptions.get_mut(&self.id) {
            Some(subscription) => std::mem::take(&mut subscription.ends),
            None => Vec::new(),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        if let Some(subscription) = inner.subscriptions.remove(&self.id) {
            for task in subscription.tasks {
                inner.forget(task, self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{QueueName, Timestamp};

    fn event(seq: i64, task: i64, kind: EventKind) -> Event {
        let (task, owner) = (Some(TaskId(task)), Some(0));
        Event { seq, at: Timestamp(seq), task, owner, queue: QueueName::default(), kind }
    }

    fn ended(seq: i64, task: i64, state: State) -> Event {
        event(seq, task, EventKind::Ended { attempt: 1, outcome: None, state, due: None, reason: None })
    }

    #[test]
    fn a_waiter_hears_of_each_end_once_and_of_nothing_else() {
        let hub = Hub::new();
        let listener = hub.ends([TaskId(1), TaskId(2)]);
        hub.publish(&[ended(1, 1, State::Queued), ended(2, 3, State::Failed), ended(3, 1, State::Failed)]);
        hub.publish(&[ended(4, 1, State::Succeeded)]);
        assert_eq!(listener.take_ends(), [End { task: TaskId(1), state: Some((State::Failed, 1)) }]);
        assert_eq!(listener.take_ends(), []);
    }

    #[tokio::test]
    async fn who_waits_for_many_is_woken_at_its_pace_and_for_the_last_at_once() {
        let hub = Hub::new();
        let listener = hub.ends((1..=3).map(TaskId));
        hub.publish(&[ended(1, 1, State::Succeeded)]);
        listener.ends(Instant::now()).await;
        assert_eq!(listener.take_ends().len(), 1);
        let much_later = Instant::now() + std::time::Duration::from_secs(3600);
        hub.publish(&[ended(2, 2, State::Succeeded)]);
        tokio::select! {
            biased;
            () = listener.ends(much_later) => panic!("woken though more is to come"),
            () = tokio::task::yield_now() => {}
        }
        let last = async { hub.publish(&[ended(3, 3, State::Succeeded)]) };
        tokio::join!(listener.ends(much_later), last);
        assert_eq!(listener.take_ends().len(), 2);
    }

    #[test]
    fn nothing_is_left_of_a_waiter_that_is_gone() {
        let hub = Hub::new();
        drop(hub.ends((0..100).map(TaskId)));
        let inner = hub.lock();
        assert!(inner.by_task.is_empty() && inner.subscriptions.is_empty());
    }

    #[test]
    fn a_follower_that_fell_behind_is_told_to_ask_the_store() {
        let hub = Hub::new();
        assert_eq!(hub.after(0, 10), Recent::Behind);
        let events: Vec<_> = (1..=5_000).map(|seq| event(seq, seq, EventKind::Held)).collect();
        hub.publish(&events);
        assert_eq!(hub.after(10, 10), Recent::Behind);
        assert_eq!(hub.after(4_999, 10), Recent::Events(vec![events[4_999].clone()]));
        assert_eq!(hub.after(5_000, 10), Recent::Events(Vec::new()));
    }
}
