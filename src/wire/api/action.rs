//! Doing things to tasks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema;
use crate::task::{Label, QueueName, Signal, State, TaskId};

/// Which tasks; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TaskFilter {
    /// Only in one of these states.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(schema_with = schema::states)]
    pub states: Vec<State>,
    /// Only of this queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::queue_name)]
    pub queue: Option<QueueName>,
    /// Only with this label.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::word)]
    pub label: Option<Label>,
    /// Only runs of this recurring task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Only this user's; others than oneself for root and the service's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
}

/// What an action needs beside the tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ParametersRequest {
    /// For `signal`: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::signal)]
    pub signal: Option<Signal>,
    /// For `priority`: the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
}

/// An action on many tasks: `ids` or `filter`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ActRequest {
    /// These; where one cannot take the action, none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::task_ids)]
    pub ids: Option<Vec<TaskId>>,
    /// Those that match; what cannot take the action is passed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<TaskFilter>,
    /// For `signal`: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::signal)]
    pub signal: Option<Signal>,
    /// For `priority`: the new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
}

/// Which ended tasks go, with their output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PruneRequest {
    /// Only those that ended longer ago than this, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_ms: Option<u64>,
    /// The newest of those that match stay, so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u64>,
    /// Which; states that are not ended are refused, and none means all that are.
    pub filter: TaskFilter,
}

/// What an action touched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// How many tasks took it.
    pub count: u64,
    /// Which, at most the first 10,000.
    #[schema(schema_with = schema::task_ids)]
    pub ids: Vec<TaskId>,
}

/// What can be done to tasks, as the last part of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Ends what has not ended.
    Cancel,
    /// Sends a signal to running attempts.
    Signal,
    /// Puts ended tasks back.
    Retry,
    /// Keeps back what has not started.
    Hold,
    /// Lets go what was held or is scheduled for later.
    Release,
    /// Removes ended tasks with their output.
    Remove,
    /// Changes the priority of what has not started.
    Priority,
}

impl Verb {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Signal => "signal",
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Remove => "remove",
            Self::Priority => "priority",
        }
    }
}
