//! What the engine answers.

use std::fs::File;
use std::time::Duration;

use super::{Part, Tally};
use crate::daemon::health::{Finding, Level};
use crate::executor::Holds;
use crate::scheduler::calendar::SHORTEST_INTERVAL_MS;
use crate::store::{Counts, EventPage, Listing};
use crate::task::{Attempt, Dependency, Key, Queue, QueueName, Schedule, Size, Spec, State, Task, TaskId, Timestamp};

/// An answer; sent after the commit.
#[derive(Debug)]
pub enum Reply {
    /// The tasks' IDs, in order; the flag says that a task with the same key was there already.
    Accepted(Vec<(TaskId, bool)>),
    /// What the action touched, and where to go on.
    Done {
        /// The tasks that took the action.
        ids: Vec<TaskId>,
        /// The page's last task, where more may match.
        next: Option<TaskId>,
    },
    /// A page of tasks.
    Listing(Listing),
    /// States: the ID, the state, and the exit code for a shell where it ended.
    States(Vec<(TaskId, State, Option<i32>)>),
    /// One task.
    Detail(Box<Detail>),
    /// A page of the history.
    Events(EventPage),
    /// What an attempt wrote.
    Output {
        /// Open for reading, at its start.
        file: File,
        /// Which attempt.
        attempt: u32,
        /// Whether the attempt has ended: nothing more comes.
        ended: bool,
        /// Bytes thrown away past the cap, known once it ended.
        dropped: u64,
    },
    /// Queues with their counts.
    Queues(Vec<(Queue, Counts)>),
    /// Recurring tasks.
    Schedules(Vec<Schedule>),
    /// The daemon.
    Status(Box<Status>),
    /// The daemon in numbers.
    Metrics(Box<Metrics>),
    /// Engine and store move.
    Pulse(super::Pulse),
    /// New settings are in force; these configured queues could not be removed, for tasks need them.
    Reconfigured {
        /// Kept queues.
        kept: Vec<QueueName>,
    },
    /// Nothing runs any more.
    Drained,
}

/// One task with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The task.
    pub task: Task,
    /// What it runs.
    pub spec: Spec,
    /// Its attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// What it still waits for.
    pub open_dependencies: Vec<Dependency>,
    /// Why it does not run yet, as a sentence, where it is queued.
    pub waits_for: Option<String>,
}

/// The link to the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunnerState {
    /// It answers.
    Linked {
        /// Its instance.
        runner: String,
        /// Its process.
        pid: i32,
        /// How it holds attempts.
        holds: Holds,
    },
    /// It does not, and why; queued tasks wait.
    Lost {
        /// A sentence.
        reason: String,
    },
}

/// The daemon at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// How well each part is.
    pub findings: Vec<(Part, Finding)>,
    /// Tasks by state, over all queues.
    pub counts: Counts,
    /// The host's slots: taken, and all.
    pub slots: (u32, u32),
    /// The link to the runner.
    pub runner: RunnerState,
    /// Whether submissions are taken.
    pub intake: bool,
    /// Whether the daemon is on its way out.
    pub stopping: bool,
    /// Free bytes where the state is kept.
    pub free_bytes: u64,
    /// Output bytes kept.
    pub output_bytes: u64,
    /// When the engine started.
    pub since: Timestamp,
    /// The newest event.
    pub last_event: i64,
}

impl Status {
    /// The worst of what was found.
    #[must_use]
    pub fn health(&self) -> Level {
        self.findings.iter().map(|(_, finding)| finding.level).max().unwrap_or(Level::Healthy)
    }

    /// What is not well, as sentences.
    pub fn problems(&self) -> impl Iterator<Item = &str> {
        let ill = self.findings.iter().filter(|(_, finding)| finding.level > Level::Healthy);
        ill.map(|(_, finding)| finding.says.as_str())
    }
}

/// The daemon in numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// At a glance.
    pub status: Status,
    /// How long the first task has waited of the open queue where that is longest.
    pub longest_wait: Option<Duration>,
    /// Every queue with its counts.
    pub queues: Vec<(Queue, Counts)>,
    /// What was counted since the engine began.
    pub tally: Tally,
}

