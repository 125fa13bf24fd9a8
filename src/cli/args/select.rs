//! Which tasks an action is for.

use clap::{ArgGroup, Args};

use crate::task::{Label, QueueName, State, TaskId};

pub(super) const CANCEL_EXAMPLES: &str = "\
Examples:
  taskdaemon cancel 7 8
  taskdaemon cancel --label nightly
  taskdaemon cancel --queue mail --state queued
  taskdaemon cancel --all

A running task gets its stop signal, and SIGKILL once its grace is over; nothing that it started is \
left behind. IDs that cannot be cancelled fail the command; with filters they are passed over.";

pub(super) const RETRY_EXAMPLES: &str = "\
Examples:
  taskdaemon retry 7
  taskdaemon retry --state failed --queue mail

The task keeps its ID and its earlier attempts; its retries are counted anew.";

pub(super) const HOLD_EXAMPLES: &str = "\
Examples:
  taskdaemon hold 7
  taskdaemon hold --queue mail          what waits in a queue now
  taskdaemon release --label nightly    let go again";

pub(super) const RELEASE_EXAMPLES: &str = "\
Examples:
  taskdaemon release 7
  taskdaemon release --state held

A task that waits for others goes on waiting for them; one that is scheduled for later becomes ready now.";

pub(super) const REMOVE_EXAMPLES: &str = "\
Examples:
  taskdaemon rm 7 8
  taskdaemon rm --state succeeded --label nightly

Only ended tasks can be removed; cancel others first. See also taskdaemon-prune(1).";

// Filters; all that are given must hold.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Narrow {
    /// Only tasks of this queue
    #[arg(short, long, value_name = "NAME")]
    pub(crate) queue: Option<QueueName>,
    /// Only tasks with this label
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) label: Option<Label>,
    /// Only tasks in one of these states
    ///
    /// queued, scheduled, held, waiting, running, succeeded, failed, timed-out, cancelled, interrupted.
    #[arg(short, long = "state", value_name = "STATE,...", value_delimiter = ',')]
    pub(crate) states: Vec<State>,
}

// Tasks by ID, or by filters.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["ids", "queue", "label", "states", "all"]))]
pub(crate) struct Select {
    /// IDs of tasks
    #[arg(value_name = "ID", conflicts_with_all = ["queue", "label", "states", "all"])]
    pub(crate) ids: Vec<TaskId>,
    #[command(flatten)]
    pub(crate) narrow: Narrow,
    /// All tasks that one may handle
    #[arg(short, long)]
    pub(crate) all: bool,
}
