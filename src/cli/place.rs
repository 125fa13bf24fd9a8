//! Which daemon is meant, and where it listens: [`Place`].
//!
//! A client that finds the socket where it usually is reads no configuration.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::num::NonZeroU32;
use std::path::{self, Path, PathBuf};

use super::args::Globals;
use crate::config::{self, ConfigError, Environment, Flags, Mode, Settings};

/// The variables that move the socket away from where it usually is.
const MOVERS: [&str; 2] = ["TASKDAEMON_CONFIG", "TASKDAEMON_RUNTIME_DIRECTORY"];

/// Which daemon is meant.
pub(super) struct Place<'a> {
    globals: &'a Globals,
}

impl<'a> Place<'a> {
    /// The one that the options and the environment name.
    pub(super) const fn new(globals: &'a Globals) -> Self {
        Self { globals }
    }

    /// Where the daemon listens.
    ///
    /// From the first that tells: `--socket`, `$TASKDAEMON_SOCKET`, the configuration where one is named, the usual
    /// place if there is something, the configuration.
    pub(super) fn socket(&self) -> Result<PathBuf, ConfigError> {
        if let Some(path) = &self.globals.socket {
            return Ok(path.clone());
        }
        if let Some(path) = variable("TASKDAEMON_SOCKET") {
            return Ok(path.into());
        }
        if self.globals.config.is_some() || MOVERS.iter().any(|name| variable(name).is_some()) {
            return self.configured_socket();
        }
        let usual = usual_socket(self.mode());
        if usual.exists() {
            return Ok(usual);
        }
        // A configuration that only the daemon may read says nothing to a client.
        Ok(self.configured_socket().unwrap_or(usual))
    }

    /// Where the configuration says that the daemon listens.
    fn configured_socket(&self) -> Result<PathBuf, ConfigError> {
        let variables = std::env::vars_os().collect();
        Ok(config::load(&environment(self.mode(), variables), &self.flags())?.paths.socket)
    }

    /// The whole configuration, as the daemon itself would load it.
    pub(super) fn settings(&self) -> Result<Settings, ConfigError> {
        config::load(&Environment::of_process(self.mode()), &self.flags())
    }

    /// Where the daemon's lock is, for certain, though the configuration cannot be read: none where a file that was
    /// named could have said something else.
    pub(super) fn certain_runtime_directory(&self) -> Option<PathBuf> {
        if let Some(path) = variable("TASKDAEMON_RUNTIME_DIRECTORY") {
            return Some(path.into());
        }
        let named = self.globals.config.is_some() || variable("TASKDAEMON_CONFIG").is_some();
        usual_socket(self.mode()).parent().filter(|_| !named).map(Path::to_owned)
    }

    /// What the command line adds to the configuration.
    pub(super) fn flags(&self) -> Flags {
        Flags { config: self.globals.config.clone(), socket: self.globals.socket.clone(), ..Flags::default() }
    }

    /// The same for a process that leaves its working directory and reads its files again later.
    pub(super) fn absolute_flags(&self) -> io::Result<Flags> {
        let config = self.globals.config.clone().or_else(|| variable("TASKDAEMON_CONFIG").map(PathBuf::from));
        let config = config.map(path::absolute).transpose()?;
        Ok(Flags { config, ..self.flags() })
    }

    /// The arguments that start the same daemon again.
    pub(super) fn start_arguments(&self, flags: &Flags, foreground: bool) -> Vec<OsString> {
        let mut arguments = vec![OsString::from("start")];
        arguments.extend(foreground.then(|| "--foreground".into()));
        arguments.extend(self.globals.user.then(|| "--user".into()));
        arguments.extend(self.globals.system.then(|| "--system".into()));
        for (option, path) in [("--config", &flags.config), ("--socket", &flags.socket)] {
            arguments.extend(path.iter().flat_map(|path| [option.into(), path.clone().into_os_string()]));
        }
        arguments
    }

    /// Whose daemon a client means: see `--user`.
    pub(super) fn mode(&self) -> Mode {
        let own = self.own_mode();
        if self.globals.user || self.globals.system || usual_socket(own).exists() {
            return own;
        }
        let other = match own {
            Mode::System => Mode::User,
            Mode::User => Mode::System,
        };
        if usual_socket(other).exists() { other } else { own }
    }

    /// Whose daemon is started here: as the options say, else the host's by root and one's own by others.
    pub(super) fn own_mode(&self) -> Mode {
        let root = || nix::unistd::geteuid().is_root();
        if self.globals.system || (!self.globals.user && root()) { Mode::System } else { Mode::User }
    }
}

fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The usual place of the socket, found without reading anything.
fn usual_socket(mode: Mode) -> PathBuf {
    let names = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR"];
    let variables: BTreeMap<_, _> =
        names.iter().filter_map(|name| Some((OsString::from(name), variable(name)?))).collect();
    environment(mode, variables).socket()
}

/// What is around as far as paths go; to count the cores would take longer than to submit a task.
fn environment(mode: Mode, variables: BTreeMap<OsString, OsString>) -> Environment {
    Environment {
        mode,
        uid: nix::unistd::geteuid().as_raw(),
        cores: NonZeroU32::MIN,
        variables,
        root: Path::new("/").to_owned(),
    }
}
