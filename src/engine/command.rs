//! What can be asked of the engine.

use std::time::Duration;

use crate::store::{Draft, EventFilter, Filter, Page};
use crate::task::{AttemptKey, Missed, Mode, Overlap, Placement, QueueLimits, QueueName, Rule, Signal, Spec, TaskId};

/// Who asks, as the kernel told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub uid: u32,
    /// Whether they may handle everybody's tasks, and queues, and the daemon: root and the service's own user.
    pub privileged: bool,
}

/// A request.
#[derive(Debug)]
pub enum Command {
    /// Accepts all of the tasks, whose specifications are checked, or none; answered by [`super::Reply::Accepted`].
    Submit(Vec<Draft>),
    /// Does something to tasks; answered by [`super::Reply::Done`].
    Act(Action, Selection),
    /// Changes a queue; privileged callers only; answered by [`super::Reply::Queues`] with that queue.
    Queue(QueueName, QueueChange),
    /// Adds a recurring task; answered by [`super::Reply::Schedules`] with it.
    AddSchedule {
        /// Its name, one of the caller's.
        name: String,
        /// When it runs; the start of an interval is taken to be now.
        rule: Rule,
        /// What becomes of missed runs.
        missed: Missed,
        /// What becomes of overlapping runs.
        overlap: Overlap,
        /// What runs.
        spec: Box<Spec>,
        /// Where.
        placement: Box<Placement>,
    },
    /// Pauses or resumes a recurring task of the caller's, or of `owner` for a privileged caller.
    PauseSchedule {
        /// Whose; `None` is the caller's.
        owner: Option<u32>,
        /// Its name.
        name: String,
        /// Whether it is to be paused.
        paused: bool,
    },
    /// Removes a recurring task; its runs stay.
    RemoveSchedule {
        /// Whose; `None` is the caller's.
        owner: Option<u32>,
        /// Its name.
        name: String,
    },
    /// Reads; changes nothing.
    Read(Query),
    /// Proves by a commit that the queue can be written, unless one has just done so; from the daemon itself;
    /// answered by [`super::Reply::Status`].
    Examine,
    /// Takes new limits into force; from the daemon itself, never from a client.
    Reconfigure(Box<super::Settings>),
    /// Closes intake, starts nothing more, lets tasks run for `patience`, then ends them; answered by
    /// [`super::Reply::Drained`] once nothing runs. From the daemon itself.
    Shutdown {
        /// How long running tasks may go on.
        patience: Duration,
    },
}

/// What can be done to tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Ends what has not ended; a running attempt is stopped with its grace.
    Cancel,
    /// Sends a signal to running attempts.
    Signal(Signal),
    /// Puts ended tasks back, with fresh counters.
    Retry,
    /// Keeps back what has not started.
    Hold,
    /// Lets go what was held, or is scheduled for later: it becomes ready now.
    Release,
    /// Removes ended tasks with their output.
    Remove,
    /// Changes the priority of what has not started.
    Prioritise(i32),
}

/// Which tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These. One that does not exist, is not the caller's, or cannot take the action fails the whole command.
    Ids(Vec<TaskId>),
    /// A page of those that match; what cannot take the action is passed over.
    /// The caller goes on from `next` of the answer, so that no beat grows without bound.
    Matching(Filter, Page),
}

/// What can be done to a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueChange {
    /// Adds it, or sets its limits.
    Set(QueueLimits),
    /// Opens, pauses or drains it. Opening also closes its breaker.
    Mode(Mode),
    /// Removes it, if no task needs it; a configured one goes back to its configuration.
    Remove,
}

/// What can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// One page of tasks: the caller's, or everybody's for a privileged caller.
    List(Filter, Page),
    /// The states of these tasks, as [`super::Reply::States`]; unknown ones are left out.
    States(Vec<TaskId>),
    /// One task, whole.
    Show(TaskId),
    /// One page of the history.
    Events(EventFilter, usize),
    /// What an attempt wrote; attempt 0 is the last.
    Output(AttemptKey),
    /// Every queue with its counts.
    Queues,
    /// Every recurring task of the caller's, or everybody's.
    Schedules,
    /// The daemon at a glance.
    Status,
    /// The same with every queue, and with what was counted.
    Metrics,
    /// Whether engine and store move, and how much there is to do.
    Pulse,
}
