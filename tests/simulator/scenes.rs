//! What is written ahead of its turn, in scenes of a few beats.

use std::collections::BTreeMap;
use std::time::Duration;

use taskdaemon::engine::{Action, Command, Query, Reply, Selection, Settings};
use taskdaemon::executor::{Cause, ExitStatus};
use taskdaemon::store::Store;
use taskdaemon::task::{
    AttemptKey, BreakerLimits, EventKind, OnInterrupt, Placement, QueueLimits, QueueName, Retry, State, Submission,
    Task, TaskId, Timestamp,
};

use crate::ask;
use crate::daemon::{Daemon, ROOT};

const MOMENT: Duration = Duration::from_millis(4);

struct Scene {
    daemon: Daemon,
    settings: Settings,
    now: Timestamp,
}

fn key(task: i64) -> AttemptKey {
    AttemptKey { task: TaskId(task), attempt: 1 }
}

fn settings(slots: u32) -> Settings {
    let mut settings = ask::settings(&mut fastrand::Rng::with_seed(1));
    settings.slots = slots;
    settings.max_interruptions = 3;
    settings.queues = BTreeMap::from([(QueueName::default(), QueueLimits::default())]);
    settings
}

fn submission(queue: &str, on_interrupt: OnInterrupt) -> Submission {
    let mut submission = ask::submission(&mut fastrand::Rng::with_seed(1), Timestamp(0), &[], "task");
    submission.spec.on_interrupt = on_interrupt;
    submission.spec.retry = Retry::default();
    Submission { placement: Placement { queue: queue.parse().unwrap(), ..Placement::default() }, ..submission }
}

impl Scene {
    /// One slot, and tasks for it: the first one runs, the others are queued.
    fn new(tasks: usize, on_interrupt: OnInterrupt) -> Self {
        let scene = Self::with(settings(1), vec![submission("default", on_interrupt); tasks]);
        assert_eq!(scene.daemon.runner.starts(), [key(1)]);
        scene
    }

    fn with(settings: Settings, tasks: Vec<Submission>) -> Self {
        let now = Timestamp(1_795_161_600_000_000);
        let mut scene = Self { daemon: Daemon::new(&settings, 1, now), settings, now };
        scene.daemon.runner.link();
        scene.daemon.ask(ROOT, Command::Submit(tasks.into_iter().map(Into::into).collect()));
        scene.beats();
        scene.daemon.fed();
        scene
    }

    fn beats(&mut self) {
        while self.daemon.has_mail() {
            self.daemon.beat(self.now);
        }
    }

    /// Until nothing is left to do now.
    fn settle(&mut self) {
        loop {
            self.daemon.beat(self.now);
            let due = self.daemon.next_wake().is_some_and(|wake| wake <= self.now);
            if !due && !self.daemon.has_mail() {
                return;
            }
        }
    }

    fn end(&mut self, task: i64) {
        self.end_with(task, 0);
    }

    fn end_with(&mut self, task: i64, code: i32) {
        self.daemon.runner.end(key(task), ExitStatus::Exited(code), Cause::Itself);
        self.daemon.beat(self.now);
    }

    fn wait(&mut self, span: Duration) {
        self.now = self.now + span;
        self.daemon.beat(self.now);
    }

    fn task(&self, id: i64) -> Task {
        self.daemon.look(|store| store.task(TaskId(id)).unwrap()).unwrap()
    }

    fn restart(&mut self) {
        self.daemon.restart(&self.settings, 1, self.now);
        self.daemon.runner.link();
        self.beats();
        self.daemon.runner.finish_sweep();
        self.beats();
    }
}

