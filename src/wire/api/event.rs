//! Events as they are shown: one flat object each, so that a line of a stream is easy to take apart.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, schema, task::exit_code};
use crate::task::{Event, EventKind, Outcome, QueueName, Signal, State, TaskId};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventDocument {
    /// Its place in the history; counts up by one.
    pub seq: i64,
    /// When.
    pub at: Time,
    /// What: a word such as `submitted`, `started`, `ended`.
    pub event: String,
    /// The task that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::task_id)]
    pub task: Option<TaskId>,
    /// The user who owns the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// The queue.
    #[schema(schema_with = schema::queue_name)]
    pub queue: QueueName,
    /// The state that the task is in now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::state)]
    pub state: Option<State>,
    /// The attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// How the attempt ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::outcome)]
    pub outcome: Option<Outcome>,
    /// The exit status for a shell, where the task ended for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When the task runs again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Time>,
    /// When an open breaker probes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// Why, where the outcome does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The signal that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::signal)]
    pub signal: Option<Signal>,
    /// The recurring task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::task_id)]
    pub run: Option<TaskId>,
}

impl From<Event> for EventDocument {
    fn from(event: Event) -> Self {
        let mut document = Self::bare(&event);
        match event.kind {
            EventKind::Submitted { state } => document.change("submitted", state),
            EventKind::Released { state } => document.change("released", state),
            EventKind::Retried { state } => document.change("retried", state),
            EventKind::Held => document.change("held", State::Held),
            EventKind::Started { attempt } => {
                document.attempt = Some(attempt);
                document.change("started", State::Running);
            }
            EventKind::Unclaimed { attempt } => {
                document.attempt = Some(attempt);
                document.change("unclaimed", State::Queued);
            }
            EventKind::Ended { attempt, outcome, state, due, reason } => {
                document.attempt = (attempt > 0).then_some(attempt);
                document.exit_code = exit_code(state, outcome.as_ref());
                document.outcome = outcome;
                document.due = due.map(Time);
                document.reason = reason;
                document.change("ended", state);
            }
            EventKind::Cancelling => document.word("cancelling"),
            EventKind::Signalled { signal } => {
                document.signal = Some(signal);
                document.word("signalled");
            }
            EventKind::Removed => document.word("removed"),
            EventKind::QueueChanged => document.word("queue-changed"),
            EventKind::QueueRemoved => document.word("queue-removed"),
            EventKind::QueuePaused => document.word("queue-paused"),
            EventKind::QueueDraining => document.word("queue-draining"),
            EventKind::QueueResumed => document.word("queue-resumed"),
            EventKind::BreakerOpened { until } => {
                document.until = Some(until.into());
                document.word("breaker-opened");
            }
            EventKind::BreakerProbing => document.word("breaker-probing"),
            EventKind::BreakerClosed => document.word("breaker-closed"),
            EventKind::Recurred { schedule, run } => {
                document.schedule = Some(schedule);
                document.run = run;
                document.word("recurred");
            }
        }
        document
    }
}

impl EventDocument {
    fn bare(event: &Event) -> Self {
        Self {
            seq: event.seq,
            at: event.at.into(),
            event: String::new(),
            task: event.task,
            owner: event.owner,
            queue: event.queue.clone(),
            state: None,
            attempt: None,
            outcome: None,
            exit_code: None,
            due: None,
            until: None,
            reason: None,
            signal: None,
            schedule: None,
            run: None,
        }
    }

    fn word(&mut self, word: &str) {
        word.clone_into(&mut self.event);
    }

    fn change(&mut self, word: &str, state: State) {
        self.word(word);
        self.state = Some(state);
    }
}

/// One page of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventsPage {
    /// The events, oldest first.
    pub events: Vec<EventDocument>,
    /// The `after` of the next page.
    pub next: i64,
}
