//! Waiting for tasks, looking at them, acting on them.

use std::time::Duration;

use clap::{ArgGroup, Args};

use super::{Narrow, Select};
use crate::cli::parse;
use crate::task::{Label, QueueName, Signal, TaskId};

pub(super) const EXAMPLES: &str = "\
Examples:
  taskdaemon wait 7
  taskdaemon wait --deadline 10m 7 8 9
  taskdaemon wait --any 7 8 9                  until the first has ended; prints its ID
  taskdaemon wait --label nightly
  taskdaemon wait --queue mail

Exit status for one task: its own; 128 + n if signal n ended it, 124 if it timed out, 143 if it was \
cancelled, 75 if it was interrupted, 126 or 127 if it could not be started. For several tasks: 0 if all \
succeeded, else 1. With --any: that of the first. 79 if the deadline passed.

With --label, --queue or --all it waits for the tasks that have not ended at that moment; if there are \
none, that is a success. With --label a task that ended otherwise than well before counts as well, so that a \
script may submit under a label of its own and then wait: whatever was quick is not missed.";

pub(super) const SHOW_EXAMPLES: &str = "\
Examples:
  taskdaemon show 7
  taskdaemon show --json 7 | jq .history

Values of variables whose names look like secrets are not shown.";

pub(super) const SIGNAL_EXAMPLES: &str = "\
Examples:
  taskdaemon signal HUP 7
  taskdaemon signal SIGUSR1 --label workers

The signal goes to the processes of the attempt; it does not count as cancelling.";

pub(super) const PRIORITISE_EXAMPLES: &str = "\
Examples:
  taskdaemon prioritise 100 7
  taskdaemon prioritise -10 --label nightly";

pub(super) const PRUNE_EXAMPLES: &str = "\
Examples:
  taskdaemon prune --older-than 7d
  taskdaemon prune --state succeeded --keep 100
  taskdaemon prune --all

Only ended tasks are removed, with their output. The daemon does the same by itself as configured.";

// What to wait for.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(["ids", "labels", "queue", "all"]))]
pub(crate) struct Wait {
    /// IDs of tasks
    #[arg(value_name = "ID", conflicts_with_all = ["labels", "queue", "all"])]
    pub(crate) ids: Vec<TaskId>,
    /// Tasks with this label; may be given again
    #[arg(short, long = "label", value_name = "TEXT")]
    pub(crate) labels: Vec<Label>,
    /// Tasks of this queue
    #[arg(short, long, value_name = "NAME")]
    pub(crate) queue: Option<QueueName>,
    /// All tasks that one may see
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Until the first has ended
    #[arg(long)]
    pub(crate) any: bool,
    /// Give up after this long, with exit status 79
    #[arg(short, long, visible_alias = "timeout", value_name = "DURATION", value_parser = parse::duration)]
    pub(crate) deadline: Option<Duration>,
}

// Which tasks to show.
#[derive(Debug, Clone, Args)]
pub(crate) struct Show {
    /// IDs of tasks
    #[arg(value_name = "ID", required = true)]
    pub(crate) ids: Vec<TaskId>,
    /// Show the values of the environment too, except of names that look like secrets
    #[arg(short, long)]
    pub(crate) environment: bool,
}

// Which tasks to act on.
#[derive(Debug, Clone, Args)]
pub(crate) struct Act {
    #[command(flatten)]
    pub(crate) select: Select,
}

// Which signal, and to which tasks.
// In the order in which they are given: the parser's own usage puts the selection first.
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "taskdaemon signal [OPTIONS] <SIGNAL> <ID|--queue <NAME>|--label <TEXT>|--state <STATE,...>|--all>"
)]
pub(crate) struct SendSignal {
    /// The signal: HUP, SIGHUP or 1
    #[arg(value_name = "SIGNAL")]
    pub(crate) signal: Signal,
    #[command(flatten)]
    pub(crate) select: Select,
}

// Which priority, and for which tasks.
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "taskdaemon prioritise [OPTIONS] <N> <ID|--queue <NAME>|--label <TEXT>|--state <STATE,...>|--all>"
)]
pub(crate) struct Prioritise {
    /// Higher runs first: -1000 to 1000
    #[arg(value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    pub(crate) priority: i32,
    #[command(flatten)]
    pub(crate) select: Select,
}

// Which ended tasks go.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("extent").required(true).multiple(true)
    .args(["older_than", "states", "keep", "queue", "label", "all"]))]
pub(crate) struct Prune {
    #[command(flatten)]
    pub(crate) narrow: Narrow,
    /// Only tasks that ended longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(crate) older_than: Option<Duration>,
    /// Keep the newest N of them
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<u64>,
    /// All ended tasks
    #[arg(short, long)]
    pub(crate) all: bool,
}
