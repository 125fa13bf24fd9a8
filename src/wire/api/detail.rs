//! One task with all that is known of it, its attempts among that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{LimitsRequest, TaskSummary, Time, Umask, looks_secret, schema};
use crate::task::{Attempt, Bytes, Condition, Cost, Dependency, OnInterrupt, Outcome, Retry, Signal, Spec, TaskId};

/// A task with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskDetail {
    /// What a list shows.
    #[serde(flatten)]
    pub summary: TaskSummary,
    /// The working directory.
    #[schema(schema_with = schema::bytes)]
    pub directory: Bytes,
    /// The environment: names, and values only where they were asked for and the name does not look like a secret's.
    pub environment: Vec<VariableDocument>,
    /// The file mode creation mask.
    pub umask: Umask,
    /// The longest time of an attempt, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The first signal when it is asked to end.
    #[schema(schema_with = schema::signal)]
    pub stop_signal: Signal,
    /// How long after it SIGKILL follows, in milliseconds.
    pub grace_ms: u64,
    /// What follows a failure.
    pub retry: RetryDocument,
    /// What follows an interruption.
    #[schema(schema_with = schema::on_interrupt)]
    pub on_interrupt: OnInterrupt,
    /// Ceilings of each attempt.
    pub limits: LimitsRequest,
    /// Added to the scheduling priority.
    pub nice: i32,
    /// Output kept per attempt, in bytes.
    pub output_cap_bytes: u64,
    /// Its attempts, oldest first, at most the newest 1000.
    pub history: Vec<AttemptDocument>,
    /// The tasks that it still waits for.
    pub waits_for_tasks: Vec<DependencyDocument>,
    /// Why it does not run yet, where it is queued.
    pub waits_for: Option<String>,
}

/// How often and when a task that failed runs again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetryDocument {
    /// Executions after the first.
    pub limit: u32,
    /// Wait before the first retry, in milliseconds.
    pub delay_ms: u64,
    /// The longest wait, in milliseconds.
    pub max_delay_ms: u64,
    /// How much of the wait is chance, in percent.
    pub jitter_percent: u8,
}

impl From<&Retry> for RetryDocument {
    fn from(retry: &Retry) -> Self {
        Self {
            limit: retry.limit,
            delay_ms: retry.delay_ms,
            max_delay_ms: retry.max_delay_ms,
            jitter_percent: retry.jitter_percent,
        }
    }
}

/// One variable of a task's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VariableDocument {
    /// Its name.
    #[schema(schema_with = schema::bytes)]
    pub name: Bytes,
    /// Its value, where it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::bytes)]
    pub value: Option<Bytes>,
}

/// A task that another waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DependencyDocument {
    /// Which.
    #[schema(schema_with = schema::task_id)]
    pub id: TaskId,
    /// How it has to end.
    #[schema(schema_with = schema::condition)]
    pub condition: Condition,
}

impl From<Dependency> for DependencyDocument {
    fn from(dependency: Dependency) -> Self {
        Self { id: dependency.on, condition: dependency.condition }
    }
}

/// One execution of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptDocument {
    /// Counts from 1.
    pub attempt: u32,
    /// When it was claimed.
    pub claimed_at: Time,
    /// When its process started.
    pub started_at: Option<Time>,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Its first process.
    pub pid: Option<i32>,
    /// How it ended.
    #[schema(schema_with = schema::outcome)]
    pub outcome: Option<Outcome>,
    /// The exit status for a shell, once it ended.
    pub exit_code: Option<i32>,
    /// What it used.
    #[schema(schema_with = schema::cost)]
    pub cost: Cost,
}

impl From<Attempt> for AttemptDocument {
    fn from(attempt: Attempt) -> Self {
        Self {
            attempt: attempt.number,
            claimed_at: attempt.claimed_at.into(),
            started_at: attempt.started_at.map(Time),
            ended_at: attempt.ended_at.map(Time),
            pid: attempt.pid,
            exit_code: attempt.outcome.as_ref().map(Outcome::exit_code),
            outcome: attempt.outcome,
            cost: attempt.cost,
        }
    }
}

impl TaskDetail {
    /// The detail of a task; `values` asks for the values of its environment.
    #[must_use]
    pub fn new(summary: TaskSummary, spec: Spec, history: Vec<Attempt>, open: Vec<Dependency>, values: bool) -> Self {
        let variable = |(name, value): (Bytes, Bytes)| VariableDocument {
            value: (values && !looks_secret(name.as_bytes())).then_some(value),
            name,
        };
        Self {
            summary,
            directory: spec.directory,
            environment: spec.environment.into_iter().map(variable).collect(),
            umask: Umask(spec.umask),
            timeout_ms: spec.timeout_ms,
            stop_signal: spec.stop.signal,
            grace_ms: spec.stop.grace_ms,
            retry: RetryDocument::from(&spec.retry),
            on_interrupt: spec.on_interrupt,
            limits: LimitsRequest::from(&spec.limits),
            nice: spec.nice,
            output_cap_bytes: spec.output_cap_bytes,
            history: history.into_iter().map(AttemptDocument::from).collect(),
            waits_for_tasks: open.into_iter().map(DependencyDocument::from).collect(),
            waits_for: None,
        }
    }
}
