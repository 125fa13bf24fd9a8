//! One day, from the first submission to the evening in which all is let run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use taskdaemon::engine::{Action, Caller, Command, Filter, Page, QueueChange, Refusal, Reply, Selection, Settings};
use taskdaemon::executor::{Cause, ExitStatus};
use taskdaemon::store::Store;
use taskdaemon::task::{AttemptKey, Mode, QueueName, Signal, State, Submission, TaskId, Timestamp};

use crate::ask;
use crate::daemon::{Daemon, ROOT};
use crate::faults::check_willing;
use crate::history::History;

/// 2026-11-20 08:00 UTC.
const MORNING: Timestamp = Timestamp(1_795_161_600_000_000);

/// Beats after which an evening has gone on for too long.
const LONGEST_EVENING: u32 = 20_000;

pub(crate) struct Day {
    seed: u64,
    aloud: bool,
    pub(crate) rng: Rng,
    pub(crate) now: Timestamp,
    pub(crate) daemon: Daemon,
    pub(crate) settings: Settings,
    pub(crate) history: History,
    /// The largest limit on interruptions that was ever in force.
    pub(crate) max_interruptions: u32,
    /// What was ever asked for, by label.
    pub(crate) submitted: BTreeMap<String, Submission>,
    /// Every task of which somebody heard that it was accepted.
    pub(crate) accepted: BTreeSet<TaskId>,
    /// What was asked and not yet answered.
    pending: BTreeMap<u64, Asked>,
    /// Whether the disk was full today: then reports may be kept back for a while.
    pub(crate) was_full: bool,
    /// Whether a shutdown is under way.
    pub(crate) stopping: bool,
    /// What began in the place of another, as the daemon has not yet heard.
    pub(crate) passed_on: Vec<AttemptKey>,
}

enum Asked {
    Settings(Settings),
    Shutdown,
    Other,
}

