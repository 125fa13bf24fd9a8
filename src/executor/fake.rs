//! A runner that runs nothing: the simulator says what happens, and when.
//!
//! [`FakeRunner`] is the world outside the daemon: it lives on when a daemon "dies" and serves the
//! executors of one daemon after the other. It never waits, keeps everything in the order in which it
//! happened, and calls the reports' sink from within the call that caused them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Cause, End, Executor, ExitStatus, Leftover, Report, Sink, Start};
use crate::task::{AttemptKey, Cost, Signal, Stop, TaskId, Timestamp};

/// A runner, its host, and the link to it.
#[derive(Clone, Default)]
pub struct FakeRunner(Arc<Mutex<World>>);

/// The executor of one daemon; of no effect once a later one was made.
pub struct FakeExecutor {
    world: Arc<Mutex<World>>,
    daemon: u64,
}

/// An attempt that runs.
#[derive(Debug, Clone, Copy)]
struct Process {
    key: AttemptKey,
    pid: i32,
    at: Timestamp,
}

impl Process {
    fn report(self) -> Report {
        let pid_start = u64::try_from(self.pid).unwrap_or_default();
        Report::Started { key: self.key, pid: self.pid, pid_start, at: self.at }
    }
}

/// An order that is on its way.
enum Word {
    StandBy(AttemptKey),
    Recall,
}

#[derive(Default)]
struct World {
    now: Timestamp,
    boots: u64,
    instances: u64,
    daemons: u64,
    linked: bool,
    /// Links that were reported to this daemon and that it has not adopted.
    unadopted: u64,
    sink: Option<Sink>,
    running: Vec<Process>,
    stopping: Vec<AttemptKey>,
    draining: Option<Duration>,
    ended: BTreeMap<AttemptKey, End>,
    /// Alive without a runner.
    left_behind: Vec<Process>,
    sweeping: Option<Vec<AttemptKey>>,
    swallow: usize,
    starts: Vec<AttemptKey>,
    /// The attempts whose output was made.
    outputs: BTreeSet<AttemptKey>,
    signals: Vec<(AttemptKey, Signal)>,
    leaving: bool,
    /// Whether it knows how to have attempts stand by.
    knows_standby: bool,
    words: Vec<Word>,
    standby: Vec<AttemptKey>,
    /// Those that began in the place of others since somebody last asked.
    passed_on: Vec<AttemptKey>,
}

impl World {
    fn report(&self, report: Report) {
        if let Some(sink) = &self.sink {
            sink(report);
        }
    }

    fn begin(&mut self, key: AttemptKey) {
        self.starts.push(key);
        self.outputs.insert(key);
        let pid = i32::try_from(self.starts.len()).unwrap_or(i32::MAX);
        let process = Process { key, pid, at: self.now };
        self.running.push(process);
        self.report(process.report());
    }

    fn recall(&mut self) {
        let keys = std::mem::take(&mut self.standby);
        if !keys.is_empty() {
            self.report(Report::Recalled { keys });
        }
    }

    /// What was ordered ahead goes with the link.
    fn forget_orders(&mut self) {
        self.words.clear();
        self.standby.clear();
    }

