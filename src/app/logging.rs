//! Where this service logs, by its configuration and by who started it.

use std::cell::Cell;

use super::{Error, Roles};
use crate::config::{Format, Level, LogTarget, Mode, Settings};
use crate::daemon::Readiness;
use crate::daemon::directory::Access;
use crate::daemon::log::{self, Handle, Style, Target};
use crate::daemon::privileges::{self, Account, Acting};

/// What the service calls itself in journal and syslog.
const IDENTIFIER: &str = "taskdaemon";
/// What stands before the name of each of its fields in the journal.
const PREFIX: &str = "TASKDAEMON_";

/// The daemon's log, which opens once the daemon is who it is to be.
pub(super) struct Log {
    handle: Handle,
    target: Target,
    /// Whose file it is, where root starts the daemon.
    owner: Option<Account>,
    open: Cell<bool>,
}

impl Log {
    /// Keeps what is logged from now on. To be called while standard error is what it was at the start.
    pub(super) fn new(settings: &Settings, mode: Mode, background: bool, roles: &Roles) -> Result<Self, Error> {
        let target = target(settings, mode, background)?;
        let handle = log::install(level(settings.log.level)).map_err(Error::Log)?;
        let log = Self { handle, target, owner: roles.account().cloned(), open: Cell::new(false) };
        if let Target::Stderr(_) = log.target {
            log.open()?;
        }
        if background {
            // Nobody reads its standard error.
            log::log_panics();
        }
        Ok(log)
    }

    /// Makes the directory of the log file where there is none.
    pub(super) fn prepare(&self, roles: &Roles) -> Result<(), Error> {
        match &self.target {
            Target::File { path, .. } => match path.parent() {
                Some(parent) if !parent.exists() => roles.prepare(parent, Access::Private),
                Some(_) | None => Ok(()),
            },
            Target::Stderr(_) | Target::Journal { .. } | Target::Syslog { .. } => Ok(()),
        }
    }

    /// Writes down what was kept, and all that follows.
    pub(super) fn open(&self) -> Result<(), Error> {
        if !self.open.replace(true) {
            let owner = self.owner.as_ref().filter(|_| nix::unistd::geteuid().is_root());
            let acting = owner.map(|owner| privileges::act_as(owner, None)).transpose()?;
            self.handle.open(&self.target)?;
            acting.map_or(Ok(()), Acting::end)?;
        }
        Ok(())
    }

    /// Shows what is logged to whoever waits for the daemon too.
    pub(super) fn show_to(&self, ready: &Readiness) {
        self.handle.show_to(ready.clone());
    }

    /// Whether standard error leads to the log by itself: the journal reads it too.
    pub(super) fn is_standard_error(&self) -> bool {
        matches!(self.target, Target::Journal { .. }) && log::is_started_by_systemd()
    }

    /// For changes while the daemon runs.
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

fn target(settings: &Settings, mode: Mode, background: bool) -> Result<Target, Error> {
    let style = match settings.log.format {
        Format::Text => Style::Text,
        Format::Json => Style::Json,
    };
    let file = || {
        let permissions = match mode {
            Mode::System => 0o640,
            Mode::User => 0o600,
        };
        Target::File { path: settings.log.file.clone(), mode: permissions, style, standard: background }
    };
    let journal = || Target::Journal { identifier: IDENTIFIER.to_owned(), prefix: PREFIX.to_owned() };
    Ok(match settings.log.target {
        LogTarget::Auto if log::is_started_by_systemd() => journal(),
        LogTarget::Auto if background || log::is_given_a_directory() => file(),
        LogTarget::Stderr if background => return Err(Error::NoStderr),
        LogTarget::Auto | LogTarget::Stderr => Target::Stderr(match settings.log.format {
            Format::Text => Style::for_people(),
            Format::Json => Style::Json,
        }),
        LogTarget::File => file(),
        LogTarget::Journal => journal(),
        LogTarget::Syslog => Target::Syslog { identifier: IDENTIFIER.to_owned() },
    })
}

pub(super) fn level(level: Level) -> tracing::level_filters::LevelFilter {
    use tracing::level_filters::LevelFilter;
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}