impl Day {
    pub(crate) fn new(seed: u64, aloud: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let settings = ask::settings(&mut rng);
        let daemon = Daemon::new(&settings, seed, MORNING);
        Self {
            seed,
            aloud,
            rng,
            now: MORNING,
            daemon,
            max_interruptions: settings.max_interruptions,
            settings,
            history: History::default(),
            submitted: BTreeMap::new(),
            accepted: BTreeSet::new(),
            pending: BTreeMap::new(),
            was_full: false,
            stopping: false,
            passed_on: Vec::new(),
        }
    }

    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.aloud {
            eprintln!("{} {}", self.now, what());
        }
    }

    pub(crate) fn live(mut self) {
        self.check(true);
        self.daemon.runner.set_now(self.now);
        self.daemon.runner.know_standby(self.rng.u8(..4) > 0);
        self.daemon.runner.link();
        for _ in 0..self.rng.u32(20..90) {
            self.step();
            if self.rng.bool() {
                self.daemon.runner.hear();
            }
            let due = self.daemon.next_wake().is_some_and(|wake| wake <= self.now);
            if due || (self.daemon.has_mail() && self.rng.u8(..10) < 7) {
                self.beat();
            }
        }
        self.evening();
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..=21 => self.submit(),
            22..=36 => self.ask_something(),
            37..=59 => self.end_one(6),
            60..=77 => self.pass_time(),
            78..=87 => self.trouble_the_runner(),
            88..=91 => self.light_the_fuse(),
            92..=94 => self.trouble_the_disk(),
            95 | 96 => self.rush(),
            97 => self.stop(),
            98 => self.reconfigure(),
            _ => self.die("between two beats"),
        }
    }

    fn ask(&mut self, caller: Caller, command: Command) {
        self.tell(|| format!("{} asks {command:?}", caller.uid));
        let asked = match &command {
            Command::Reconfigure(settings) => Asked::Settings((**settings).clone()),
            Command::Shutdown { .. } => Asked::Shutdown,
            _ => Asked::Other,
        };
        let number = self.daemon.ask(caller, command);
        self.pending.insert(number, asked);
    }

    fn known(&self) -> Vec<TaskId> {
        self.history.tasks.keys().copied().collect()
    }

    fn submit(&mut self) {
        let known = self.known();
        let mut tasks = Vec::new();
        for _ in 0..self.rng.u8(1..5) {
            let label = format!("task-{}", self.submitted.len());
            let submission = ask::submission(&mut self.rng, self.now, &known, &label);
            self.submitted.insert(label, submission.clone());
            tasks.push(submission.into());
        }
        let caller = ask::caller(&mut self.rng);
        self.ask(caller, Command::Submit(tasks));
    }

    /// Short tasks of one queue, one behind the other, while the other queues rest.
    fn rush(&mut self) {
        let queue = ask::queue(&mut self.rng);
        self.tell(|| format!("there is a rush on the queue {queue}"));
        self.set_others(&queue, Mode::Paused);
        for key in self.daemon.runner.running() {
            self.end(key, true);
        }
        let mut tasks = Vec::new();
        for _ in 0..self.rng.u8(4..24) {
            let label = format!("task-{}", self.submitted.len());
            let submission = ask::plain(&mut self.rng, self.now, &label, &queue);
            self.submitted.insert(label, submission.clone());
            tasks.push(submission.into());
        }
        self.ask(ROOT, Command::Submit(tasks));
        self.beat();
        self.set_clock(self.now + Duration::from_millis(6));
        for _ in 0..self.rng.u8(20..100) {
            match self.rng.u8(..100) {
                0..=34 => self.end_one(10),
                35..=49 => {
                    let span = Duration::from_micros(self.rng.u64(..9_000));
                    self.set_clock(self.now + span);
                }
                50..=61 => self.daemon.runner.hear(),
                62 | 63 => self.ask_something(),
                64 => self.end_one(0),
                65 | 66 => self.step(),
                _ => drop(self.beat()),
            }
        }
        self.set_others(&queue, Mode::Open);
    }

    fn set_others(&mut self, queue: &QueueName, mode: Mode) {
        for other in ask::QUEUES.into_iter().filter(|other| *other != queue.as_str()) {
            self.ask(ROOT, Command::Queue(other.parse().unwrap(), QueueChange::Mode(mode)));
        }
    }

    fn ask_something(&mut self) {
        let known = self.known();
        let caller = ask::caller(&mut self.rng);
        let command = match self.rng.u8(..10) {
            0..=4 => ask::act(&mut self.rng, &known),
            5 | 6 => ask::change_queue(&mut self.rng),
            7 => ask::change_schedule(&mut self.rng),
            _ => ask::look(&mut self.rng, &known),
        };
        self.ask(caller, command);
    }

    /// Ends one of those that run: well, so many times in ten.
    fn end_one(&mut self, well: u8) {
        let running = self.daemon.runner.running();
        if !running.is_empty() {
            let key = running[self.rng.usize(..running.len())];
            let good = self.rng.u8(..10) < well;
            self.end(key, good);
        }
    }

    fn end(&mut self, key: AttemptKey, good: bool) {
        let stopped = self.daemon.runner.stopping().contains(&key);
        let drained = self.daemon.runner.draining().is_some();
        let signalled = ExitStatus::Signalled { signal: Signal::KILL, core_dumped: false };
        let (status, cause) = match self.rng.u8(..10) {
            0..=6 if stopped => (signalled, Cause::Stopped),
            0..=6 if drained => (signalled, Cause::Drained),
            _ if good => (ExitStatus::Exited(0), Cause::Itself),
            7 => (signalled, Cause::Itself),
            8 => (signalled, Cause::Timeout),
            9 => (ExitStatus::NotStarted { reason: "no such file".into(), code: 127 }, Cause::Itself),
            _ => (ExitStatus::Exited(1), Cause::Itself),
        };
        self.tell(|| format!("attempt {key} ends: {status:?} {cause:?}"));
        if cause == Cause::Drained
            && let Some(past) = self.history.tasks.get_mut(&key.task)
        {
            past.drained += 1;
        }
        self.daemon.runner.end(key, status, cause);
        for next in self.daemon.runner.passed_on() {
            self.tell(|| format!("attempt {next} begins in its place"));
            check_willing(&self.daemon.disk, next);
            self.passed_on.push(next);
        }
    }

    fn pass_time(&mut self) {
        let span = match self.rng.u8(..20) {
            0 => -3_600_000_000,
            1 => 86_400_000_000,
            2..=6 => self.rng.i64(0..120_000_000),
            _ => self.rng.i64(0..2_000_000),
        };
        self.set_clock(Timestamp(self.now.0 + span));
    }

    fn set_clock(&mut self, now: Timestamp) {
        self.now = now;
        self.daemon.runner.set_now(now);
    }

    fn trouble_the_runner(&mut self) {
        let runner = self.daemon.runner.clone();
        let what = match self.rng.u8(..20) {
            0..=7 => {
                runner.link();
                "links"
            }
            8..=11 => {
                runner.finish_sweep();
                "has swept"
            }
            12..=15 => {
                runner.unlink();
                "loses its link"
            }
            16 => {
                runner.swallow_starts(self.rng.usize(1..3));
                self.beat();
                runner.swallow_starts(0);
                runner.unlink();
                "never hears of starts, and loses its link"
            }
            17 => {
                self.cancel_unheard();
                "comes back, and has not heard of the cancelling"
            }
            18 => {
                runner.kill();
                "is killed"
            }
            _ => {
                runner.reboot();
                "goes down with its host"
            }
        };
        self.tell(|| format!("the runner {what}"));
    }

    /// Cancels what runs while nobody can tell the runner: it has to hear of it once it is back.
    fn cancel_unheard(&mut self) {
        self.daemon.runner.unlink();
        self.beat();
        let running = Filter { states: vec![State::Running], ..Filter::default() };
        let page = Page { after: None, limit: 1000, oldest_first: true };
        self.ask(ROOT, Command::Act(Action::Cancel, Selection::Matching(running, page)));
        self.beat();
        self.daemon.runner.link();
        let outlived = self.beat();
        if outlived && !self.was_full && !self.daemon.has_mail() {
            self.check_stops();
        }
    }

    fn light_the_fuse(&mut self) {
        let calls = self.rng.i64(0..60);
        self.tell(|| format!("the daemon is to die after {calls} calls"));
        self.daemon.faults.light(Some(calls));
    }

    fn trouble_the_disk(&mut self) {
        let full = !self.daemon.faults.is_full() && self.rng.bool();
        let calls = full.then(|| self.rng.i64(0..30));
        self.was_full |= full;
        self.tell(|| format!("the disk is full after so many calls: {calls:?}"));
        self.daemon.faults.fill(calls);
        self.daemon.faults.free.store(if self.rng.u8(..4) == 0 { 1 } else { 1 << 40 }, Ordering::Relaxed);
    }

    fn stop(&mut self) {
        let patience = Duration::from_secs(self.rng.u64(..30));
        self.ask(ROOT, Command::Shutdown { patience });
        self.stopping = true;
    }

    fn reconfigure(&mut self) {
        let settings = ask::settings(&mut self.rng);
        self.max_interruptions = self.max_interruptions.max(settings.max_interruptions);
        self.ask(ROOT, Command::Reconfigure(Box::new(settings)));
    }

    /// One beat, with all that follows from it; false where another daemon is in place after it.
    fn beat(&mut self) -> bool {
        let outlived = self.daemon.beat(self.now);
        self.tell(|| format!("a beat, and the daemon {}", if outlived { "lives" } else { "dies" }));
        let stopped = self.take_answers();
        self.check(outlived);
        if !outlived {
            self.die("in a beat");
        } else if stopped {
            self.die("as it was told to");
        } else {
            let late = self.pending.values().any(|asked| !matches!(asked, Asked::Shutdown));
            assert!(!late || self.daemon.next_wake().is_some(), "a command was not answered");
        }
        outlived && !stopped
    }

    /// Takes the answers; true where one says that nothing runs any more.
    fn take_answers(&mut self) -> bool {
        let mut stopped = false;
        for (number, answer) in self.daemon.answers() {
            let asked = self.pending.remove(&number).expect("an answer to no question");
            match (answer, asked) {
                (Ok(Reply::Accepted(ids)), _) => self.accepted.extend(ids.into_iter().map(|(id, _)| id)),
                (Ok(Reply::Reconfigured { .. }), Asked::Settings(settings)) => self.settings = settings,
                (Ok(Reply::Drained), _) => {
                    assert!(self.daemon.runner.running().is_empty(), "the daemon leaves, and something runs");
                    stopped = true;
                }
                (Ok(Reply::Detail(detail)), _) => {
                    let shown = detail.attempts.iter().all(|attempt| attempt.number <= detail.task.attempts);
                    assert!(shown, "what is only reserved is shown: {detail:?}");
                }
                (Ok(_), _) => {}
                (Err(refusal), _) => self.check_refusal(&refusal),
            }
        }
        stopped
    }

    fn check_refusal(&self, refusal: &Refusal) {
        self.tell(|| format!("   refused: {refusal}"));
        assert!(!matches!(refusal, Refusal::Gone));
        if let Refusal::Store(error) = refusal {
            assert!(matches!(error, taskdaemon::store::Error::Full { .. }), "{error:?}");
        }
    }

    fn die(&mut self, how: &str) {
        self.tell(|| format!("the daemon dies {how}"));
        self.pending.clear();
        self.stopping = false;
        if self.daemon.runner.is_leaving() && self.daemon.runner.running().is_empty() {
            self.daemon.runner.kill();
        }
        self.daemon.restart(&self.settings, self.seed, self.now);
        self.check(true);
        self.check_tasks();
        if self.rng.bool() {
            self.daemon.runner.link();
        }
    }

    /// Nothing goes wrong any more, nothing new comes, all is let run: then all must end.
    fn evening(&mut self) {
        self.tell(|| "evening".to_owned());
        self.daemon.faults.free.store(1 << 40, Ordering::Relaxed);
        self.daemon.faults.fill(None);
        self.daemon.faults.light(None);
        // A new daemon would heal what the old one forgot, so only half of them are replaced.
        if self.stopping || self.rng.bool() {
            self.die("for the last time");
        } else {
            self.calm_down();
        }
        for schedule in self.daemon.look(|store| store.schedules().unwrap()) {
            self.ask(ROOT, Command::RemoveSchedule { owner: Some(schedule.owner), name: schedule.name });
        }
        for queue in self.daemon.look(|store| store.queues().unwrap()) {
            self.ask(ROOT, Command::Queue(queue.name, QueueChange::Mode(Mode::Open)));
        }
        let held = Filter { states: vec![State::Held], ..Filter::default() };
        let page = Page { after: None, limit: 1000, oldest_first: true };
        self.ask(ROOT, Command::Act(Action::Release, Selection::Matching(held, page)));
        for _ in 0..LONGEST_EVENING {
            if !self.go_on() {
                break;
            }
        }
        self.check_tasks();
        let left = self.history.tasks.iter().find(|(_, past)| !past.state.is_ended());
        assert!(left.is_none(), "a task never ends: {left:?}");
        assert!(self.daemon.runner.running().is_empty() && self.daemon.runner.left_behind().is_empty());
    }

    /// Lets pass what is left of a failed commit, and what was asked before the evening.
    fn calm_down(&mut self) {
        for _ in 0..2 {
            self.set_clock(self.now + Duration::from_secs(11));
            self.beat();
        }
    }

    /// Lets happen what can; false where nothing is left to happen.
    fn go_on(&mut self) -> bool {
        self.daemon.runner.link();
        self.daemon.runner.hear();
        self.daemon.runner.finish_sweep();
        if !self.daemon.has_mail() {
            self.check_stops();
            for key in self.daemon.runner.running() {
                self.end(key, true);
            }
        }
        if !self.daemon.has_mail() {
            if self.history.tasks.values().all(|past| past.state.is_ended()) {
                return false;
            }
            let Some(wake) = self.daemon.next_wake() else { return false };
            self.set_clock(wake.max(self.now));
        }
        self.beat();
        true
    }
}
