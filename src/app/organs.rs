//! The daemon's organs: store, executor, engine and API, started in this order and ended in the other.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::guard;
use super::heart::Heart;
use super::inbox::{Inbox, Notice, Stir};
use super::upgrade::Upgrades;
use super::{Error, Hold, VERSION, now, sections};
use crate::api::{self, Door, Hub, Services, Serving};
use crate::config::Settings;
use crate::daemon::health::Registry;
use crate::daemon::lifecycle::{Hooks, Seen};
use crate::daemon::program::Program;
use crate::engine::{self, Caller, Command, Engine, Handle, Occasion, Query, Refusal, Reply};
use crate::executor::{Dialer, Launched, Outputs, Replacer, RunnerLink};
use crate::store::{SqliteStore, Store};
use crate::task::Bytes;

/// How long the API may take to end: longer than it waits for requests under way.
const API_PATIENCE: Duration = Duration::from_secs(35);
/// How long the engine may take to end: a commit may wait for a slow disk.
const ENGINE_PATIENCE: Duration = Duration::from_secs(60);

/// What works while the daemon runs.
pub(super) struct Organs {
    engine: Handle,
    thread: JoinHandle<()>,
    api: Serving,
    health: Registry,
    stir: Stir,
    runner: Replacer,
    uid: u32,
}

/// Whom the daemon serves.
#[derive(Debug, Clone)]
pub(super) struct Given {
    /// The user that it runs as: as good as root here.
    pub(super) uid: u32,
    /// Whether the daemon starts, and does not go on as another program.
    pub(super) is_new: bool,
    /// The group whose members may submit tasks and handle their own.
    pub(super) group: Option<u32>,
    /// Where the daemon is in its life.
    pub(super) state: Seen,
}

impl Organs {
    /// Starts them. A runner that was launched has until the engine works to be on its own.
    pub(super) fn start(
        settings: &Settings,
        given: Given,
        hold: &Hold,
        inbox: &Inbox,
        upgrades: &Upgrades,
        launched: Option<Launched>,
    ) -> Result<Self, Error> {
        let path = settings.paths.state_directory.join("queue.db");
        let store = SqliteStore::open(&path, &sections::store(settings), now())?;
        let (handle, messages) = Handle::new();
        let executor =
            link(settings, store.identity(), guard::dialer(settings, given.uid, hold.runner), handle.clone())?;
        let runner = executor.replacer();
        let hub = Hub::new();
        let (feed, stir) = (hub.clone(), inbox.stir());
        let stirred = stir.clone();
        let feed = Box::new(move |events: &[_]| {
            feed.publish(events);
            stirred.stirred();
        });
        let mut held_to = sections::engine(settings, given.uid);
        if !given.is_new {
            held_to.hooks.on.remove(&Occasion::Started);
        }
        let engine = Engine::new(store, executor, held_to, fastrand::u64(..), feed, now())?;
        let ended = inbox.notifier();
        let serve = move || {
            drop(engine::serve(engine, &messages));
            ended.notify(Notice::EngineEnded);
        };
        launched.map_or(Ok(()), Launched::settle)?;
        hold.traces.stay();
        let thread = thread("engine", serve)?;
        let health = Registry::new();
        super::health::register(&health, &handle, given.uid, settings.health.timeout);
        let services = Services {
            health: health.clone(),
            engine: handle.clone(),
            hub,
            reload: {
                let notifier = inbox.notifier();
                Arc::new(move |reply| notifier.notify(Notice::Reload(reply)))
            },
            upgrade: upgrades.service(),
            state: given.state,
            about: api::About {
                version: VERSION.to_owned(),
                program: Program::of_this_process(upgrades.program.path.clone()).map_err(Error::Program)?,
                socket: Bytes::from(hold.entrance.path.clone().into_os_string()),
                started_at: hold.started_at,
                sandbox: sections::sandbox(hold.sandbox.clone().unwrap_or_default()),
                uid: given.uid,
            },
            terms: sections::terms(settings),
        };
        let listeners = hold.entrance.listeners.try_clone().map_err(Error::Descriptors)?;
        let api = api::spawn(listeners, sections::api(settings, given.group), services)
            .map_err(|source| Error::Thread { what: "clients", source })?;
        Ok(Self { engine: handle, thread, api, health, stir, runner, uid: given.uid })
    }

    /// The way to another program for the runner.
    pub(super) fn runner(&self) -> &Replacer {
        &self.runner
    }

    /// Takes new settings into force, if the engine does; `then` is told what it says.
    pub(super) fn reconfigure(&self, settings: &Settings, then: engine::ReplyTo) {
        let (health, engine, uid) = (self.health.clone(), self.engine.clone(), self.uid);
        let (terms, in_force, timeout) = (sections::terms(settings), self.api.terms(), settings.health.timeout);
        let then = move |answer: Result<Reply, Refusal>| {
            if answer.is_ok() {
                super::health::register(&health, &engine, uid, timeout);
                in_force.set(terms);
            }
            then(answer);
        };
        self.command(Command::Reconfigure(Box::new(sections::engine(settings, self.uid))), Box::new(then));
    }

    /// Closes intake and lets tasks run for `patience`; `then` is called once nothing runs.
    pub(super) fn drain(&self, patience: Duration, then: engine::ReplyTo) {
        self.command(Command::Shutdown { patience }, then);
    }

    /// Has the engine ended, and with it the store and the link; but before that the API.
    pub(super) fn put_away(self, hooks: &mut Hooks) {
        let Self { engine, thread, api, .. } = self;
        hooks.register("engine and store", ENGINE_PATIENCE, move || {
            engine.leave();
            if thread.join().is_err() {
                tracing::error!("the engine panicked");
            }
        });
        hooks.register("API", API_PATIENCE, move || api.stop());
    }

    pub(super) fn heart(&self) -> Heart {
        Heart::new(self.engine.clone(), self.uid)
    }

    pub(super) fn door(&self) -> Door {
        self.api.door()
    }

    /// Tells of what happens to tasks.
    pub(super) fn stir(&self) -> Stir {
        self.stir.clone()
    }

    /// Asks how everything stands; `then` is told.
    pub(super) fn look(&self, then: engine::ReplyTo) {
        self.command(Command::Read(Query::Status), then);
    }

    fn command(&self, command: Command, then: engine::ReplyTo) {
        self.engine.command(Caller { uid: self.uid, privileged: true }, command, then);
    }
}

fn link(settings: &Settings, identity: &str, dialer: Dialer, engine: Handle) -> Result<RunnerLink, Error> {
    let outputs = Outputs::new(&settings.paths.state_directory);
    let sink = Box::new(move |report| engine.report(report));
    RunnerLink::new(identity, outputs, Box::new(dialer), sink)
        .map_err(|source| Error::Thread { what: "the runner's link", source })
}

pub(super) fn thread(what: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let spawn = |source: io::Error| Error::Thread { what, source };
    thread::Builder::new().name(what.to_owned()).spawn(work).map_err(spawn)
}
