//! Listing tasks.

use std::time::Duration;

use clap::Args;

use super::Narrow;
use crate::cli::parse;

pub(super) const EXAMPLES: &str = "\
Examples:
  taskdaemon list                          tasks that have not ended, and the latest that have
  taskdaemon list --state running,queued
  taskdaemon list --label nightly --limit 0
  taskdaemon list --since 1h --state failed
  taskdaemon list --json | jq '.[].id'

On a terminal it prints a table for people, 50 tasks unless --limit says otherwise. Elsewhere it
prints one line for each task, with these columns, separated by tabs, in this order, in every
version 1.x:
  ID STATE QUEUE PRIORITY ATTEMPTS EXIT SUBMITTED LABEL COMMAND
EXIT is the exit status as `wait` would give it, SUBMITTED is RFC 3339 in UTC, COMMAND is quoted for a \
shell; what is not there is `-`. Newest first; --oldest-first turns it round.";

// What `list` shows.
#[derive(Debug, Clone, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) narrow: Narrow,
    /// Only tasks that have not ended
    #[arg(short, long, conflicts_with = "states")]
    pub(crate) open: bool,
    /// Only runs of this recurring task
    #[arg(long, value_name = "NAME")]
    pub(crate) schedule: Option<String>,
    /// Only tasks submitted within this time, such as 90s, 2h or 1d
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(crate) since: Option<Duration>,
    /// At most this many tasks; 0 is all
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// From the lowest ID up
    #[arg(long)]
    pub(crate) oldest_first: bool,
    /// Print the names of the columns first, also on a pipe
    #[arg(long)]
    pub(crate) header: bool,
}
