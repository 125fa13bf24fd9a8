//! What a task is: its command, its policy, its place in the queue.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Bytes, Key, Label, Limits, OnInterrupt, QueueName, Retry, Signal, State, TaskId, Timestamp};

/// What runs, and how: checked, and never changed once accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The command and its arguments; the first is found by the task's own `PATH`.
    pub argv: Vec<Bytes>,
    /// The absolute working directory.
    pub directory: Bytes,
    /// The whole environment, as name and value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(Bytes, Bytes)>,
    /// The file mode creation mask, umask(2).
    pub umask: u32,
    /// The longest time that an attempt may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How it is asked to end.
    #[serde(default)]
    pub stop: Stop,
    /// What follows a failure.
    #[serde(default)]
    pub retry: Retry,
    /// What follows an interruption.
    #[serde(default)]
    pub on_interrupt: OnInterrupt,
    /// Ceilings.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// Added to the scheduling priority, -20 to 19; nice(2).
    #[serde(default)]
    pub nice: i32,
    /// Output kept per attempt, in bytes; what is more is thrown away and counted.
    pub output_cap_bytes: u64,
}

/// How a task is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The first signal.
    pub signal: Signal,
    /// How long after it SIGKILL follows, in milliseconds.
    pub grace_ms: u64,
}

impl Default for Stop {
    fn default() -> Self {
        Self { signal: Signal::TERM, grace_ms: 10_000 }
    }
}

/// When and where a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The lane.
    pub queue: QueueName,
    /// Higher runs first; -1000 to 1000.
    pub priority: i32,
    /// How many of the queue's and the host's slots it takes; at least 1.
    pub slots: u32,
    /// A word to find it by.
    pub label: Option<Label>,
    /// Of an owner's tasks that have not ended, one at most has this key.
    pub key: Option<Key>,
    /// Not before this.
    pub start: Start,
    /// Not before these have ended.
    pub after: Vec<Dependency>,
    /// Whether it waits for a release by hand first.
    pub held: bool,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            queue: QueueName::default(),
            priority: 0,
            slots: 1,
            label: None,
            key: None,
            start: Start::Now,
            after: Vec::new(),
            held: false,
        }
    }
}

/// The earliest moment at which a task may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// As soon as there is room.
    Now,
    /// This long after it was accepted.
    After(Duration),
    /// At this time.
    At(Timestamp),
}

/// Another task that has to end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The other task.
    pub on: TaskId,
    /// How it has to end.
    pub condition: Condition,
}

/// How a dependency has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Succeeded; any other end cancels the task that waits.
    Success,
    /// In any way.
    End,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// What runs.
    pub spec: Spec,
    /// When and where.
    pub placement: Placement,
    /// What it reads on standard input; `None` is /dev/null.
    pub stdin: Option<Vec<u8>>,
}

/// A task as the store keeps it, without its [`Spec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its number.
    pub id: TaskId,
    /// The user who submitted it.
    pub owner: u32,
    /// Its lane.
    pub queue: QueueName,
    /// Higher runs first.
    pub priority: i32,
    /// How many slots it takes.
    pub slots: u32,
    /// A word to find it by.
    pub label: Option<Label>,
    /// Its deduplication key.
    pub key: Option<Key>,
    /// The recurring task that submitted it.
    pub schedule: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// Not before this; kept while it is held or waits for others.
    pub due: Option<Timestamp>,
    /// When it ended for good.
    pub ended_at: Option<Timestamp>,
    /// Attempts so far; the last one's number.
    pub attempts: u32,
    /// Failures and timeouts since it was accepted or last retried by hand.
    pub failures: u32,
    /// Interruptions since it was accepted or last retried by hand.
    pub interruptions: u32,
    /// Whether somebody asked a running attempt to end.
    pub cancelling: bool,
    /// Why it ended, where no attempt tells.
    pub reason: Option<String>,
}

/// Why a submission was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// No command.
    #[error("the command is empty")]
    NoCommand,
    /// A NUL byte, which no argument can carry.
    #[error("{0} holds a NUL byte")]
    Nul(&'static str),
    /// More than the kernel takes.
    #[error("arguments and environment take {0} bytes; at most {max} fit", max = Spec::MAX_ARGUMENT_BYTES)]
    TooLong(usize),
    /// A working directory that is not absolute.
    #[error("the directory {0} is not an absolute path")]
    Directory(Bytes),
    /// An environment name that is empty or holds `=`.
    #[error("{0} is not a name for an environment variable")]
    Variable(Bytes),
    /// A number out of its range.
    #[error("{what} is {given}; it must be from {least} to {most}")]
    Range {
        /// Which.
        what: &'static str,
        /// As given.
        given: i64,
        /// The smallest allowed.
        least: i64,
        /// The largest allowed.
        most: i64,
    },
}

