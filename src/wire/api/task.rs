//! Tasks as a list shows them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, schema};
use crate::task::{Bytes, Key, Label, Outcome, QueueName, State, Task, TaskId, Timestamp};

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
