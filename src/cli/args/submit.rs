//! Submitting tasks.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::task::{Policy, Room, Surroundings};
use crate::cli::parse;
use crate::task::{Key, TaskId};

pub(super) const EXAMPLES: &str = "\
Examples:
  taskdaemon submit -- rsync -a /srv/ backup:/srv/
  id=$(taskdaemon submit --label nightly --timeout 1h --retries 3 -- ./backup.sh)
  taskdaemon submit --after \"$id\" -- ./report.sh
  taskdaemon submit --at 02:30 -- ./cleanup.sh
  taskdaemon submit --wait --deadline 10m -- make test     exits as the task does
  taskdaemon submit --follow -- ./deploy.sh                prints its output as it comes
  taskdaemon submit --shell 'ls *.log | wc -l'
  taskdaemon submit --stdin data.csv -- ./import
  taskdaemon submit --batch tasks.jsonl                    one JSON document per line

The command runs as it stands: no shell, no splitting, every byte as given. Only the ID goes to standard \
output, once the task is stored for good. A key that a task of one's own still holds gives the ID of that \
task, and says so on standard error.

Durations are 90s, 15m, 2h, 1d, 1h30m; a number alone is seconds. Sizes are 512K, 64M, 2G.

Lines of a batch:
  {\"command\": [\"gzip\", \"/srv/a.log\"], \"label\": \"logs\", \"timeout_ms\": 60000}
  {\"shell\": \"ls | wc -l\", \"directory\": \"/srv\", \"retries\": 3, \"after\": [7]}
  {\"command\": [\"cat\"], \"stdin\": \"hello\", \"environment\": {\"LANG\": \"C\"}}

Each line is one task; its fields are those of the daemon's own document, GET /v1/openapi.json. \
Options given beside --batch hold for lines that do not say otherwise. A line at fault is named with \
its number; the tasks before it may have been accepted, and their IDs are printed.";

// What is submitted.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("waits").multiple(true).args(["wait", "follow"]))]
#[command(group = ArgGroup::new("what").required(true).args(["command", "shell", "batch"]))]
pub(crate) struct Submit {
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
    /// Run this script with /bin/sh -c instead of a command
    #[arg(long, value_name = "SCRIPT")]
    pub(crate) shell: Option<OsString>,
    /// Submit many: one JSON document per line, from a file or `-` for standard input
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) batch: Option<PathBuf>,
    /// Wait until it has ended, and exit as it did
    #[arg(short, long, conflicts_with = "hold")]
    pub(crate) wait: bool,
    /// Print its output as it comes, wait, and exit as it did
    #[arg(short, long, conflicts_with_all = ["batch", "hold"])]
    pub(crate) follow: bool,
    /// With --wait or --follow: give up waiting after this long, with exit status 79; the task goes on
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, requires = "waits")]
    pub(crate) deadline: Option<Duration>,
    #[command(flatten)]
    pub(crate) room: Room,
    #[command(flatten)]
    pub(crate) start: Starts,
    #[command(flatten)]
    pub(crate) policy: Policy,
    #[command(flatten)]
    pub(crate) surroundings: Surroundings,
    /// Give the task a file, or `-` for what is on standard input now, as its standard input
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-",
          conflicts_with = "batch", help_heading = "Surroundings")]
    pub(crate) stdin: Option<PathBuf>,
}

// When the task starts.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Start")]
pub(crate) struct Starts {
    /// Start it this long from now
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, conflicts_with = "at")]
    pub(crate) delay: Option<Duration>,
    /// Start it at this time: HH:MM, `YYYY-MM-DD HH:MM` (local), or RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<parse::Moment>,
    /// Start it once these tasks have succeeded; if one does not, it is cancelled
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    pub(crate) after: Vec<TaskId>,
    /// Start it once these tasks have ended, in whatever way
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    pub(crate) after_any: Vec<TaskId>,
    /// Start it only once it is released by hand
    #[arg(long)]
    pub(crate) hold: bool,
    /// Submit nothing if a task of one's own with this key has not ended yet
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) key: Option<Key>,
}

/// A variable to pass on, or to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: OsString,
    /// Its value; `None` is the one at hand.
    pub(crate) value: Option<OsString>,
}