impl Spec {
    /// Arguments and environment together; the kernel's own limit is a quarter of the stack limit, 2 MiB, execve(2).
    pub const MAX_ARGUMENT_BYTES: usize = 2_000_000;

    /// Holds every rule that one spec can break by itself.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.argv.first().is_none_or(|command| command.as_bytes().is_empty()) {
            return Err(SpecError::NoCommand);
        }
        no_nul("an argument", self.argv.iter())?;
        no_nul("the directory", std::iter::once(&self.directory))?;
        no_nul("the environment", self.environment.iter().flat_map(|(name, value)| [name, value]))?;
        if !self.directory.as_bytes().starts_with(b"/") {
            return Err(SpecError::Directory(self.directory.clone()));
        }
        for (name, _) in &self.environment {
            if name.as_bytes().is_empty() || name.as_bytes().contains(&b'=') {
                return Err(SpecError::Variable(name.clone()));
            }
        }
        let arguments: usize = self.argv.iter().map(|a| a.as_bytes().len() + 1).sum();
        let environment: usize =
            self.environment.iter().map(|(n, v)| n.as_bytes().len() + v.as_bytes().len() + 2).sum();
        if arguments + environment > Self::MAX_ARGUMENT_BYTES {
            return Err(SpecError::TooLong(arguments + environment));
        }
        range("nice", i64::from(self.nice), -20, 19)?;
        range("umask", i64::from(self.umask), 0, 0o777)?;
        range("the retry limit", i64::from(self.retry.limit), 0, 1_000_000)?;
        range("the retry jitter in percent", i64::from(self.retry.jitter_percent), 0, 100)
    }
}

impl Placement {
    /// Holds every rule that one placement can break by itself.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), SpecError> {
        range("the priority", i64::from(self.priority), -1000, 1000)?;
        range("slots", i64::from(self.slots), 1, 100_000)?;
        range("the number of dependencies", i64::try_from(self.after.len()).unwrap_or(i64::MAX), 0, 1000)
    }
}

fn no_nul<'a>(what: &'static str, mut texts: impl Iterator<Item = &'a Bytes>) -> Result<(), SpecError> {
    if texts.any(|text| text.as_bytes().contains(&0)) { Err(SpecError::Nul(what)) } else { Ok(()) }
}

fn range(what: &'static str, given: i64, least: i64, most: i64) -> Result<(), SpecError> {
    if (least..=most).contains(&given) { Ok(()) } else { Err(SpecError::Range { what, given, least, most }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec {
            argv: vec!["true".into()],
            directory: "/".into(),
            environment: Vec::new(),
            umask: 0o22,
            timeout_ms: None,
            stop: Stop::default(),
            retry: Retry::default(),
            on_interrupt: OnInterrupt::default(),
            limits: Limits::default(),
            nice: 0,
            output_cap_bytes: 1 << 20,
        }
    }

    #[test]
    fn a_plain_command_is_taken() {
        assert_eq!(spec().check(), Ok(()));
        assert_eq!(Placement::default().check(), Ok(()));
    }

    #[test]
    fn what_execve_could_not_take_is_refused() {
        assert_eq!(Spec { argv: vec![], ..spec() }.check(), Err(SpecError::NoCommand));
        assert_eq!(Spec { argv: vec!["a\0b".into()], ..spec() }.check(), Err(SpecError::Nul("an argument")));
        assert!(matches!(Spec { directory: "tmp".into(), ..spec() }.check(), Err(SpecError::Directory(_))));
        let environment = vec![("A=B".into(), "c".into())];
        assert!(matches!(Spec { environment, ..spec() }.check(), Err(SpecError::Variable(_))));
        let argv = vec![Bytes::from(vec![b'x'; 3_000_000])];
        assert!(matches!(Spec { argv, ..spec() }.check(), Err(SpecError::TooLong(_))));
    }

    #[test]
    fn a_stored_spec_reads_back_exactly() {
        let spec = Spec { argv: vec!["x".into(), vec![0xfe].into()], timeout_ms: Some(5), ..spec() };
        let json = serde_json::to_vec(&spec).unwrap();
        assert_eq!(serde_json::from_slice::<Spec>(&json).unwrap(), spec);
    }
}
