//! Asking for tasks, and being given their IDs.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{Environment, Time, Umask, schema};
use crate::task::{Bytes, Key, Label, Limits, OnInterrupt, QueueName, Signal, TaskId};

/// One task as a client asks for it. What it leaves out comes from the request's `defaults`, then from the daemon's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaskRequest {
    /// The command and its arguments; the first is found by the task's own `PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::arguments)]
    pub command: Option<Vec<Bytes>>,
    /// A line for `/bin/sh -c`, in place of `command`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::bytes)]
    pub shell: Option<Bytes>,
    /// The absolute working directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::bytes)]
    pub directory: Option<Bytes>,
    /// Variables: an object, or a list of `[name, value]`. They are added to those of `defaults` and win over them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::environment)]
    pub environment: Option<Environment>,
    /// The file mode creation mask in octal, such as `"022"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<Umask>,
    /// What it reads on standard input; without it, nothing. Not allowed in `defaults`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::bytes)]
    pub stdin: Option<Bytes>,
    /// The lane; `default` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::queue_name)]
    pub queue: Option<QueueName>,
    /// Higher runs first, -1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// How many of the queue's and the host's slots it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// A word to find it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::word)]
    pub label: Option<Label>,
    /// Deduplication: where a task of the caller's with this key has not ended, its ID is given in place of a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::word)]
    pub key: Option<Key>,
    /// Not before this long after it was accepted, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Not before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// Not before these have succeeded; where one does not, this task is cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::task_ids)]
    pub after: Option<Vec<TaskId>>,
    /// Not before these have ended, in whatever way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::task_ids)]
    pub after_any: Option<Vec<TaskId>>,
    /// Whether it waits for a release by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<bool>,
    /// The longest time that an attempt may take, in milliseconds; 0 is without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The first signal when it is asked to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::signal)]
    pub stop_signal: Option<Signal>,
    /// How long after that signal SIGKILL follows, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    /// Executions after the first that failed or timed out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Wait before the first retry, in milliseconds; it doubles with each further one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_delay_ms: Option<u64>,
    /// The longest wait before a retry, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_max_delay_ms: Option<u64>,
    /// How much of that wait is chance, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_jitter_percent: Option<u8>,
    /// What follows when it is cut off by a crash or a power cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::on_interrupt)]
    pub on_interrupt: Option<OnInterrupt>,
    /// Ceilings of each attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<LimitsRequest>,
    /// Added to the scheduling priority, -20 to 19; nice(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// Output kept per attempt, in bytes; what is more is thrown away and counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_cap_bytes: Option<u64>,
}

/// Ceilings of one attempt, see setrlimit(2); what is left out comes from the daemon's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsRequest {
    /// CPU time in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<u64>,
    /// Address space of each process in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Open files of each process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// Processes of the task's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u64>,
    /// Size of any file that it writes, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
}

impl LimitsRequest {
    /// These limits, completed by `base`.
    #[must_use]
    pub fn over(&self, base: &Limits) -> Limits {
        Limits {
            cpu_seconds: self.cpu_seconds.or(base.cpu_seconds),
            memory_bytes: self.memory_bytes.or(base.memory_bytes),
            open_files: self.open_files.or(base.open_files),
            processes: self.processes.or(base.processes),
            file_bytes: self.file_bytes.or(base.file_bytes),
        }
    }
}

impl From<&Limits> for LimitsRequest {
    fn from(limits: &Limits) -> Self {
        Self {
            cpu_seconds: limits.cpu_seconds,
            memory_bytes: limits.memory_bytes,
            open_files: limits.open_files,
            processes: limits.processes,
            file_bytes: limits.file_bytes,
        }
    }
}

/// Tasks to accept: all of them or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// What each task has unless it says otherwise.
    #[serde(default)]
    pub defaults: TaskRequest,
    /// The tasks; IDs are given in this order.
    pub tasks: Vec<TaskRequest>,
}

/// A [`SubmitRequest`] as it arrives: the tasks are still text, so that each can be named when it is at fault.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch<'a> {
    /// What each task has unless it says otherwise.
    #[serde(default)]
    pub defaults: TaskRequest,
    /// The tasks, each a JSON object.
    #[serde(borrow)]
    pub tasks: Vec<&'a RawValue>,
}

/// The tasks were accepted: they are durable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// Their IDs, in the order of the request.
    #[schema(schema_with = schema::task_ids)]
    pub ids: Vec<TaskId>,
    /// Those of `ids` that were there already, under the same key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = schema::task_ids)]
    pub existing: Vec<TaskId>,
}
