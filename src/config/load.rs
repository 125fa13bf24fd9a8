//! Finds the files, merges what they, the environment and the flags say, and settles it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{ConfigError, Fault, Reason};
use super::file::{self, Fragment, Maybe, Slot as _};
use super::leaf::Leaf;
use super::names::AbsolutePath;
use super::places::{Environment, Mode};
use super::resolve::{HostDefaults, resolve};
use super::settings::Settings;
use super::source::{Key, Source, Sourced};
use super::words::{Format, Level, RunnerStart, Slots};
use super::yaml::{MAX_BYTES, Value};

/// What the command line says; it has the last word.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: the only file to read.
    pub config: Option<PathBuf>,
    /// `--state-directory`
    pub state_directory: Option<PathBuf>,
    /// `--runtime-directory`
    pub runtime_directory: Option<PathBuf>,
    /// `--socket`
    pub socket: Option<PathBuf>,
    /// `--log-level`
    pub log_level: Option<Level>,
    /// `--log-format`
    pub log_format: Option<Format>,
    /// `--slots`
    pub slots: Option<u32>,
}

/// Reads, merges and validates the whole configuration.
///
/// From the lowest to the highest: the built-in default; `config.yml` and then `config.d/*.yml` of
/// [`Environment::config_directory`], in lexical order; the environment; the flags. A file named by
/// `--config` or `$TASKDAEMON_CONFIG` is read instead of those in the directory.
///
/// The environment is `$TASKDAEMON_STATE_DIRECTORY`, `$TASKDAEMON_RUNTIME_DIRECTORY`,
/// `$TASKDAEMON_SOCKET`, `$TASKDAEMON_LOG_LEVEL`, `$TASKDAEMON_LOG_FILE` and `$TASKDAEMON_RUNNER_START`. The service
/// manager's `$STATE_DIRECTORY`, `$RUNTIME_DIRECTORY` and `$LOGS_DIRECTORY` only stand in for the built-in default:
/// what is configured goes before them.
///
/// # Errors
/// [`ConfigError`] with every fault of every file, variable and flag.
pub fn load(environment: &Environment, flags: &Flags) -> Result<Settings, ConfigError> {
    let mut faults = Vec::new();
    let mut merged = Fragment::default();
    let mut files = Vec::new();
    for candidate in candidates(environment, flags, &mut faults) {
        if let Some(bytes) = candidate.read(environment, &mut faults) {
            merged.merge(file::read(&candidate.path, &bytes, &mut faults));
            files.push(candidate.path.to_path_buf());
        }
    }
    merged.merge(from_environment(environment, &mut faults));
    merged.merge(from_flags(flags, &mut faults));
    let host = HostDefaults {
        state_directory: environment.state_directory(),
        runtime_directory: environment.runtime_directory(),
        log_file: environment.log_file(),
        cores: environment.cores,
    };
    let settings = resolve(merged, host, files, &mut faults);
    if faults.is_empty() { Ok(settings) } else { Err(ConfigError::new(faults)) }
}

/// A file that may be there.
struct Candidate {
    path: Arc<Path>,
    /// Whether somebody named it, so that its absence is a fault.
    named: bool,
}

fn candidates(environment: &Environment, flags: &Flags, faults: &mut Vec<Fault>) -> Vec<Candidate> {
    let variable = || environment.variable("TASKDAEMON_CONFIG").map(PathBuf::from);
    if let Some(path) = flags.config.clone().or_else(variable) {
        return vec![Candidate { path: path.into(), named: true }];
    }
    let directory = environment.config_directory();
    let mut found = vec![Candidate { path: directory.join("config.yml").into(), named: false }];
    let drop_ins = drop_ins(&directory.join("config.d"), environment, faults);
    found.extend(drop_ins.into_iter().map(|path| Candidate { path: path.into(), named: true }));
    found
}

/// The `*.yml` files of `config.d` in lexical order; hidden ones are an editor's, not meant.
fn drop_ins(directory: &Path, environment: &Environment, faults: &mut Vec<Fault>) -> Vec<PathBuf> {
    let listed = fs::metadata(directory).map_err(Reason::Unreadable).and_then(|found| {
        trusted(environment, found.uid(), found.mode())?;
        let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        entries.map_err(Reason::Unreadable)
    });
    let mut paths: Vec<PathBuf> = match listed {
        Ok(entries) => entries.into_iter().map(|entry| entry.path()).collect(),
        Err(Reason::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(reason) => {
            faults.push(whole_file(&Arc::from(directory), reason));
            Vec::new()
        }
    };
    paths.retain(|path| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|extension| extension == "yml")
    });
    paths.sort();
    paths
}

