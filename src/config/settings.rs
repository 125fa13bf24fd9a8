//! The configuration as the daemon uses it: typed, validated, complete.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::source::{Key, Source};
use super::words::{Format, Gains, Level, LogTarget, RootTasks, RunnerStart, Sandbox};
use crate::task::{Limits, OnInterrupt, QueueLimits, QueueName, Stop};

/// The whole configuration. Each part of the daemon is given its own section, never this.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where things are.
    pub paths: Paths,
    /// What is told.
    pub log: Log,
    /// The daemon as a whole.
    pub host: Host,
    /// What holds for a task that does not say otherwise.
    pub tasks: Tasks,
    /// The queues by name; `default` is always among them.
    pub queues: BTreeMap<QueueName, QueueLimits>,
    /// What is let in.
    pub intake: Intake,
    /// What is kept of finished tasks.
    pub retention: Retention,
    /// The door for clients.
    pub api: Api,
    /// What counts as well, and who is told.
    pub health: Health,
    /// What is run when something happens.
    pub hooks: Hooks,
    /// The database.
    pub store: Store,
    /// The parent of the tasks.
    pub runner: Runner,
    /// Who the processes are, and what they may.
    pub security: Security,
    pub(super) values: Vec<Entry>,
    pub(super) files: Vec<PathBuf>,
}

impl Settings {
    /// Every value with its source, in the order of the documentation.
    #[must_use]
    pub fn values(&self) -> &[Entry] {
        &self.values
    }

    /// The files that were read, in order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(PathBuf::as_path)
    }

    /// The keys that differ from `old` and take effect only when the daemon starts again.
    #[must_use]
    pub fn restart_needed(&self, old: &Self) -> Vec<Key> {
        let of_old: BTreeMap<&Key, &Entry> = old.values.iter().map(|entry| (&entry.key, entry)).collect();
        self.values
            .iter()
            .filter(|entry| entry.effect == Effect::Restart)
            .filter(|entry| of_old.get(&entry.key).is_none_or(|old| old.text != entry.text))
            .map(|entry| entry.key.clone())
            .collect()
    }
}

/// One value as it is shown: its key, what it is, who said so.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value as a configuration file would say it.
    pub text: String,
    /// The value for programs: sizes in bytes, durations in milliseconds, `none` as null.
    pub json: serde_json::Value,
    /// Who said so.
    pub source: Source,
    /// When a change takes effect.
    pub effect: Effect,
}

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// With the reload.
    Reload,
    /// When the daemon starts again.
    Restart,
}

/// Section `paths`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The queue and the output of tasks.
    pub state_directory: PathBuf,
    /// The lock, the PID file and, unless it is elsewhere, the socket.
    pub runtime_directory: PathBuf,
    /// Where clients reach the daemon.
    pub socket: PathBuf,
}

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// How much is told.
    pub level: Level,
    /// How a line is written.
    pub format: Format,
    /// Where it goes.
    pub target: LogTarget,
    /// The file, where it goes to one.
    pub file: PathBuf,
}

/// Section `host`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// How many slots all running tasks may fill together; at least one.
    pub slots: u32,
    /// How long running tasks may go on by themselves when the daemon stops.
    pub stop_grace: Duration,
    /// How long stopping may take in all; longer than `stop_grace`.
    pub shutdown_timeout: Duration,
    /// After how long with nothing to do the daemon leaves, where a service manager keeps its socket.
    pub idle_exit: Option<Duration>,
}

/// Section `tasks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tasks {
    /// How long an attempt may run.
    pub timeout: Option<Duration>,
    /// How it is asked to end.
    pub stop: Stop,
    /// How many bytes of its output are kept.
    pub output_cap: u64,
    /// Its priority for the CPU, setpriority(2): -20 to 19.
    pub nice: i32,
    /// What becomes of it when an attempt was cut off.
    pub on_interrupt: OnInterrupt,
    /// How many attempts may be cut off before it ends as *interrupted*.
    pub interruptions: u32,
    /// Its ceilings.
    pub limits: Limits,
}

/// Section `intake`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intake {
    /// Free bytes on the file system of the state directory below which nothing is accepted.
    pub min_free: u64,
    /// Bytes of the largest request.
    pub max_body: u64,
    /// Bytes of the largest standard input of a task.
    pub max_stdin: u64,
    /// How many tasks that have not ended there may be.
    pub max_tasks: Option<u64>,
}

/// Section `retention`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long a finished task is kept.
    pub max_age: Option<Duration>,
    /// How many finished tasks are kept.
    pub max_tasks: Option<u64>,
    /// How many bytes of output all finished tasks may keep together.
    pub max_output: Option<u64>,
}

/// Section `api`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// How long a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// How long it may take to send the rest.
    pub request_timeout: Duration,
    /// How many clients may be connected.
    pub max_connections: u32,
    /// The group whose members may submit tasks in system mode.
    pub group: String,
}

/// Section `health`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Where health and metrics are told to whoever asks on this host; always a loopback address.
    pub listen: Option<SocketAddr>,
    /// How long a check may take.
    pub timeout: Duration,
    /// Free bytes on the file system of the state directory below which health is degraded.
    pub min_free: u64,
    /// Files that can still be made there below which it is.
    pub min_free_inodes: u64,
    /// How long a task that could start may wait.
    pub max_wait: Option<Duration>,
    /// How long the runner may be away.
    pub runner_away: Duration,
    /// How often the daemon looks by itself, where somebody is to be told.
    pub watch_every: Duration,
}

/// Section `hooks`. A command is a program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Run when a task has failed for good.
    pub failed: Option<Vec<String>>,
    /// In these queues alone; `None` is in all.
    pub failed_queues: Option<BTreeSet<QueueName>>,
    /// Run when health gets worse.
    pub degraded: Option<Vec<String>>,
    /// Run when the daemon has started.
    pub started: Option<Vec<String>>,
    /// Run when the daemon stops.
    pub stopped: Option<Vec<String>>,
    /// How many run at once, beside the slots of the host.
    pub slots: u32,
    /// How many may wait; more are left out.
    pub max_waiting: u32,
    /// How long each may take.
    pub timeout: Duration,
}

/// Section `store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Store {
    /// Bytes of memory for the database's cache.
    pub cache: u64,
}

/// Section `runner`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runner {
    /// Who starts it.
    pub start: RunnerStart,
}

/// Section `security`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// The user that the daemon becomes where root starts it in system mode.
    pub user: String,
    /// The group that goes with it.
    pub group: String,
    /// The user that the runner and the tasks become then.
    pub runner_user: String,
    /// The group that goes with it.
    pub runner_group: String,
    /// Whether the daemon locks itself in.
    pub sandbox: Sandbox,
    /// Whether programs that a task executes may gain rights.
    pub task_privileges: Gains,
    /// Whether tasks may run as root.
    pub allow_root_tasks: RootTasks,
}