/// Why a command was refused. Nothing of it happened.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No such task, or not the caller's.
    #[error("there is no task {0}")]
    NoTask(TaskId),
    /// No such attempt.
    #[error("task {task} has no attempt {attempt}")]
    NoAttempt {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: u32,
    },
    /// No output of that attempt.
    #[error("the output of task {task}, attempt {attempt}, cannot be read")]
    NoOutput {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: u32,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// No such queue.
    #[error("there is no queue {name}; known are {known}; add one with 'taskdaemon queue set'")]
    NoQueue {
        /// As given.
        name: QueueName,
        /// The others.
        known: String,
    },
    /// No such recurring task.
    #[error("there is no schedule {0:?}")]
    NoSchedule(String),
    /// A recurring task of that name is there already.
    #[error("there is a schedule {0:?} already; remove it first")]
    ScheduleExists(String),
    /// A name that no recurring task can have.
    #[error("schedule name {0:?} must be 1 to 256 bytes without control characters")]
    ScheduleName(String),
    /// The calendar expression is not one.
    #[error("the calendar expression {expression:?} cannot be taken")]
    Calendar {
        /// As given.
        expression: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Runs that would follow each other too closely.
    #[error("an interval is at least {}s", SHORTEST_INTERVAL_MS / 1000)]
    Interval,
    /// A task to wait for does not exist.
    #[error("task {0}, to be waited for, does not exist")]
    NoDependency(TaskId),
    /// The caller may not.
    #[error("only root and the service's user may {0}")]
    Forbidden(&'static str),
    /// The task's state does not allow the action.
    #[error("task {task} is {state} and cannot be {action}")]
    NotNow {
        /// Which.
        task: TaskId,
        /// Where it is in its life.
        state: State,
        /// What was asked, as a participle.
        action: &'static str,
    },
    /// Another task that has not ended has the key by now.
    #[error("task {task} cannot be retried: task {by} has its key {key} by now")]
    KeyTaken {
        /// Which.
        task: TaskId,
        /// The task that has it.
        by: TaskId,
        /// The key.
        key: Key,
    },
    /// The queue takes no more.
    #[error("queue {queue} holds {length} tasks, and {max} is its limit")]
    QueueFull {
        /// Which.
        queue: QueueName,
        /// Tasks that have not ended.
        length: u64,
        /// Its limit.
        max: u64,
    },
    /// The queue is the daemon's own.
    #[error("queue {0} is the daemon's own, for what the configuration has it run; choose another")]
    Reserved(QueueName),
    /// The queue is draining.
    #[error("queue {0} is draining; resume it with 'taskdaemon queue resume {0}'")]
    QueueDraining(QueueName),
    /// The queue cannot be removed.
    #[error("queue {queue} cannot be removed: {why}")]
    QueueNeeded {
        /// Which.
        queue: QueueName,
        /// Why.
        why: &'static str,
    },
    /// The task asks for more than it could ever have.
    #[error("the task asks for {asked} slots, and {} {most}", match queue {
        Some(queue) => format!("queue {queue} has"),
        None => "the host has".to_owned(),
    })]
    TooManySlots {
        /// As given.
        asked: u32,
        /// How many there are.
        most: u32,
        /// The queue, where it is the queue that has no more.
        queue: Option<QueueName>,
    },
    /// The host takes no more.
    #[error("the daemon holds {0} tasks that have not ended, and that is its limit")]
    TooManyTasks(u64),
    /// The disk is nearly full.
    #[error(
        "only {} is free where the queue is kept, and {} has to be; free some and submit again",
        Size(*free),
        Size(*least)
    )]
    DiskFull {
        /// Free bytes.
        free: u64,
        /// What has to be free.
        least: u64,
    },
    /// The daemon is about to stop.
    #[error("the daemon is stopping; submit again once it is back")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A rule that the submission breaks.
    #[error(transparent)]
    Spec(#[from] crate::task::SpecError),
    /// The engine is gone.
    #[error("the engine has stopped")]
    Gone,
}