    fn unlink(&mut self, reason: &str) {
        self.forget_orders();
        if std::mem::take(&mut self.linked) {
            self.report(Report::Lost { reason: reason.into() });
        }
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeRunner {
    /// The executor of a daemon that starts now: the former one's link ends with it. [`FakeRunner::link`] links it.
    #[must_use]
    pub fn executor(&self, sink: Sink) -> FakeExecutor {
        let mut world = lock(&self.0);
        world.daemons += 1;
        world.sink = Some(sink);
        (world.linked, world.unadopted) = (false, 0);
        world.forget_orders();
        FakeExecutor { world: Arc::clone(&self.0), daemon: world.daemons }
    }

    /// Sets the clock that starts and ends are dated by.
    pub fn set_now(&self, now: Timestamp) {
        lock(&self.0).now = now;
    }

    /// Links the daemon: reports what there is. Of no effect where it is linked.
    pub fn link(&self) {
        let mut world = lock(&self.0);
        if std::mem::replace(&mut world.linked, true) {
            return;
        }
        world.unadopted += 1;
        (world.leaving, world.draining) = (false, None);
        world.report(Report::Linked {
            runner: format!("runner-{}", world.instances),
            pid: 1,
            boot: format!("boot-{}", world.boots),
            known: world.running.iter().map(|process| process.key).chain(world.ended.keys().copied()).collect(),
        });
        for process in &world.running {
            world.report(process.report());
        }
        for (key, end) in &world.ended {
            world.report(Report::Ended { key: *key, end: end.clone(), next: None });
        }
    }

    /// Breaks the link; runner and daemon live.
    pub fn unlink(&self) {
        lock(&self.0).unlink("the link broke");
    }

    /// Loses the next `count` starts on their way: they are taken, and the runner never hears of them. To be
    /// followed by the loss of the link, as on a real one.
    pub fn swallow_starts(&self, count: usize) {
        lock(&self.0).swallow = count;
    }

    /// Ends an attempt that runs; false where it does not. One that a dead runner left behind ends unseen. One
    /// that was stopped or drained wants the matching cause: see [`FakeRunner::stopping`], [`FakeRunner::draining`].
    pub fn end(&self, key: AttemptKey, status: ExitStatus, cause: Cause) -> bool {
        let mut world = lock(&self.0);
        world.left_behind.retain(|left| left.key != key);
        let Some(at) = world.running.iter().position(|running| running.key == key) else { return false };
        let process = world.running.remove(at);
        world.stopping.retain(|stopped| *stopped != key);
        let started_at = (!matches!(status, ExitStatus::NotStarted { .. })).then_some(process.at);
        let end = End { status, cause, started_at, ended_at: world.now, cost: Cost::default() };
        world.ended.insert(key, end.clone());
        if !world.linked {
            return true;
        }
        let succeeded = (&end.status, end.cause) == (&ExitStatus::Exited(0), Cause::Itself);
        let next = (succeeded && !world.standby.is_empty()).then(|| world.standby.remove(0));
        world.report(Report::Ended { key, end, next });
        if let Some(next) = next {
            world.passed_on.push(next);
            world.begin(next);
        } else if !succeeded {
            world.recall();
        }
        true
    }

    /// Has it know how to have attempts stand by, or not as older ones do not.
    pub fn know_standby(&self, knows: bool) {
        lock(&self.0).knows_standby = knows;
    }

    /// Hears the orders about what stands by; the others it hears at once.
    pub fn hear(&self) {
        let mut world = lock(&self.0);
        for word in std::mem::take(&mut world.words) {
            match word {
                Word::StandBy(key) => world.standby.push(key),
                Word::Recall => world.recall(),
            }
        }
    }

    /// What began in the place of another since the last time.
    #[must_use]
    pub fn passed_on(&self) -> Vec<AttemptKey> {
        std::mem::take(&mut lock(&self.0).passed_on)
    }

    /// Kills the runner as SIGKILL does: what ran is left behind, ends not acknowledged are forgotten. The
    /// next [`FakeRunner::link`] reaches a new one.
    pub fn kill(&self) {
        let mut world = lock(&self.0);
        let orphans = std::mem::take(&mut world.running);
        world.left_behind.extend(orphans);
        world.ended.clear();
        world.stopping.clear();
        (world.sweeping, world.draining) = (None, None);
        world.instances += 1;
        world.unlink("the runner ended");
    }

    /// Cuts the host's power: [`FakeRunner::kill`], and nothing is left behind, not even what was written last.
    pub fn reboot(&self) {
        self.kill();
        let mut world = lock(&self.0);
        world.left_behind.clear();
        world.outputs.clear();
        world.boots += 1;
    }

    /// Ends what a dead runner left behind, where the daemon asked for it, and reports that.
    pub fn finish_sweep(&self) {
        let mut world = lock(&self.0);
        if let Some(keys) = world.sweeping.take() {
            world.left_behind.clear();
            if world.linked {
                world.report(Report::Swept { keys });
            }
        }
    }

    /// Whether a sweep was asked for and is not finished.
    #[must_use]
    pub fn is_sweeping(&self) -> bool {
        lock(&self.0).sweeping.is_some()
    }

    /// What runs under the runner, in the order of its starts.
    #[must_use]
    pub fn running(&self) -> Vec<AttemptKey> {
        lock(&self.0).running.iter().map(|running| running.key).collect()
    }

    /// What dead runners left behind, in the order of its starts.
    #[must_use]
    pub fn left_behind(&self) -> Vec<AttemptKey> {
        lock(&self.0).left_behind.iter().map(|left| left.key).collect()
    }

    /// Which of those that run were asked to end, in the order of the wishes.
    #[must_use]
    pub fn stopping(&self) -> Vec<AttemptKey> {
        lock(&self.0).stopping.clone()
    }

    /// After what time everything that runs is to be ended, if the daemon wants that.
    #[must_use]
    pub fn draining(&self) -> Option<Duration> {
        lock(&self.0).draining
    }

    /// Every start there ever was, in order.
    #[must_use]
    pub fn starts(&self) -> Vec<AttemptKey> {
        lock(&self.0).starts.clone()
    }

    /// Every signal sent, in order.
    #[must_use]
    pub fn signals(&self) -> Vec<(AttemptKey, Signal)> {
        lock(&self.0).signals.clone()
    }

    /// Whether the daemon has asked the runner to leave.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        lock(&self.0).leaving
    }
}

impl FakeExecutor {
    /// The world, where this daemon's words reach it.
    fn heard(&self) -> Option<MutexGuard<'_, World>> {
        let world = lock(&self.world);
        (world.daemons == self.daemon && world.linked && world.unadopted == 0).then_some(world)
    }
}