#[test]
fn the_next_task_starts_before_the_commit_and_ends_share_one() {
    let mut scene = Scene::new(4, OnInterrupt::Retry);
    scene.end(1);
    scene.end(2);
    assert_eq!(scene.daemon.runner.starts(), [key(1), key(2), key(3)]);
    assert!(scene.daemon.is_writing() && scene.daemon.fed().is_empty());
    assert_eq!(scene.daemon.next_wake(), Some(scene.now + MOMENT));
    scene.wait(MOMENT);
    assert!(!scene.daemon.is_writing());
    let ends = scene.daemon.fed().into_iter().filter(|event| matches!(event.kind, EventKind::Ended { .. }));
    assert_eq!(ends.map(|event| event.task.unwrap().0).collect::<Vec<_>>(), [1, 2]);
    scene.wait(Duration::ZERO);
    assert!(!scene.daemon.is_writing(), "nothing was begun since");
}

#[test]
fn nothing_begins_over_a_link_that_is_not_adopted() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    scene.daemon.runner.unlink();
    scene.beats();
    scene.daemon.runner.end(key(1), ExitStatus::Exited(0), Cause::Itself);
    scene.daemon.runner.link();
    scene.beats();
    assert_eq!(scene.daemon.runner.starts(), [key(1), key(2)]);
}

#[test]
fn an_end_that_nothing_follows_is_committed_at_once() {
    let mut scene = Scene::new(1, OnInterrupt::Retry);
    scene.end(1);
    assert!(!scene.daemon.is_writing());
    assert_eq!(scene.task(1).state, State::Succeeded);
}

#[test]
fn whoever_asks_ends_the_wait_and_sees_what_is_committed() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    scene.end(1);
    assert!(scene.daemon.is_writing());
    scene.daemon.ask(ROOT, Command::Read(Query::States(vec![TaskId(1)])));
    scene.daemon.beat(scene.now);
    assert!(!scene.daemon.is_writing());
    assert_eq!(scene.daemon.next_wake(), Some(scene.now));
    scene.daemon.beat(scene.now);
    let answers: Vec<_> = scene.daemon.answers().into_values().collect();
    assert!(
        matches!(&answers[..], [.., Ok(Reply::States(states))] if states[..] == [(TaskId(1), State::Succeeded, Some(0))])
    );
}

#[test]
fn a_clock_that_is_set_back_does_not_make_the_wait_longer() {
    let mut scene = Scene::new(4, OnInterrupt::Retry);
    scene.end(1);
    scene.now = Timestamp(scene.now.0 - 3_600_000_000);
    scene.end(2);
    assert!(!scene.daemon.is_writing());
}

#[test]
fn what_was_begun_before_a_failed_commit_is_not_started_again() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    scene.end(1);
    scene.daemon.faults.fill(Some(0));
    scene.wait(MOMENT);
    assert_eq!((scene.task(1).state, scene.task(2).state), (State::Running, State::Queued));
    scene.daemon.faults.fill(None);
    scene.wait(Duration::from_secs(1));
    assert_eq!((scene.task(1).state, scene.task(2).state), (State::Succeeded, State::Running));
    assert_eq!(scene.daemon.runner.starts(), [key(1), key(2)]);
    assert_eq!(scene.daemon.runner.stopping(), []);
}

#[test]
fn what_was_begun_when_the_daemon_died_goes_on() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    scene.end(1);
    scene.restart();
    assert_eq!((scene.task(1).state, scene.task(2).state), (State::Succeeded, State::Running));
    assert_eq!(scene.daemon.runner.starts(), [key(1), key(2)]);
}

#[test]
fn what_was_only_reserved_when_all_was_killed_was_not_interrupted() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    scene.daemon.runner.kill();
    scene.restart();
    assert_eq!([1, 2, 3].map(|id| scene.task(id).interruptions), [1, 0, 0]);
}

