//! What must hold after each beat, whether the daemon outlived it or not.

use std::collections::BTreeSet;

use taskdaemon::scheduler::weight;
use taskdaemon::store::{EventFilter, Store};
use taskdaemon::task::{Breaker, Event, EventKind, Mode, QueueName, State, TaskId};

use crate::day::Day;

impl Day {
    /// Takes what is new in the history and holds every promise to it.
    pub(crate) fn check(&mut self, outlived: bool) {
        let news = self.news(outlived);
        for event in &news {
            self.tell(|| format!("   {event:?}"));
            self.history.take(event, &self.daemon, &self.submitted, self.max_interruptions);
        }
        self.history.check();
        self.check_counts();
        self.check_world();
        self.check_gates(&news);
        if outlived {
            self.check_slots(&news);
        }
        if !outlived || self.rng.u8(..) < 16 {
            self.check_tasks();
        }
    }

    /// The events since the last time; who follows them has heard the same, as long as the daemon lived.
    fn news(&self, outlived: bool) -> Vec<Event> {
        let filter = EventFilter { after: self.history.seq, ..EventFilter::default() };
        let page = self.daemon.look(|store| store.events(&filter, usize::MAX).unwrap());
        let fed = self.daemon.fed();
        let heard = page.events.get(..fed.len()).expect("more was told than happened");
        assert_eq!(fed, heard, "what was told is not what happened");
        assert!(!outlived || fed.len() == page.events.len(), "not all that happened was told");
        page.events
    }

    fn check_counts(&self) {
        let mut kept = self.daemon.look(|store| store.counts().unwrap());
        for counts in kept.values_mut() {
            counts.retain(|_, count| *count > 0);
        }
        kept.retain(|_, counts| !counts.is_empty());
        assert_eq!(kept, self.history.counts(), "the counts are wrong");
    }

    /// What really runs: no task twice, and nothing that the store does not know as running.
    fn check_world(&self) {
        let mut alive = BTreeSet::new();
        for key in self.daemon.runner.running().into_iter().chain(self.daemon.runner.left_behind()) {
            assert!(alive.insert(key.task), "task {} runs twice at once", key.task);
            let past = self.history.tasks.get(&key.task).expect("a removed task runs");
            assert_eq!((past.state, past.attempts), (State::Running, key.attempt), "attempt {key} runs");
        }
        let open = self.daemon.look(|store| store.open_attempts().unwrap());
        let open: BTreeSet<TaskId> = open.into_iter().map(|attempt| attempt.key.task).collect();
        let running = self.history.tasks.iter().filter(|(_, past)| past.state == State::Running);
        let running: BTreeSet<TaskId> = running.map(|(id, _)| *id).collect();
        assert_eq!(open, running, "the open attempts are not those of the running tasks");
    }

    /// Nothing starts where a queue is shut.
    fn check_gates(&self, news: &[Event]) {
        let queues = self.daemon.look(|store| store.queues().unwrap());
        for event in news.iter().filter(|event| matches!(event.kind, EventKind::Started { .. })) {
            assert!(!self.stopping, "a task started while the daemon stops");
            let queue = queues.iter().find(|queue| queue.name == event.queue).expect("a task runs in no queue");
            assert_eq!(queue.mode, Mode::Open, "a task started in {queue:?}");
            match queue.breaker {
                Breaker::Closed { .. } => {}
                Breaker::Probing { task } => assert_eq!(task, event.task, "a second task started in {queue:?}"),
                Breaker::Open { .. } => panic!("a task started in {queue:?}"),
            }
        }
    }

    /// Where something started, the slots of its queue and of the host are not exceeded.
    fn check_slots(&self, news: &[Event]) {
        let started = news.iter().filter(|event| matches!(event.kind, EventKind::Started { .. }));
        let started: BTreeSet<&QueueName> = started.map(|event| &event.queue).collect();
        let queues = self.daemon.look(|store| store.queues().unwrap());
        let host = self.settings.slots;
        let mut all = 0;
        for queue in &queues {
            let running = self.history.tasks.values().filter(|past| past.state == State::Running);
            let mine = running.filter(|past| past.queue == queue.name);
            let used: u32 = mine.map(|past| weight(past.slots, queue.limits.slots, host)).sum();
            let limit = queue.limits.slots.unwrap_or(host);
            assert!(!started.contains(&queue.name) || used <= limit.min(host), "{used} of {limit} slots in {queue:?}");
            all += used;
        }
        assert!(started.is_empty() || all <= host, "{all} of the host's {host} slots");
    }

    /// A runner that has heard everything has heard of every attempt that is to be stopped.
    pub(crate) fn check_stops(&self) {
        let asked = self.daemon.runner.stopping();
        for key in self.daemon.runner.running() {
            let past = self.history.tasks.get(&key.task).expect("a removed task runs");
            assert!(!past.cancelling || asked.contains(&key), "the runner was never told to stop attempt {key}");
        }
    }

    /// Every task is in the state that its events say.
    pub(crate) fn check_tasks(&self) {
        for (id, past) in &self.history.tasks {
            let task = self.daemon.look(|store| store.task(*id).unwrap());
            let task = task.unwrap_or_else(|| panic!("task {id} was lost: {past:?}"));
            assert_eq!((task.state, task.attempts), (past.state, past.attempts), "task {id}");
            assert_eq!(task.ended_at.is_some(), task.state.is_ended(), "task {id}");
            assert!(task.due.is_some() || task.state != State::Scheduled, "task {id}");
        }
        for id in &self.accepted {
            let there = self.history.tasks.contains_key(id) || self.history.is_removed(*id);
            assert!(there, "task {id} was accepted and is lost");
        }
    }
}
