//! The processes of this service, put together: [`daemon`] and [`runner`].
//!
//! Each is told in the order in which it happens. What the parts hold to comes from the configuration,
//! of which each part is given its own section alone.
//!
//! It must not know the command line, nor how anything is shown.

mod control;
mod error;
mod health;
mod hold;
mod organs;
mod sections;
mod upgrade;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::SystemTime;

use tracing::{info, warn};

use crate::config::{self, Environment, Flags, Format, Level, Mode, RootTasks, Settings};
use crate::daemon::directory::{self, Access};
use crate::daemon::{Lock, Phase, log, socket};
use crate::sys::{fd, memory, signal};
use crate::task::Timestamp;

pub use error::Error;
use hold::Hold;

/// What this program calls itself.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The argument that makes this program the runner.
pub const RUNNER: &str = "runner";

/// How the daemon is to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose daemon it is.
    pub mode: Mode,
    /// What the command line says of the configuration.
    pub flags: Flags,
}

/// Runs the daemon in the foreground, until it was told to stop and nothing runs any more.
///
/// # Errors
/// [`Error`] says what kept it from starting, or from ending in good order.
pub fn daemon(options: Options) -> Result<(), Error> {
    let program = upgrade::Program::of_process()?;
    let left = upgrade::Estate::find()?;
    let environment = Environment::of_process(left.as_ref().map_or(options.mode, upgrade::Estate::mode));
    let settings = config::load(&environment, &options.flags)?;
    refuse_root(&settings, &environment)?;
    let log = log::install(level(settings.log.level), style(settings.log.format)).map_err(Error::Log)?;
    // Before the first thread, so that all inherit it.
    let blocked = signal::block_all().map_err(Error::Signals)?;
    fd::close_all_on_exec().map_err(Error::Descriptors)?;

    directory::prepare(&settings.paths.state_directory, Access::Private)?;
    let group = group(&settings, &environment)?;
    let access = if group.is_some() { Access::Reachable } else { Access::Private };
    directory::prepare(&settings.paths.runtime_directory, access)?;
    let inbox = control::Inbox::new(&blocked)?;
    let upgrades = upgrade::Upgrades::new(program, environment.mode, inbox.notifier(), left.as_ref());
    let mut hold = match left {
        Some(left) => Hold::inherit(left, &settings)?,
        None => Hold::acquire(&settings, group)?,
    };
    let given = organs::Given { uid: environment.uid, group };
    let organs = organs::Organs::start(&settings, given, &hold, &inbox, &upgrades)?;
    hold.lock.set_phase(Phase::Running)?;
    if let Err(error) = memory::forget_code() {
        warn!(%error, "what only the start needed stays in memory");
    }
    info!(socket = %settings.paths.socket.display(), slots = settings.host.slots, "ready");

    let reloader = control::Reloader { environment, flags: options.flags, log };
    let socket_path = settings.paths.socket.clone();
    let mut life = control::Life { inbox, reloader, settings, upgrades, hold };
    let end = life.live(organs, given);
    socket::remove(&socket_path);
    drop(life.hold.state_lock);
    life.hold.lock.release()?;
    info!("stopped");
    end
}

/// Tells whether this program could take over from a running daemon, which says what it `expects`; changes nothing.
///
/// # Errors
/// What keeps it from that.
pub fn trial(options: &Options, expects: &str) -> Result<String, Error> {
    upgrade::Trial::stand(expects, options)?;
    Ok(format!("{}{VERSION}", upgrade::WORD))
}

/// Runs the runner: its listening socket is its standard input.
///
/// # Errors
/// [`Error`] where the socket is not one, or the runner cannot do its work.
pub fn runner() -> Result<(), Error> {
    let listener = fd::take_standard_input().map_err(Error::Descriptors)?;
    nix::sys::socket::getsockname::<nix::sys::socket::UnixAddr>(std::os::fd::AsRawFd::as_raw_fd(&listener.as_fd()))
        .map_err(|source| Error::NoListener(source.into()))?;
    memory::forget_code().map_err(Error::Memory)?;
    Ok(crate::runner::serve(listener, nix::unistd::geteuid().as_raw())?)
}

/// Tasks run as whoever runs the daemon: as root only where the configuration says so in words.
fn refuse_root(settings: &Settings, environment: &Environment) -> Result<(), Error> {
    match (environment.uid, settings.security.allow_root_tasks) {
        (0, RootTasks::Refused) => {
            // What stands in the last file that was read wins.
            let read = settings.files().last().map(Path::to_owned);
            let file = read.unwrap_or_else(|| environment.config_directory().join("config.yml"));
            Err(Error::RootTasks { words: RootTasks::Allowed.word(), file })
        }
        (0, RootTasks::Allowed) | (1.., RootTasks::Refused | RootTasks::Allowed) => Ok(()),
    }
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

fn level(level: Level) -> tracing::level_filters::LevelFilter {
    use tracing::level_filters::LevelFilter;
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

fn style(format: Format) -> log::Style {
    match format {
        Format::Text => log::Style::for_people(),
        Format::Json => log::Style::Json,
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