impl Executor for FakeExecutor {
    fn adopt(&mut self) {
        let mut world = lock(&self.world);
        if world.daemons == self.daemon {
            world.unadopted = world.unadopted.saturating_sub(1);
        }
    }

    fn start(&mut self, start: Start) {
        let Some(mut world) = self.heard() else { return };
        world.outputs.insert(start.key);
        if world.swallow > 0 {
            world.swallow -= 1;
            return;
        }
        if world.ended.contains_key(&start.key) || world.running.iter().any(|running| running.key == start.key) {
            return;
        }
        world.begin(start.key);
    }

    fn stand_by(&mut self, start: Start) -> bool {
        let Some(mut world) = self.heard() else { return false };
        if world.knows_standby {
            world.words.push(Word::StandBy(start.key));
        }
        world.knows_standby
    }

    fn recall(&mut self) {
        if let Some(mut world) = self.heard() {
            world.words.push(Word::Recall);
        }
    }

    fn stop(&mut self, key: AttemptKey, _stop: Stop) {
        let Some(mut world) = self.heard() else { return };
        let runs = world.running.iter().any(|running| running.key == key);
        if runs && !world.stopping.contains(&key) {
            world.stopping.push(key);
        }
    }

    fn signal(&mut self, key: AttemptKey, signal: Signal) {
        if let Some(mut world) = self.heard() {
            world.signals.push((key, signal));
        }
    }

    fn acknowledge(&mut self, keys: &[AttemptKey]) {
        if let Some(mut world) = self.heard() {
            world.ended.retain(|key, _| !keys.contains(key));
        }
    }

    fn flush(&mut self) {}

    fn sweep(&mut self, leftovers: Vec<Leftover>) {
        if let Some(mut world) = self.heard() {
            let before = world.sweeping.take().unwrap_or_default();
            world.sweeping = Some(before.into_iter().chain(leftovers.iter().map(|left| left.key)).collect());
        }
    }

    fn drain(&mut self, patience: Duration) {
        if let Some(mut world) = self.heard() {
            world.draining = Some(patience);
        }
    }

    fn leave(&mut self) {
        if let Some(mut world) = self.heard() {
            world.leaving = true;
        }
    }

    /// What the attempt writes is nothing; where it was never ordered, there is not even that.
    fn output(&self, key: AttemptKey) -> io::Result<File> {
        let made = lock(&self.world).outputs.contains(&key);
        File::open(if made { "/dev/null" } else { "/nonexistent" })
    }

    fn may_have_begun(&self, key: AttemptKey) -> bool {
        lock(&self.world).outputs.contains(&key)
    }

    fn remove_output(&mut self, _tasks: &[(TaskId, u32)]) {}
}
