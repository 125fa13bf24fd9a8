//! Where configuration, state and sockets are, in system mode and in user mode.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::num::NonZeroU32;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use super::names::AbsolutePath;
use super::source::{Source, Sourced};

/// The name of all directories.
const NAME: &str = "taskdaemon";

/// Whose daemon it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The host's, installed by root.
    System,
    /// One of a login user's own.
    User,
}

/// What the process finds around it.
#[derive(Debug, Clone)]
pub struct Environment {
    /// Whose daemon it is.
    pub mode: Mode,
    /// The numeric ID of the user who runs this process.
    pub uid: u32,
    /// How many cores it may use.
    pub cores: NonZeroU32,
    /// The environment variables.
    pub variables: BTreeMap<OsString, OsString>,
    /// The directory below which all built-in paths are: `/`, except in a test.
    pub root: PathBuf,
}

impl Environment {
    /// What this process finds around it.
    #[must_use]
    pub fn of_process(mode: Mode) -> Self {
        let cores = thread::available_parallelism().ok();
        let cores = cores.and_then(|cores| NonZeroU32::try_from(u32::try_from(cores.get()).ok()?).ok());
        Self {
            mode,
            uid: nix::unistd::geteuid().as_raw(),
            cores: cores.unwrap_or(NonZeroU32::MIN),
            variables: std::env::vars_os().collect(),
            root: PathBuf::from("/"),
        }
    }

    /// A variable that is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.variables.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    /// The directory that holds `config.yml` and `config.d`.
    #[must_use]
    pub fn config_directory(&self) -> PathBuf {
        match self.mode {
            Mode::System => self.root.join("etc").join(NAME),
            Mode::User => self.user_directory("XDG_CONFIG_HOME", ".config"),
        }
    }

    /// The state directory where nothing is configured.
    pub(super) fn state_directory(&self) -> Sourced<AbsolutePath> {
        self.of_service("STATE_DIRECTORY").unwrap_or_else(|| {
            by_default(match self.mode {
                Mode::System => self.root.join("var/lib").join(NAME),
                Mode::User => self.user_directory("XDG_STATE_HOME", ".local/state"),
            })
        })
    }

    /// The runtime directory where nothing is configured.
    pub(super) fn runtime_directory(&self) -> Sourced<AbsolutePath> {
        self.of_service("RUNTIME_DIRECTORY").unwrap_or_else(|| {
            by_default(match self.mode {
                Mode::System => self.root.join("run").join(NAME),
                Mode::User => self.user_runtime_directory(),
            })
        })
    }

    /// The log file where nothing is configured.
    pub(super) fn log_file(&self) -> Sourced<AbsolutePath> {
        let directory = self.of_service("LOGS_DIRECTORY").unwrap_or_else(|| {
            by_default(match self.mode {
                Mode::System => self.root.join("var/log").join(NAME),
                Mode::User => self.user_directory("XDG_STATE_HOME", ".local/state").join("log"),
            })
        });
        Sourced { value: AbsolutePath(directory.value.0.join("daemon.log")), source: directory.source }
    }

    /// Where clients reach the daemon where nothing is configured.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime_directory().value.0.join("control.sock")
    }

    /// A directory that the service manager made, systemd.exec(5); the first of a list.
    fn of_service(&self, name: &'static str) -> Option<Sourced<AbsolutePath>> {
        let list = self.variable(name)?;
        let first = list.as_encoded_bytes().split(|byte| *byte == b':').next()?;
        let path = absolute(OsStr::from_bytes(first))?;
        Some(Sourced { value: AbsolutePath(path.to_owned()), source: Source::Environment(name) })
    }

    /// A directory of the XDG Base Directory Specification, which ignores relative paths.
    fn user_directory(&self, variable: &str, below_home: &str) -> PathBuf {
        let named = self.variable(variable).and_then(absolute).map(Path::to_owned);
        named.unwrap_or_else(|| self.home().join(below_home)).join(NAME)
    }

    /// `$XDG_RUNTIME_DIR`, else `/run/user/UID` where it is ours, else a directory of our own
    /// name below `$TMPDIR`, because that one is everybody's.
    fn user_runtime_directory(&self) -> PathBuf {
        if let Some(named) = self.variable("XDG_RUNTIME_DIR").and_then(absolute) {
            return named.join(NAME);
        }
        let usual = self.root.join("run/user").join(self.uid.to_string());
        if fs::metadata(&usual).is_ok_and(|found| found.is_dir() && found.uid() == self.uid) {
            return usual.join(NAME);
        }
        let temporary = self.variable("TMPDIR").and_then(absolute).map(Path::to_owned);
        let temporary = temporary.unwrap_or_else(|| self.root.join("tmp"));
        temporary.join(format!("{NAME}-{}", self.uid))
    }

    /// `$HOME`, else what the user database says, as a shell would.
    fn home(&self) -> PathBuf {
        if let Some(home) = self.variable("HOME").and_then(absolute) {
            return home.to_owned();
        }
        let user = nix::unistd::User::from_uid(self.uid.into()).ok().flatten();
        user.map_or_else(|| self.root.clone(), |user| user.dir)
    }
}

