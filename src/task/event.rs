//! What happened, in order.

use serde::{Deserialize, Serialize};

use super::{Outcome, QueueName, State, TaskId, Timestamp};

/// One change, as it is kept and told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the history; counts up by one.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// The task that it is about, or none where it is about a queue.
    pub task: Option<TaskId>,
    /// The user who owns the task.
    pub owner: Option<u32>,
    /// The queue.
    pub queue: QueueName,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The kinds of change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// A task was accepted, in this state.
    Submitted {
        /// Queued, scheduled, held or waiting.
        state: State,
    },
    /// A task became ready, or waits for its time or for others.
    Released {
        /// Queued, scheduled or waiting.
        state: State,
    },
    /// A task was held by hand.
    Held,
    /// An attempt was claimed and is being started.
    Started {
        /// Which.
        attempt: u32,
    },
    /// A claimed attempt never started; the task is queued again, and the attempt does not count.
    Unclaimed {
        /// Which.
        attempt: u32,
    },
    /// A running task was asked to end.
    Cancelling,
    /// An attempt ended; the task goes on in `state`.
    Ended {
        /// Which; 0 where the task ended without one.
        attempt: u32,
        /// How, where there was an attempt.
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
        /// A final state, or queued or scheduled where it runs again.
        state: State,
        /// When it runs again.
        #[serde(skip_serializing_if = "Option::is_none")]
        due: Option<Timestamp>,
        /// Why, where the outcome does not tell.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A signal was sent by hand.
    Signalled {
        /// Its name.
        signal: super::Signal,
    },
    /// An ended task was put back by hand.
    Retried {
        /// Queued, or waiting where it still depends on others.
        state: State,
    },
    /// A task and its output were removed.
    Removed,
    /// A queue was added or its limits were changed.
    QueueChanged,
    /// A queue was removed.
    QueueRemoved,
    /// A queue starts nothing until resumed.
    QueuePaused,
    /// A queue takes nothing in and starts nothing new until resumed.
    QueueDraining,
    /// A queue works again.
    QueueResumed,
    /// Too many failures in a row: the queue pauses by itself until `until`.
    BreakerOpened {
        /// When it probes.
        until: Timestamp,
    },
    /// The cool-down is over: one task is tried.
    BreakerProbing,
    /// The probe succeeded: the queue works again.
    BreakerClosed,
    /// A recurring task submitted a run of itself, or let one pass.
    Recurred {
        /// The recurring task's name.
        schedule: String,
        /// The run, or none where it was skipped.
        run: Option<TaskId>,
    },
}