impl Candidate {
    fn read(&self, environment: &Environment, faults: &mut Vec<Fault>) -> Option<Vec<u8>> {
        match self.bytes(environment) {
            Ok(bytes) => Some(bytes),
            Err(Reason::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound && !self.named => None,
            Err(reason) => {
                faults.push(whole_file(&self.path, reason));
                None
            }
        }
    }

    fn bytes(&self, environment: &Environment) -> Result<Vec<u8>, Reason> {
        let file = open(&self.path).map_err(Reason::Unreadable)?;
        let found = file.metadata().map_err(Reason::Unreadable)?;
        if !found.is_file() {
            return Err(Reason::NotAFile);
        }
        trusted(environment, found.uid(), found.mode())?;
        let mut bytes = Vec::new();
        // One byte more than the bound is enough to see that it is exceeded.
        let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        file.take(most).read_to_end(&mut bytes).map_err(Reason::Unreadable)?;
        Ok(bytes)
    }
}

/// Opens without waiting, so that a pipe in the file's place cannot hold the start up.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path)
}

/// Refuses what somebody else could have written: the configuration decides what runs as whom.
fn trusted(environment: &Environment, owner: u32, mode: u32) -> Result<(), Reason> {
    if mode & 0o002 != 0 {
        return Err(Reason::WorldWritable);
    }
    let (ours, wanted) = match environment.mode {
        Mode::System => (owner == 0, "root".to_owned()),
        Mode::User => (owner == 0 || owner == environment.uid, format!("user {} or root", environment.uid)),
    };
    if ours { Ok(()) } else { Err(Reason::ForeignOwner { owner, wanted }) }
}

fn whole_file(path: &Arc<Path>, reason: Reason) -> Fault {
    let source = Source::File { path: Arc::clone(path), position: None };
    Fault { source, key: Key::default(), reason }
}

fn from_environment(environment: &Environment, faults: &mut Vec<Fault>) -> Fragment {
    let mut said = Fragment::default();
    let mut path = |name: &'static str, section: &str, key: &str| {
        let source = Source::Environment(name);
        checked(AbsolutePath::new(Path::new(environment.variable(name)?)), source, &[section, key], faults)
    };
    said.paths.state_directory = path("TASKDAEMON_STATE_DIRECTORY", "paths", "state_directory");
    said.paths.runtime_directory = path("TASKDAEMON_RUNTIME_DIRECTORY", "paths", "runtime_directory");
    said.paths.socket = path("TASKDAEMON_SOCKET", "paths", "socket");
    said.log.file = path("TASKDAEMON_LOG_FILE", "log", "file");
    if let Some(level) = environment.variable("TASKDAEMON_LOG_LEVEL") {
        let level = Level::read(&Value::Text(level.to_string_lossy().into_owned()));
        let source = Source::Environment("TASKDAEMON_LOG_LEVEL");
        said.log.level = checked(level, source, &["log", "level"], faults);
    }
    // A unit that brings a runner of its own along says so here: what an administrator configures stays theirs.
    if let Some(start) = environment.variable("TASKDAEMON_RUNNER_START") {
        let start = RunnerStart::read(&Value::Text(start.to_string_lossy().into_owned()));
        let source = Source::Environment("TASKDAEMON_RUNNER_START");
        said.runner.start = checked(start, source, &["runner", "start"], faults);
    }
    said
}

fn from_flags(flags: &Flags, faults: &mut Vec<Fault>) -> Fragment {
    let mut said = Fragment::default();
    let mut path = |path: &Option<PathBuf>, flag: &'static str, key: &str| {
        checked(AbsolutePath::new(path.as_ref()?), Source::Flag(flag), &["paths", key], faults)
    };
    said.paths.state_directory = path(&flags.state_directory, "--state-directory", "state_directory");
    said.paths.runtime_directory = path(&flags.runtime_directory, "--runtime-directory", "runtime_directory");
    said.paths.socket = path(&flags.socket, "--socket", "socket");
    said.log.level = flags.log_level.map(|value| Sourced { value, source: Source::Flag("--log-level") });
    said.log.format = flags.log_format.map(|value| Sourced { value, source: Source::Flag("--log-format") });
    if let Some(slots) = flags.slots {
        let slots = Slots::read(&Value::Integer(slots.into()));
        said.host.slots = checked(slots, Source::Flag("--slots"), &["host", "slots"], faults);
    }
    said
}

fn checked<T>(value: Result<T, Reason>, source: Source, key: &[&str], faults: &mut Vec<Fault>) -> Maybe<T> {
    match value {
        Ok(value) => Some(Sourced { value, source }),
        Err(reason) => {
            let key = key.iter().fold(Key::default(), |key, part| key.join(part));
            faults.push(Fault { source, key, reason });
            None
        }
    }
}