#[test]
fn a_sweep_that_is_told_twice_ends_nothing_that_was_started_since() {
    let mut scene = Scene::with(settings(3), vec![submission("default", OnInterrupt::Retry); 5]);
    scene.daemon.runner.kill();
    scene.settings.slots = 5;
    scene.daemon.restart(&scene.settings, 1, scene.now);
    scene.daemon.runner.link();
    scene.beats();
    scene.daemon.runner.unlink();
    scene.beats();
    scene.daemon.runner.link();
    scene.daemon.runner.finish_sweep();
    scene.beats();
    scene.daemon.runner.finish_sweep();
    scene.beats();
    let running: Vec<_> = scene.daemon.runner.running().into_iter().map(|key| (key.task.0, key.attempt)).collect();
    assert_eq!(running, [(1, 2), (2, 2), (3, 2), (4, 1), (5, 1)]);
}

#[test]
fn what_was_begun_when_all_was_killed_was_interrupted() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    scene.end(1);
    scene.daemon.runner.kill();
    scene.restart();
    assert_eq!([1, 2, 3].map(|id| scene.task(id).interruptions), [1, 1, 0]);
}

#[test]
fn what_may_have_begun_when_the_power_went_counts_as_interrupted() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    scene.daemon.runner.reboot();
    scene.restart();
    assert_eq!([1, 2, 3].map(|id| scene.task(id).interruptions), [1, 1, 1]);
}

#[test]
fn what_must_not_run_twice_is_claimed_in_its_turn() {
    let mut scene = Scene::new(3, OnInterrupt::End);
    assert_eq!(scene.daemon.look(|store| store.open_attempts().unwrap()).len(), 1);
    scene.end(1);
    assert!(!scene.daemon.is_writing());
    assert_eq!(scene.daemon.runner.starts(), [key(1), key(2)]);
}

#[test]
fn a_probe_is_written_to_its_queue_before_it_starts() {
    let mut settings = settings(2);
    let breaker = BreakerLimits { failures: 1, cooldown_ms: 1 };
    let limits = QueueLimits { breaker: Some(breaker), ..QueueLimits::default() };
    settings.queues.insert("fragile".parse().unwrap(), limits);
    let queues = ["fragile", "fragile", "default", "default", "default"];
    let mut scene = Scene::with(settings, queues.map(|queue| submission(queue, OnInterrupt::Retry)).to_vec());
    scene.end_with(1, 1);
    assert!(scene.daemon.is_writing());
    scene.now = scene.now + Duration::from_millis(1);
    scene.end(3);
    assert_eq!(scene.daemon.runner.starts(), [1, 3, 4, 2].map(key));
    assert!(!scene.daemon.is_writing());
}

#[test]
fn a_slot_that_stays_free_or_waits_for_a_commit_is_not_kept_waiting() {
    let [again, once] = [OnInterrupt::Retry, OnInterrupt::End].map(|what| submission("default", what));
    let mut scene = Scene::with(settings(2), vec![again.clone(), again.clone(), again.clone(), once]);
    scene.end(1);
    assert!(scene.daemon.is_writing());
    scene.end(2);
    assert!(!scene.daemon.is_writing());
    assert_eq!(scene.daemon.runner.starts(), [1, 2, 3, 4].map(key));
    let mut scene = Scene::with(settings(2), vec![again; 3]);
    scene.end(1);
    scene.end(2);
    assert!(!scene.daemon.is_writing());
}

#[test]
fn a_daemon_whose_tasks_have_ended_may_leave() {
    let mut scene = Scene::new(2, OnInterrupt::Retry);
    scene.end(1);
    scene.wait(MOMENT);
    scene.daemon.ask(ROOT, Command::Shutdown { patience: Duration::ZERO });
    scene.beats();
    scene.end(2);
    scene.beats();
    assert!(matches!(scene.daemon.answers().into_values().last(), Some(Ok(Reply::Drained))));
}

