//! The service files for hosts without the package: printed, installed, verified, removed.
//!
//! `texts` are the files that packages ship, with the program's own place in them; `paths` says which places are safe;
//! `plan` what is done for each service manager, in order; `carry` does it, and takes it back where it came to nothing.
//!
//! It must not know how anything is shown, nor the engine's rooms.

mod accounts;
mod carry;
mod error;
mod mark;
mod paths;
mod plan;
mod texts;
mod verify;

use std::path::{Path, PathBuf};

use nix::unistd::{Uid, geteuid};

pub use error::ServiceError;
pub use plan::Step;
pub use texts::File;

use crate::config::{Environment, Mode};

/// Who starts and watches services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// systemd, for the whole host.
    Systemd,
    /// The systemd of a login user.
    SystemdUser,
    /// Scripts as the Linux Standard Base has them.
    Sysv,
    /// OpenRC.
    Openrc,
    /// Apple's; text alone.
    Launchd,
}

impl Manager {
    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::SystemdUser => "systemd-user",
            Self::Sysv => "sysv",
            Self::Openrc => "openrc",
            Self::Launchd => "launchd",
        }
    }

    /// The one that runs this host, as far as this user is concerned.
    #[must_use]
    pub fn detect() -> Option<Self> {
        let all: &[Self] =
            if geteuid().is_root() { &[Self::Systemd, Self::Openrc, Self::Sysv] } else { &[Self::SystemdUser] };
        all.iter().copied().find(|manager| manager.runs_here())
    }

    /// Whether it runs this host.
    fn runs_here(self) -> bool {
        let is_there = |path: &str| Path::new(path).exists();
        match self {
            // sd_booted(3)
            Self::Systemd | Self::SystemdUser => is_there("/run/systemd/system"),
            Self::Openrc => is_there("/run/openrc/softlevel"),
            // Any other first process that goes by scripts.
            Self::Sysv => is_there("/etc/init.d") && !is_there("/run/systemd/system"),
            Self::Launchd => false,
        }
    }

    /// Whose daemon it runs.
    #[must_use]
    pub const fn mode(self) -> Mode {
        match self {
            Self::Systemd | Self::Sysv | Self::Openrc => Mode::System,
            Self::SystemdUser | Self::Launchd => Mode::User,
        }
    }
}

/// A service that is to be, or was: which program, under whom, for whom.
#[derive(Debug, Clone)]
pub struct Service {
    manager: Manager,
    program: PathBuf,
    user: Uid,
    /// Where the files of a login user's own services are.
    user_units: PathBuf,
}

impl Service {
    /// The service that runs `program`, by default this one.
    ///
    /// # Errors
    /// [`ServiceError::Unsafe`] where others could change what it would run, or where a service file cannot name it.
    pub fn new(manager: Manager, program: Option<&Path>) -> Result<Self, ServiceError> {
        let program = match program {
            Some(named) => named.to_owned(),
            None => std::env::current_exe().map_err(|source| ServiceError::Io {
                verb: "find",
                path: "/proc/self/exe".into(),
                source,
            })?,
        };
        paths::nameable(&program)?;
        // The directory above its own: `systemd/user` beside `taskdaemon`.
        let configuration = Environment::of_process(Mode::User).config_directory();
        let user_units = configuration.with_file_name("systemd").join("user");
        Ok(Self { manager, program, user: geteuid(), user_units })
    }

    /// The files, in the order in which they are read.
    #[must_use]
    pub fn files(&self) -> Vec<File> {
        texts::files(self)
    }

    /// What to do to have it, in order.
    ///
    /// # Errors
    /// Where it cannot be installed here, or not safely.
    pub fn installation(&self) -> Result<Vec<Step>, ServiceError> {
        paths::trusted(&self.program, self.user, self.manager.mode())?;
        self.suits()?;
        plan::installation(self)
    }

    /// What to do to be rid of it, in order; nothing where nothing is there.
    ///
    /// # Errors
    /// Where a file is somebody else's, or was changed.
    pub fn removal(&self) -> Result<Vec<Step>, ServiceError> {
        self.suits()?;
        plan::removal(self)
    }

    /// Does what [`Service::installation`] says, and makes sure that the service runs; otherwise takes back what it
    /// wrote. `told` hears of each step once it is done.
    ///
    /// # Errors
    /// What kept it from running.
    pub fn install(&self, steps: &[Step], told: &mut dyn FnMut(&Step)) -> Result<u32, ServiceError> {
        carry::install(self, steps, told)
    }

    /// Does what [`Service::removal`] says.
    ///
    /// # Errors
    /// What kept it from being removed.
    pub fn uninstall(&self, steps: &[Step], told: &mut dyn FnMut(&Step)) -> Result<(), ServiceError> {
        carry::uninstall(steps, told)
    }

    fn suits(&self) -> Result<(), ServiceError> {
        match self.manager {
            Manager::Launchd => Err(ServiceError::TextOnly),
            other if other.runs_here() => Ok(()),
            other => Err(ServiceError::Elsewhere(other.name())),
        }
    }

    /// Whether this user may do it at all; `verb` is what is to be done.
    ///
    /// # Errors
    /// [`ServiceError::NotRoot`] says what to run instead.
    pub fn permit(&self, verb: &'static str) -> Result<(), ServiceError> {
        match (self.manager.mode(), self.user.is_root()) {
            (Mode::System, false) => {
                let Self { manager, program, .. } = self;
                Err(ServiceError::NotRoot { program: program.clone(), verb, manager: manager.name() })
            }
            (Mode::User, true) => Err(ServiceError::RootsOwn),
            (Mode::System, true) | (Mode::User, false) => Ok(()),
        }
    }
}
