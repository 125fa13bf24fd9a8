//! The processes of this service, put together: [`daemon`] and [`runner()`].
//!
//! Each is told in the order in which it happens. What the parts hold to comes from the configuration,
//! of which each part is given its own section alone.
//!
//! It must not know the command line, nor how anything is shown.

mod control;
mod dump;
mod entrance;
mod error;
mod guard;
mod handover;
mod health;
mod heart;
mod hold;
mod inbox;
mod logging;
mod organs;
mod reload;
mod runner;
mod sandbox;
mod sections;
pub mod service;
mod start;
mod upgrade;
mod vitals;

use std::ffi::OsString;
use std::time::{Duration, SystemTime};

use tracing::warn;

use crate::config::{self, Environment, Flags, Mode, Settings};
use crate::daemon::directory::Access;
use crate::daemon::lifecycle::{Event, Lifecycle};
use crate::daemon::log::in_full;
use crate::daemon::process::Detached;
use crate::daemon::service::{Extension, Manager, ManagerError};
use crate::daemon::{Lock, Readiness};
use crate::sys::signal::Blocked;
use crate::sys::{fd, signal};
use crate::task::Timestamp;
use control::Control;
use entrance::Passed;
use guard::Roles;
use hold::Hold;
use inbox::Inbox;
use logging::Log;
use organs::{Given, Organs};
use reload::Reloader;

pub use error::Error;
pub use guard::end_runner_left_behind;
pub use runner::{RUNNER, RunnerOptions, runner};
pub use start::Background;

/// What this program calls itself.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a start may take in all before the service manager gives it up: a large queue may have to be migrated.
const START_PATIENCE: Duration = Duration::from_secs(3600);

/// How the daemon is to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose daemon it is.
    pub mode: Mode,
    /// What the command line says of the configuration.
    pub flags: Flags,
    /// With which arguments it is called again to follow itself, at an upgrade; without the name of the program.
    pub arguments: Vec<OsString>,
    /// Whether it leaves the terminal, and how.
    pub background: Option<Background>,
}

/// What became of a process that was to be the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Another process is the daemon, and ready.
    Started {
        /// Its number.
        pid: i32,
    },
    /// It was the daemon, and ended in good order.
    Ended,
}

/// Runs the daemon: here, until it was told to stop and nothing runs any more, or in the background, until it is
/// ready.
///
/// # Errors
/// [`Error`] says what kept it from starting, or from ending in good order. The service manager is told the same.
pub fn daemon(options: Options) -> Result<Outcome, Error> {
    let (manager, unreachable) = match Manager::of_environment() {
        Ok(manager) => (manager, None),
        Err(error) => (Manager::none(), Some(error)),
    };
    let outcome = begin(options, &manager, unreachable);
    if let Err(error) = &outcome {
        manager.failed(&in_full(error), Some(error::errno(error)));
    }
    outcome
}

fn begin(options: Options, manager: &Manager, unreachable: Option<ManagerError>) -> Result<Outcome, Error> {
    let program = upgrade::Program::of_process(options.arguments)?;
    let left = handover::Estate::find()?;
    let mut environment = Environment::of_process(left.as_ref().map_or(options.mode, handover::Estate::mode));
    let settings = config::load(&environment, &options.flags)?;
    let roles = Roles::of(&settings, &environment, left.as_ref())?;
    environment.uid = roles.uid();
    let log = Log::new(&settings, environment.mode, options.background.is_some(), &roles)?;
    if let Some(error) = unreachable {
        warn!(error = in_full(&error), "the service manager is told nothing");
    }
    // Before the fork: the variables name the process that was started.
    let passed = entrance::inherit()?;
    // What takes over from a daemon in the background is there already.
    let background = options.background.as_ref().filter(|_| left.is_none());
    // While a signal ends this as it does any client.
    background.map_or(Ok(()), |background| start::await_turn(background, &settings, &passed))?;
    // Before the first thread, so that all inherit it.
    let blocked = signal::block_all().map_err(Error::Signals)?;
    let ready = match background {
        Some(background) => match start::detach(background, &log, &blocked, (manager, &passed))? {
            Detached::Started { pid } => return Ok(Outcome::Started { pid }),
            Detached::Daemon(ready) => ready,
        },
        None => Readiness::unheard(),
    };
    let (flags, manager) = (options.flags, manager.clone());
    let begun = Begun { program, left, roles, environment, flags, settings, manager, passed };
    let outcome = begun.run(&log, &blocked, &ready);
    if let (Err(error), Some(background)) = (&outcome, &options.background) {
        start::tell_failure(error, background, &ready, &log);
    }
    outcome.map(|()| Outcome::Ended)
}