#[test]
fn what_is_reserved_follows_the_settings_and_the_runner() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    scene.daemon.runner.kill();
    scene.daemon.runner.link();
    scene.beats();
    let open = scene.daemon.look(|store| store.open_attempts().unwrap());
    let runners: Vec<_> = open.iter().map(|attempt| (attempt.key.task.0, attempt.claim.runner.as_str())).collect();
    assert_eq!(runners, [(1, "runner-0"), (2, "runner-1"), (3, "runner-1")]);
    let settings = Settings { max_interruptions: 0, ..scene.settings.clone() };
    scene.daemon.ask(ROOT, Command::Reconfigure(Box::new(settings)));
    scene.beats();
    assert_eq!(scene.daemon.look(|store| store.open_attempts().unwrap()).len(), 1);
}

#[test]
fn a_daemon_that_leaves_reserves_nothing() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    scene.daemon.leave(scene.now);
    assert_eq!(scene.daemon.look(|store| store.open_attempts().unwrap()).len(), 1);
}

#[test]
fn what_is_only_reserved_is_not_shown() {
    let mut scene = Scene::new(3, OnInterrupt::Retry);
    assert_eq!(scene.daemon.look(|store| store.attempts(TaskId(2)).unwrap()).len(), 1);
    scene.daemon.ask(ROOT, Command::Read(Query::Show(TaskId(2))));
    scene.daemon.ask(ROOT, Command::Read(Query::Output(key(2))));
    scene.beats();
    let answers: Vec<_> = scene.daemon.answers().into_values().collect();
    let [.., Ok(Reply::Detail(detail)), Err(refusal)] = &answers[..] else { panic!("{}", answers.len()) };
    assert!(detail.attempts.is_empty() && detail.task.state == State::Queued);
    assert_eq!(refusal.to_string(), "task 2 has no attempt 1");
}

/// One slot, and short tasks for it, the first of which has ended: the next ones stand by.
fn rush() -> Scene {
    let mut scene = Scene::new(6, OnInterrupt::Retry);
    scene.daemon.runner.know_standby(true);
    scene.wait(Duration::from_millis(5));
    scene.end(1);
    scene.daemon.runner.hear();
    scene.daemon.answers();
    scene
}

#[test]
fn while_tasks_are_short_the_runner_starts_the_next_ones_by_itself() {
    let mut scene = rush();
    for task in 2..5 {
        scene.daemon.runner.end(key(task), ExitStatus::Exited(0), Cause::Itself);
    }
    assert_eq!(scene.daemon.runner.starts(), [1, 2, 3, 4, 5].map(key), "nobody asked the daemon");
    scene.settle();
    scene.wait(MOMENT);
    assert_eq!([4, 5, 6].map(|id| scene.task(id).state), [State::Succeeded, State::Running, State::Queued]);
}

#[test]
fn what_is_said_of_a_task_that_stands_by_holds_before_it_starts() {
    let mut scene = rush();
    scene.daemon.ask(ROOT, Command::Act(Action::Hold, Selection::Ids(vec![TaskId(3)])));
    scene.settle();
    assert!(scene.daemon.answers().is_empty(), "it may have started already");
    scene.daemon.runner.hear();
    scene.settle();
    assert_eq!(scene.task(3).state, State::Held);
    scene.end(2);
    scene.settle();
    assert_eq!(scene.daemon.runner.starts(), [1, 2, 4].map(key));
}

#[test]
fn who_submits_does_not_wait_for_what_stands_by() {
    let mut scene = rush();
    scene.daemon.ask(ROOT, Command::Submit(vec![submission("default", OnInterrupt::Retry).into()]));
    scene.settle();
    assert!(matches!(scene.daemon.answers().into_values().next(), Some(Ok(Reply::Accepted(_)))));
}

#[test]
fn a_runner_that_does_not_answer_keeps_nobody_waiting() {
    let mut scene = rush();
    scene.daemon.ask(ROOT, Command::Act(Action::Cancel, Selection::Ids(vec![TaskId(3)])));
    scene.settle();
    assert!(scene.daemon.answers().is_empty());
    scene.now = scene.now + Duration::from_secs(1);
    scene.settle();
    assert!(matches!(scene.daemon.answers().into_values().next(), Some(Ok(_))));
    assert_eq!(scene.task(3).state, State::Running, "nobody can say");
    scene.daemon.runner.hear();
    scene.settle();
    assert_eq!([3, 4].map(|id| scene.task(id).state), [State::Cancelled, State::Queued]);
    assert_eq!(scene.task(4).attempts, 0);
}

