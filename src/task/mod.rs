//! The domain: tasks, their states and their history.
//!
//! [`Spec`] says what runs and how, [`Placement`] when and where; a [`Task`] is both together with
//! its [`State`]; an [`Attempt`] is one execution; every change is an [`Event`].
//!
//! Pure values: this module must not know files, clocks, processes or the network.

mod attempt;
mod bytes;
mod event;
mod id;
mod limits;
mod name;
mod nearest;
mod queue;
mod retry;
mod schedule;
mod signal;
mod size;
mod spec;
mod state;
mod time;

pub use attempt::{Attempt, Claim, Cost, Outcome};
pub use bytes::Bytes;
pub use event::{Event, EventKind};
pub use id::{AttemptKey, TaskId};
pub use limits::Limits;
pub use name::{Key, Label, NameError, QueueName};
pub use nearest::nearest;
pub use queue::{Breaker, BreakerLimits, Mode, Origin, Queue, QueueLimits};
pub use retry::{OnInterrupt, Retry};
pub use schedule::{Missed, Overlap, Rule, Schedule};
pub use signal::{Signal, UnknownSignal};
pub use size::Size;
pub use spec::{Condition, Dependency, Placement, Spec, SpecError, Start, Stop, Submission, Task};
pub use state::{IllegalTransition, Ready, State, Trigger};
pub use time::Timestamp;
