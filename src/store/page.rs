//! What part of the tasks and of the history is asked for, and the answer.

use crate::task::{Event, Label, Outcome, QueueName, Spec, State, Task, TaskId, Timestamp};

/// Which tasks a list shows; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this user's.
    pub owner: Option<u32>,
    /// Only in one of these states; empty is any.
    pub states: Vec<State>,
    /// Only of this queue.
    pub queue: Option<QueueName>,
    /// Only with this label.
    pub label: Option<Label>,
    /// Only runs of this recurring task.
    pub schedule: Option<String>,
}

/// Which part of a list, newest first unless `oldest_first`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only what comes after this task in the list's order.
    pub after: Option<TaskId>,
    /// At most this many.
    pub limit: usize,
    /// From the lowest ID up.
    pub oldest_first: bool,
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The task.
    pub task: Task,
    /// What it runs.
    pub spec: Spec,
    /// How its last attempt ended, if it did.
    pub outcome: Option<Outcome>,
    /// When its last attempt started, if it did.
    pub started_at: Option<Timestamp>,
}

/// One page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The lines.
    pub lines: Vec<Line>,
    /// Where the next page starts after; `None` at the end. A page may be short, even empty, before the end:
    /// the store looks at a bounded number of rows at a time.
    pub next: Option<TaskId>,
}

/// Which events are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those after this one.
    pub after: i64,
    /// Only about this task.
    pub task: Option<TaskId>,
    /// Only about this user's tasks, and about queues.
    pub owner: Option<u32>,
}

/// One page of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events, oldest first.
    pub events: Vec<Event>,
    /// Where the next page starts after; equals the end of the history where nothing more is there now.
    pub next: i64,
}
