//! Reading what tasks wrote.

use clap::Args;

use crate::task::TaskId;

pub(super) const EXAMPLES: &str = "\
Examples:
  taskdaemon logs 7                  the latest attempt
  taskdaemon logs --attempt 1 7      the first
  taskdaemon logs -f 7               as it comes, until the attempt ends
  taskdaemon logs --tail 20 7        the last 20 lines

Standard output and standard error of the task, in the order in which they were written, byte for byte. \
Where the output was cut at the task's cap, it says so on standard error.";

// Whose output, and how much.
#[derive(Debug, Clone, Args)]
pub(crate) struct Logs {
    /// ID of the task
    #[arg(value_name = "ID")]
    pub(crate) id: TaskId,
    /// Go on as more is written, until the attempt has ended
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Which attempt, counted from 1; the latest unless given
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempt: Option<u32>,
    /// Only the last N lines
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) tail: Option<usize>,
}