fn absolute(path: &OsStr) -> Option<&Path> {
    let path = Path::new(path);
    path.is_absolute().then_some(path)
}

fn by_default(path: PathBuf) -> Sourced<AbsolutePath> {
    Sourced { value: AbsolutePath(path), source: Source::Default }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::path::{Path, PathBuf};

    use super::{Environment, Mode};
    use crate::config::source::Source;

    fn environment(mode: Mode, root: &Path, variables: &[(&str, &str)]) -> Environment {
        Environment {
            mode,
            uid: nix::unistd::geteuid().as_raw(),
            cores: NonZeroU32::MIN,
            variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect::<BTreeMap<_, _>>(),
            root: root.to_owned(),
        }
    }

    #[test]
    fn system_mode_uses_the_places_of_the_file_system_hierarchy() {
        let around = environment(Mode::System, Path::new("/"), &[("XDG_STATE_HOME", "/x")]);
        assert_eq!(around.config_directory(), PathBuf::from("/etc/taskdaemon"));
        assert_eq!(around.state_directory().value.0, PathBuf::from("/var/lib/taskdaemon"));
        assert_eq!(around.runtime_directory().value.0, PathBuf::from("/run/taskdaemon"));
        assert_eq!(around.log_file().value.0, PathBuf::from("/var/log/taskdaemon/daemon.log"));
    }

    #[test]
    fn user_mode_follows_xdg_and_ignores_relative_paths() {
        let variables =
            [("HOME", "/home/u"), ("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "s"), ("XDG_RUNTIME_DIR", "/r")];
        let around = environment(Mode::User, Path::new("/"), &variables);
        assert_eq!(around.config_directory(), PathBuf::from("/c/taskdaemon"));
        assert_eq!(around.state_directory().value.0, PathBuf::from("/home/u/.local/state/taskdaemon"));
        assert_eq!(around.runtime_directory().value.0, PathBuf::from("/r/taskdaemon"));
        assert_eq!(around.log_file().value.0, PathBuf::from("/home/u/.local/state/taskdaemon/log/daemon.log"));
    }

    #[test]
    fn without_xdg_runtime_dir_it_is_run_user_where_that_is_ours_else_a_name_of_our_own() {
        let root = tempfile::tempdir().unwrap();
        let around = environment(Mode::User, root.path(), &[("HOME", "/home/u"), ("TMPDIR", "/t")]);
        let own = PathBuf::from(format!("/t/taskdaemon-{}", around.uid));
        assert_eq!(around.runtime_directory().value.0, own);

        let usual = root.path().join("run/user").join(around.uid.to_string());
        std::fs::create_dir_all(&usual).unwrap();
        assert_eq!(around.runtime_directory().value.0, usual.join("taskdaemon"));
    }

    #[test]
    fn the_directories_of_the_service_manager_come_before_the_built_in_ones() {
        let variables =
            [("STATE_DIRECTORY", "/srv/a:/srv/b"), ("RUNTIME_DIRECTORY", "/run/x"), ("LOGS_DIRECTORY", "/srv/l")];
        let around = environment(Mode::System, Path::new("/"), &variables);
        let state = around.state_directory();
        assert_eq!(state.value.0, PathBuf::from("/srv/a"));
        assert_eq!(state.source, Source::Environment("STATE_DIRECTORY"));
        assert_eq!(around.runtime_directory().value.0, PathBuf::from("/run/x"));
        assert_eq!(around.log_file().value.0, PathBuf::from("/srv/l/daemon.log"));
    }
}