/// What is known of a daemon once it is a process of its own.
struct Begun {
    program: upgrade::Program,
    left: Option<handover::Estate>,
    roles: Roles,
    environment: Environment,
    flags: Flags,
    settings: Settings,
    manager: Manager,
    passed: Passed,
}

impl Begun {
    /// Is the daemon.
    fn run(self, log: &Log, blocked: &Blocked, ready: &Readiness) -> Result<(), Error> {
        let Self { program, left, roles, environment, flags, settings, manager, passed } = self;
        fd::close_all_on_exec().map_err(Error::Descriptors)?;

        roles.prepare(&settings.paths.state_directory, Access::Private)?;
        let group = group(&settings, &environment)?;
        let access = if group.is_some() { Access::Reachable } else { Access::Private };
        roles.prepare(&settings.paths.runtime_directory, access)?;
        log.prepare(&roles)?;
        let (upgraded, is_new) = (upgrade::told(left.as_ref()), left.is_none());
        let (mut hold, launched) = match left {
            Some(left) => (Hold::inherit(left, &settings)?, None),
            None => roles.begin(&settings, group, passed, &program.path)?,
        };
        roles.descend(&settings)?;
        log.open()?;
        // Once is enough: whatever program this process becomes stays in it.
        hold.sandbox = match hold.sandbox.take() {
            None => Some(sandbox::enter(&settings, &environment, &program.path, roles.tasks_are_apart(&settings))?),
            inherited => inherited,
        };
        let inbox = Inbox::new(blocked)?;
        let upgrades = upgrade::Upgrades::new(program, environment.mode, &hold, inbox.notifier(), upgraded);
        let mut life = Lifecycle::new();
        manager.follow(&mut life);
        life.take(Event::Start)?;
        let given = Given { uid: environment.uid, group, is_new, state: life.seen() };
        let organs = {
            let _patience = Extension::begin(&manager, START_PATIENCE);
            Organs::start(&settings, given.clone(), &hold, &inbox, &upgrades, launched)?
        };
        upgrades.replace_runner(organs.runner());
        let reloader = Reloader { environment, flags, log: log.handle(), started: settings.clone() };
        Control::new(inbox, reloader, settings, upgrades, hold, (life, manager)).live(organs, given, ready)
    }
}

/// Tells whether this program could take over from a running daemon, which says what it `expects`; changes nothing.
///
/// # Errors
/// What keeps it from that.
pub fn trial(options: &Options, expects: &str) -> Result<String, Error> {
    handover::Trial::stand(expects, options)?;
    Ok(format!("{}{VERSION}", upgrade::WORD))
}

/// The group that may submit tasks: to a daemon of the whole host alone, and to none that runs tasks as root,
/// for its members would be as good as root.
fn group(settings: &Settings, environment: &Environment) -> Result<Option<u32>, Error> {
    if environment.mode == Mode::User || environment.uid == 0 {
        return Ok(None);
    }
    let name = &settings.api.group;
    let found = nix::unistd::Group::from_name(name)
        .map_err(|source| Error::Group { name: name.clone(), source: source.into() })?;
    if found.is_none() {
        warn!(group = %name, "there is no such group: only root and this user are served");
    }
    Ok(found.map(|group| group.gid.as_raw()))
}

/// One daemon per state, wherever its socket is.
fn lock_state(settings: &Settings) -> Result<Option<Lock>, Error> {
    let paths = &settings.paths;
    if paths.state_directory == paths.runtime_directory {
        return Ok(None);
    }
    Ok(Some(Lock::acquire_without_pid_file(&paths.state_directory, VERSION, now().0)?))
}

fn tell_predecessor(lock: &Lock) {
    if let Ok(record) = lock.predecessor() {
        warn!(pid = record.pid, version = %record.version, "the daemon before this one did not end in good order");
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
