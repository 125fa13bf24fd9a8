//! Reading the history.

use clap::Args;

use crate::task::TaskId;

pub(super) const EXAMPLES: &str = "\
Examples:
  taskdaemon events                       all that is kept
  taskdaemon events -f                    from now on
  taskdaemon events -f --after 0          all that is kept, and from now on
  taskdaemon events --task 7
  taskdaemon events -f --json | jq -r 'select(.event == \"ended\") | .task'

Columns, separated by tabs: NUMBER TIME TASK QUEUE EVENT DETAIL. Numbers count up by one: to go on where \
one left off, give the last number to --after.";

// Which events.
#[derive(Debug, Clone, Args)]
pub(crate) struct Events {
    /// Go on as more happens
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only events after this number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) after: Option<i64>,
    /// Only events of this task
    #[arg(long, value_name = "ID")]
    pub(crate) task: Option<TaskId>,
}
