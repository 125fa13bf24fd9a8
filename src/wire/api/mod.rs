//! The documents of the HTTP interface, shared by the daemon and its clients.
//!
//! [`SubmitRequest`] asks for tasks, [`TaskSummary`] and [`TaskDetail`] show them, [`QueueDocument`],
//! [`ScheduleDocument`], [`EventDocument`] and [`StatusDocument`] the rest; a [`Problem`] says what went wrong.
//! Times are RFC 3339 in UTC with microseconds, durations `*_ms`, sizes `*_bytes`. What clients send is refused
//! where it holds a field that is not known; what the daemon sends may grow.
//!
//! It must not know HTTP, the engine or the store.

mod action;
mod detail;
mod environment;
mod event;
mod health;
mod plain;
mod problem;
mod queue;
mod schedule;
mod schema;
mod secret;
mod status;
mod submission;
mod submit;
mod task;
mod time;
mod umask;
mod upgrade;
mod wait;

#[cfg(test)]
mod tests;

pub use action::{ActRequest, Done, ParametersRequest, PruneRequest, TaskFilter, Verb};
pub use detail::{AttemptDocument, DependencyDocument, RetryDocument, TaskDetail, VariableDocument};
pub use environment::Environment;
pub use event::{EventDocument, EventsPage};
pub use health::{CheckDocument, HealthDocument, LiveDocument, ReadyDocument};
pub use plain::plain;
pub use problem::Problem;
pub use queue::{BreakerDocument, BreakerRequest, QueueDocument, QueueRequest, QueuesPage};
pub use schedule::{ScheduleDocument, ScheduleRequest, SchedulesPage};
pub use secret::looks_secret;
pub use status::{ProgramDocument, ReloadDocument, RunnerDocument, SandboxDocument, SlotsDocument, StatusDocument};
pub use submission::{Fault, TaskDefaults, recurring, submission};
pub use submit::{Accepted, Batch, LimitsRequest, SubmitRequest, TaskRequest};
pub use task::{Order, TaskSummary, TasksPage, exit_code};
pub use time::Time;
pub use umask::Umask;
pub use upgrade::{RunnerUpgradeDocument, UpgradeDocument, UpgradeRequest, UpgradeState};
pub use wait::{WaitLine, WaitMode, WaitRequest};
