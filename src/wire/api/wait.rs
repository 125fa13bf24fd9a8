//! Waiting for tasks to end.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{TaskFilter, schema};
use crate::task::{State, TaskId};

/// What to wait for: `ids`, or those of `filter` that have not ended now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WaitRequest {
    /// These; one that does not exist fails the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::task_ids)]
    pub ids: Option<Vec<TaskId>>,
    /// Those that match and have not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<TaskFilter>,
    /// The longest wait in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Whether all have to end, or one is enough.
    pub mode: WaitMode,
}

/// When a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaitMode {
    /// When all have ended.
    #[default]
    All,
    /// When one has.
    Any,
}

/// One line of the answer to a wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum WaitLine {
    /// First: what is waited for.
    Waiting {
        /// So many tasks, those that have ended already included.
        count: usize,
        /// Which, where a filter was asked for: whoever has to ask again asks for these.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schema(schema_with = schema::task_ids)]
        ids: Vec<TaskId>,
    },
    /// A task has ended for good.
    Ended {
        /// Which.
        #[schema(schema_with = schema::task_id)]
        id: TaskId,
        /// In which state.
        #[schema(schema_with = schema::state)]
        state: State,
        /// The exit status for a shell.
        exit_code: i32,
    },
    /// A task was removed before its end could be told.
    Removed {
        /// Which.
        #[schema(schema_with = schema::task_id)]
        id: TaskId,
    },
    /// Last: what was waited for has ended.
    Done,
    /// Last: the time is over.
    Timeout {
        /// So many have not ended.
        open: usize,
    },
    /// Last: the daemon is stopping; ask again once it is back.
    Stopping {
        /// So many have not ended.
        open: usize,
    },
}
