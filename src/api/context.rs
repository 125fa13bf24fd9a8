//! What every handler has at hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, oneshot, watch};

use super::answer::Failure;
use super::examine::Examiner;
use super::growth::Growth;
use super::settings::TermsInForce;
use super::{Hub, Settings, Terms};
use crate::daemon::health::Registry;
use crate::daemon::lifecycle::Seen;
use crate::daemon::program::Program;
use crate::engine::{Caller, Command, Handle, Reply};
use crate::task::{Bytes, Timestamp};
use crate::wire::api::{ReloadDocument, SandboxDocument, UpgradeDocument};

/// Why a reload changed nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReloadFailure {
    /// Each fault as a sentence with file, line and key.
    pub faults: Vec<String>,
}

/// Takes what became of a reload; may be called on any thread.
pub type ReloadTo = Box<dyn FnOnce(Result<ReloadDocument, ReloadFailure>) + Send>;

/// Has the configuration read anew. It must not block: the answer may come later.
pub type Reload = Arc<dyn Fn(ReloadTo) + Send + Sync>;

/// Why the daemon stays what it is; each with the reason as a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpgradeFailure {
    /// It has something else to do.
    Busy(String),
    /// The new program refuses the configuration.
    Configuration(String),
    /// The new program did not prove itself.
    Unfit(String),
}

/// Takes what became of the trial; may be called on any thread.
pub type UpgradeTo = Box<dyn FnOnce(Result<UpgradeDocument, UpgradeFailure>) + Send>;

/// The way to an upgrade in place.
#[derive(Clone)]
pub struct Upgrade {
    /// Tries a new program out, by its path or where the daemon's own is, and has it take over. It must not block.
    pub begin: Arc<dyn Fn(Option<PathBuf>, UpgradeTo) + Send + Sync>,
    /// How the last one went, or how far it is.
    pub look: Arc<dyn Fn() -> UpgradeDocument + Send + Sync>,
}

/// What the daemon says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its version.
    pub version: String,
    /// Its program.
    pub program: Program,
    /// The socket that it answers on.
    pub socket: Bytes,
    /// When it started.
    pub started_at: Timestamp,
    /// The user that it runs as: as good as root here.
    pub uid: u32,
    /// What it has locked itself out of.
    pub sandbox: SandboxDocument,
}

/// What the API is given to work with.
#[derive(Clone)]
pub struct Services {
    /// The engine.
    pub engine: Handle,
    /// Where the engine publishes its events.
    pub hub: Hub,
    /// The checks of `/health`.
    pub health: Registry,
    /// What a reload does.
    pub reload: Reload,
    /// What an upgrade does.
    pub upgrade: Upgrade,
    /// Where the daemon is in its life.
    pub state: Seen,
    /// What the daemon says of itself.
    pub about: About,
    /// What requests for new tasks are held to at first.
    pub terms: Terms,
}

/// The state that handlers share; cheap to clone.
#[derive(Clone)]
pub(super) struct Context(Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Settings,
    pub(super) hub: Hub,
    pub(super) examiner: Examiner,
    pub(super) reload: Reload,
    pub(super) upgrade: Upgrade,
    pub(super) state: Seen,
    pub(super) about: About,
    /// Room for large bodies, in KiB.
    pub(super) bodies: Arc<Semaphore>,
    pub(super) growth: Growth,
    /// Becomes true when the API is to stop.
    pub(super) stopping: watch::Receiver<bool>,
    engine: Handle,
    /// How much the engine has been asked and has not answered.
    asked: watch::Sender<usize>,
    terms: TermsInForce,
}

/// Something that the engine was asked, until dropped.
struct Asked<'a>(&'a watch::Sender<usize>);

impl<'a> Asked<'a> {
    fn new(asked: &'a watch::Sender<usize>) -> Self {
        asked.send_modify(|count| *count += 1);
        Self(asked)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl std::ops::Deref for Context {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Context {
    pub(super) fn new(
        settings: Settings,
        services: Services,
        terms: TermsInForce,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self(Arc::new(Inner {
            bodies: Arc::new(Semaphore::new(settings.max_bodies.div_ceil(1024))),
            settings,
            hub: services.hub,
            examiner: Examiner::new(services.health),
            reload: services.reload,
            upgrade: services.upgrade,
            state: services.state,
            about: services.about,
            growth: Growth::new(),
            stopping,
            engine: services.engine,
            asked: watch::Sender::new(0),
            terms,
        }))
    }

    /// Asks the engine, and waits for its answer.
    pub(super) async fn ask(&self, caller: Caller, command: Command) -> Result<Reply, Failure> {
        let _asked = Asked::new(&self.asked);
        let (answer, answered) = oneshot::channel();
        // A client that has gone needs no answer.
        self.engine.command(caller, command, Box::new(move |reply| drop(answer.send(reply))));
        match tokio::time::timeout(self.settings.request_timeout, answered).await {
            Ok(Ok(reply)) => reply.map_err(Failure::from),
            Ok(Err(_)) => Err(Failure::from(crate::engine::Refusal::Gone)),
            Err(_) => Err(Failure::new(503, "engine-slow", "The engine is busy", "the engine did not answer in time")),
        }
    }

    /// The daemon itself, for what it asks on behalf of nobody.
    pub(super) fn itself(&self) -> Caller {
        Caller { uid: self.about.uid, privileged: true }
    }

    /// What requests for new tasks are held to now.
    pub(super) fn terms(&self) -> Arc<Terms> {
        self.terms.get()
    }

    /// Waits until the engine has answered all that it was asked.
    pub(super) async fn answered(&self) {
        // The sender is this very context's.
        let _ = self.asked.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Waits until the API is to stop.
    pub(super) async fn stopped(&self) {
        // The sender lives as long as the server; if it is gone, so is the reason to go on.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }
}

/// The time now.
pub(super) fn now() -> Timestamp {
    SystemTime::now().max(UNIX_EPOCH).into()
}