#[test]
fn what_comes_first_now_is_not_kept_behind_what_stands_by() {
    let mut scene = rush();
    let mut urgent = submission("default", OnInterrupt::Retry);
    urgent.placement.priority = 9;
    scene.daemon.ask(ROOT, Command::Submit(vec![urgent.into()]));
    scene.settle();
    scene.daemon.runner.hear();
    scene.end(2);
    scene.settle();
    assert_eq!(scene.daemon.runner.starts(), [1, 2, 7].map(key));
}

#[test]
fn what_stood_by_when_all_was_killed_was_not_interrupted() {
    let mut scene = rush();
    scene.wait(MOMENT);
    scene.daemon.runner.kill();
    scene.restart();
    assert_eq!([2, 3, 4].map(|id| scene.task(id).interruptions), [1, 0, 0]);
}

#[test]
fn what_stood_by_when_the_runner_died_was_not_interrupted() {
    let mut scene = rush();
    scene.wait(MOMENT);
    scene.daemon.runner.kill();
    scene.settle();
    assert_eq!(scene.task(3).state, State::Running, "nobody can say");
    scene.daemon.runner.link();
    scene.settle();
    scene.daemon.runner.finish_sweep();
    scene.settle();
    assert_eq!([2, 3, 4].map(|id| scene.task(id).interruptions), [1, 0, 0]);
    assert_eq!(scene.task(4).state, State::Queued);
}

#[test]
fn a_daemon_leaves_once_nothing_stands_by() {
    let mut scene = rush();
    scene.daemon.leave(scene.now);
    scene.daemon.runner.hear();
    scene.settle();
    assert_eq!(scene.daemon.next_wake(), None);
    assert_eq!(scene.daemon.look(|store| store.open_attempts().unwrap()).len(), 1);
}

#[test]
fn no_place_is_passed_on_once_there_are_fewer_slots() {
    let mut scene = Scene::with(settings(3), vec![submission("default", OnInterrupt::Retry); 12]);
    scene.daemon.runner.know_standby(true);
    scene.wait(Duration::from_millis(5));
    scene.end(1);
    scene.daemon.runner.hear();
    scene.daemon.ask(ROOT, Command::Reconfigure(Box::new(Settings { slots: 1, ..scene.settings.clone() })));
    scene.settle();
    scene.daemon.runner.hear();
    scene.settle();
    scene.wait(Duration::from_millis(5));
    for task in [2, 3] {
        scene.end(task);
        scene.settle();
        scene.daemon.runner.hear();
    }
    assert_eq!(scene.daemon.runner.running(), [key(4)]);
    scene.end(4);
    assert_eq!(scene.daemon.runner.running(), [key(5)]);
}

#[test]
fn what_began_before_a_shutdown_was_heard_of_is_known() {
    let mut scene = rush();
    scene.daemon.ask(ROOT, Command::Shutdown { patience: Duration::from_secs(9) });
    scene.settle();
    for task in [2, 3] {
        scene.end(task);
        scene.wait(MOMENT);
        scene.settle();
        assert_eq!(scene.daemon.runner.running(), [key(task + 1)]);
        assert_eq!((scene.task(task + 1).state, scene.daemon.runner.stopping()), (State::Running, vec![]));
    }
    scene.daemon.runner.hear();
    scene.end(4);
    scene.settle();
    assert_eq!(scene.daemon.runner.running(), []);
    assert!(matches!(scene.daemon.answers().into_values().last(), Some(Ok(Reply::Drained))));
    assert_eq!(scene.daemon.look(|store| store.open_attempts().unwrap()).len(), 0);
}
