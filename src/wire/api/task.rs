//! Tasks and attempts as they are shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{LimitsRequest, Time, Umask, looks_secret, schema};
use crate::task::{
    Attempt, Bytes, Condition, Cost, Dependency, Key, Label, OnInterrupt, Outcome, QueueName, Retry, Signal, Spec,
    State, Task, TaskId, Timestamp,
};

/// A task as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskSummary {
    /// Its number.
    #[schema(schema_with = schema::task_id)]
    pub id: TaskId,
    /// The user who submitted it.
    pub owner: u32,
    /// Where it is in its life.
    #[schema(schema_with = schema::state)]
    pub state: State,
    /// Its lane.
    #[schema(schema_with = schema::queue_name)]
    pub queue: QueueName,
    /// Higher runs first.
    pub priority: i32,
    /// How many slots it takes.
    pub slots: u32,
    /// A word to find it by.
    #[schema(schema_with = schema::word)]
    pub label: Option<Label>,
    /// Its deduplication key.
    #[schema(schema_with = schema::word)]
    pub key: Option<Key>,
    /// The recurring task that it is a run of.
    pub schedule: Option<String>,
    /// The command and its arguments.
    #[schema(schema_with = schema::arguments)]
    pub command: Vec<Bytes>,
    /// When it was accepted.
    pub submitted_at: Time,
    /// Not before this.
    pub due: Option<Time>,
    /// When its last attempt started.
    pub started_at: Option<Time>,
    /// When it ended for good.
    pub ended_at: Option<Time>,
    /// Attempts so far.
    pub attempts: u32,
    /// Failures and timeouts since it was accepted or last retried by hand.
    pub failures: u32,
    /// Interruptions since then.
    pub interruptions: u32,
    /// Whether a running attempt was asked to end.
    pub cancelling: bool,
    /// How its last attempt ended.
    #[schema(schema_with = schema::outcome)]
    pub outcome: Option<Outcome>,
    /// The exit status for a shell, once it ended.
    pub exit_code: Option<i32>,
    /// Why it ended, where no attempt tells.
    pub reason: Option<String>,
}

impl TaskSummary {
    /// The summary of a task: what it runs, how its last attempt ended and when that started.
    #[must_use]
    pub fn new(task: Task, argv: Vec<Bytes>, outcome: Option<Outcome>, started_at: Option<Timestamp>) -> Self {
        Self {
            exit_code: exit_code(task.state, outcome.as_ref()),
            id: task.id,
            owner: task.owner,
            state: task.state,
            queue: task.queue,
            priority: task.priority,
            slots: task.slots,
            label: task.label,
            key: task.key,
            schedule: task.schedule,
            command: argv,
            submitted_at: task.submitted_at.into(),
            due: task.due.map(Time),
            started_at: started_at.map(Time),
            ended_at: task.ended_at.map(Time),
            attempts: task.attempts,
            failures: task.failures,
            interruptions: task.interruptions,
            cancelling: task.cancelling,
            outcome,
            reason: task.reason,
        }
    }
}

/// The exit status for a shell: that of the outcome that made the state, else the one usual for the state.
#[must_use]
pub fn exit_code(state: State, outcome: Option<&Outcome>) -> Option<i32> {
    let usual = match state {
        State::Queued | State::Scheduled | State::Held | State::Waiting | State::Running => return None,
        State::Succeeded => 0,
        State::Failed => 1,
        State::TimedOut => Outcome::TimedOut.exit_code(),
        State::Cancelled => Outcome::Cancelled.exit_code(),
        State::Interrupted => Outcome::Interrupted.exit_code(),
    };
    Some(outcome.filter(|outcome| outcome.state() == state).map_or(usual, Outcome::exit_code))
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// From the highest ID down.
    #[default]
    NewestFirst,
    /// From the lowest ID up.
    OldestFirst,
}

/// One page of tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TasksPage {
    /// The tasks. A page may be short, even empty, before the end.
    pub tasks: Vec<TaskSummary>,
    /// The `after` of the next page; none at the end.
    #[schema(schema_with = schema::task_id)]
    pub next: Option<TaskId>,
}

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
