//! One daemon after the other on the same state.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use taskdaemon::engine::{Caller, Command, Engine, Envelope, Message, Refusal, Reply, Settings};
use taskdaemon::executor::Report;
use taskdaemon::executor::fake::FakeRunner;
use taskdaemon::store::{SqliteStore, Store};
use taskdaemon::task::{AttemptKey, Event, Timestamp};

use crate::faults::{Death, Disk, Faults, FaultyExecutor, FaultyStore, look};

pub(crate) const ROOT: Caller = Caller { uid: 0, privileged: true };

type Answers = Arc<Mutex<BTreeMap<u64, Result<Reply, Refusal>>>>;

/// A daemon that can be killed.
pub(crate) struct Daemon {
    engine: Option<Engine<FaultyStore, FaultyExecutor>>,
    pub(crate) disk: Disk,
    pub(crate) faults: Arc<Faults>,
    pub(crate) runner: FakeRunner,
    mail: Arc<Mutex<Vec<Message>>>,
    answers: Answers,
    fed: Arc<Mutex<Vec<Event>>>,
    /// What had ever been started before the last beat.
    pub(crate) started: Vec<AttemptKey>,
    asked: u64,
    lives: u64,
}

impl Daemon {
    pub(crate) fn new(settings: &Settings, seed: u64, now: Timestamp) -> Self {
        let mut daemon = Self {
            engine: None,
            disk: Arc::new(Mutex::new(Some(SqliteStore::in_memory().unwrap()))),
            faults: Faults::new(),
            runner: FakeRunner::default(),
            mail: Arc::default(),
            answers: Arc::default(),
            fed: Arc::default(),
            started: Vec::new(),
            asked: 0,
            lives: 0,
        };
        daemon.start(settings, seed, now);
        daemon
    }

    fn start(&mut self, settings: &Settings, seed: u64, now: Timestamp) {
        self.lives += 1;
        // What was on its way to the dead one is lost with it.
        self.mail = Arc::default();
        self.answers = Arc::default();
        self.fed = Arc::default();
        self.faults.writing.store(false, Ordering::Relaxed);
        self.faults.light(None);
        let mail = Arc::clone(&self.mail);
        let sink = Box::new(move |report: Report| mail.lock().unwrap().push(Message::Report(report)));
        let (disk, faults) = (Arc::clone(&self.disk), Arc::clone(&self.faults));
        let executor = FaultyExecutor { inner: self.runner.executor(sink), disk, faults };
        self.faults.committed(&self.disk);
        self.faults.ordered();
        let fed = Arc::clone(&self.fed);
        let feed = Box::new(move |events: &[Event]| fed.lock().unwrap().extend_from_slice(events));
        let identity = look(&self.disk, |store| store.identity().to_owned());
        let store = FaultyStore { disk: Arc::clone(&self.disk), identity, faults: Arc::clone(&self.faults) };
        self.engine = Some(Engine::new(store, executor, settings.clone(), seed ^ self.lives, feed, now).unwrap());
    }

    /// Kills the daemon as SIGKILL does: what was not committed never happened.
    fn kill(&mut self) {
        self.engine = None;
        self.faults.writing.store(false, Ordering::Relaxed);
        let store = self.disk.lock().unwrap().take().unwrap();
        *self.disk.lock().unwrap() = Some(store.crash().unwrap());
    }

    /// Starts a daemon in the place of the one before, which is killed if it lives.
    pub(crate) fn restart(&mut self, settings: &Settings, seed: u64, now: Timestamp) {
        self.faults.fill(None);
        if self.engine.is_some() {
            self.kill();
        }
        self.start(settings, seed, now);
    }

    /// Puts a command into the mail; its number names its answer.
    pub(crate) fn ask(&mut self, caller: Caller, command: Command) -> u64 {
        self.asked += 1;
        let (number, answers, faults) = (self.asked, Arc::clone(&self.answers), Arc::clone(&self.faults));
        let reply = Box::new(move |answer: Result<Reply, Refusal>| {
            faults.burn();
            assert!(!faults.writing.load(Ordering::Relaxed), "an answer before the commit");
            assert!(answers.lock().unwrap().insert(number, answer).is_none(), "two answers to one command");
        });
        self.mail.lock().unwrap().push(Message::Command(Envelope { caller, command, reply }));
        number
    }

    /// One beat with the mail; false where the daemon died of it.
    pub(crate) fn beat(&mut self, now: Timestamp) -> bool {
        let mail = std::mem::take(&mut *self.mail.lock().unwrap());
        self.started = self.runner.starts();
        let engine = self.engine.as_mut().unwrap();
        match catch_unwind(AssertUnwindSafe(|| engine.beat(now, mail))) {
            Ok(()) => true,
            Err(cause) if cause.is::<Death>() => {
                self.kill();
                false
            }
            Err(cause) => resume_unwind(cause),
        }
    }

    /// Has it leave as it does for its successor: what runs goes on.
    pub(crate) fn leave(&mut self, now: Timestamp) {
        self.mail.lock().unwrap().push(Message::Leave);
        assert!(self.beat(now));
    }

    /// Whether the last beat left its transaction open.
    pub(crate) fn is_writing(&self) -> bool {
        self.faults.writing.load(Ordering::Relaxed)
    }

    pub(crate) fn has_mail(&self) -> bool {
        !self.mail.lock().unwrap().is_empty()
    }

    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.engine.as_ref().unwrap().next_wake()
    }

    /// The answers that came since the last time.
    pub(crate) fn answers(&self) -> BTreeMap<u64, Result<Reply, Refusal>> {
        std::mem::take(&mut *self.answers.lock().unwrap())
    }

    /// The events that came since the last time.
    pub(crate) fn fed(&self) -> Vec<Event> {
        std::mem::take(&mut *self.fed.lock().unwrap())
    }

    /// Reads what is committed, behind the engine's back.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&mut SqliteStore) -> T) -> T {
        look(&self.disk, at)
    }
}
