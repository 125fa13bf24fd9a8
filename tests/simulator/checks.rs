//! What must hold after each beat, whether the daemon outlived it or not.

use std::collections::BTreeSet;

use taskdaemon::scheduler::weight;
use taskdaemon::store::{EventFilter, Store};
use taskdaemon::task::{AttemptKey, Event, QueueName, State, Task};

use crate::day::Day;

impl Day {
    /// Takes what is new in the history and holds every promise to it.
    pub(crate) fn check(&mut self, outlived: bool) {
        self.check_alive();
        self.check_slots(outlived);
        if self.daemon.is_writing() {
            // Nobody has been told yet, and what is committed cannot be seen.
            assert!(self.daemon.fed().is_empty(), "something was told before the commit");
            return;
        }
        let news = self.news(outlived);
        for event in &news {
            self.tell(|| format!("   {event:?}"));
            self.history.take(event, &self.daemon, &self.submitted, self.max_interruptions);
        }
        self.history.check();
        self.check_counts();
        self.check_world(!outlived || self.was_full);
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

    /// What really runs: no task twice.
    fn check_alive(&self) {
        let mut alive = BTreeSet::new();
        for key in self.daemon.runner.running().into_iter().chain(self.daemon.runner.left_behind()) {
            assert!(alive.insert(key.task), "task {} runs twice at once", key.task);
        }
    }

    /// Nothing runs that the store does not know as running, or as reserved where a commit failed or a daemon died.
    fn check_world(&self, may_be_begun: bool) {
        let open = self.daemon.look(|store| store.open_attempts().unwrap());
        let open: BTreeSet<AttemptKey> = open.into_iter().map(|attempt| attempt.key).collect();
        for key in self.daemon.runner.running().into_iter().chain(self.daemon.runner.left_behind()) {
            let past = self.history.tasks.get(&key.task).expect("a removed task runs");
            let begun = past.state == State::Queued && (may_be_begun || self.passed_on.contains(&key));
            assert!(begun || past.state == State::Running, "attempt {key} runs: {past:?}");
            assert_eq!(key.attempt, past.attempts + u32::from(begun), "attempt {key} runs");
            assert!(open.contains(&key), "attempt {key} runs and is not claimed");
        }
        for key in self.daemon.runner.stopping() {
            let past = &self.history.tasks[&key.task];
            assert!(past.cancelling, "attempt {key} is stopped, and nobody wants that: {past:?}");
        }
        let (running, reserved): (BTreeSet<_>, BTreeSet<_>) =
            open.iter().partition(|key| self.history.tasks[&key.task].state == State::Running);
        let tasks = self.history.tasks.iter().filter(|(_, past)| past.state == State::Running);
        let tasks: BTreeSet<_> = tasks.map(|(id, past)| AttemptKey { task: *id, attempt: past.attempts }).collect();
        assert_eq!(running, tasks, "the open attempts are not those of the running tasks");
        for key in reserved {
            let past = &self.history.tasks[&key.task];
            assert_eq!((past.state, past.attempts + 1), (State::Queued, key.attempt), "attempt {key} is reserved");
            assert!(past.runs_again(), "what is not to be repeated is reserved: {past:?}");
            let limit = self.settings.max_interruptions;
            assert!(may_be_begun || limit > 0, "what an interruption would end is reserved: {past:?}");
        }
    }

    /// Where something was started, the slots of its queue and of the host are not exceeded, by all that is
    /// written so far.
    fn check_slots(&mut self, outlived: bool) {
        let ordered = self.daemon.faults.ordered();
        let is_heard_of = |key: &AttemptKey| self.task_of(key).is_none_or(|task| task.attempts >= key.attempt);
        let (passed_on, unheard): (Vec<_>, Vec<_>) = self.passed_on.iter().copied().partition(is_heard_of);
        self.passed_on = unheard;
        if !outlived {
            return;
        }
        let hooks_alone = self.queues_of(&ordered).iter().all(QueueName::is_of_hooks);
        assert!(!self.stopping || hooks_alone, "a task started while the daemon stops");
        let open = self.daemon.look(|store| store.open_attempts().unwrap());
        self.check_slots_of(&ordered, &open.into_iter().map(|open| open.key).collect::<Vec<_>>());
        // What stood by when a runner did not answer is taken for running, so here what does run counts.
        self.check_slots_of(&passed_on, &self.daemon.runner.running());
    }

    fn task_of(&self, key: &AttemptKey) -> Option<Task> {
        self.daemon.look(|store| store.task(key.task).unwrap())
    }

    fn queues_of(&self, keys: &[AttemptKey]) -> BTreeSet<QueueName> {
        keys.iter().filter_map(|key| Some(self.task_of(key)?.queue)).collect()
    }

    /// Where these were started, `running` are not too many.
    fn check_slots_of(&self, started: &[AttemptKey], running: &[AttemptKey]) {
        if started.is_empty() {
            return;
        }
        let started = self.queues_of(started);
        let hooks_alone = started.iter().all(QueueName::is_of_hooks);
        let running = running.iter().filter_map(|key| self.task_of(key));
        let running: Vec<Task> = running.filter(|task| task.state == State::Running).collect();
        let host = self.settings.slots;
        let mut all = 0;
        for queue in self.daemon.look(|store| store.queues().unwrap()) {
            let mine = running.iter().filter(|task| task.queue == queue.name);
            let used: u32 = mine.map(|task| weight(task.slots, queue.limits.slots, host)).sum();
            let limit = queue.limits.slots.unwrap_or(host);
            let is_of_hooks = queue.name.is_of_hooks();
            let most = if is_of_hooks { limit } else { limit.min(host) };
            assert!(!started.contains(&queue.name) || used <= most, "{used} of {limit} slots in {queue:?}");
            // Hooks run beside everything else.
            all += if is_of_hooks { 0 } else { used };
        }
        assert!(hooks_alone || all <= host, "{all} of the host's {host} slots");
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
