//! What a task may be told, shared by `submit` and `schedule add`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::submit::Variable;
use crate::cli::parse;
use crate::task::{Label, OnInterrupt, QueueName, Signal};

// Where a task runs in the queue.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Place in the queue")]
pub(crate) struct Room {
    /// The queue
    #[arg(short, long, value_name = "NAME")]
    pub(crate) queue: Option<QueueName>,
    /// A word to find the task by; several tasks may share it
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) label: Option<Label>,
    /// Higher runs first: -1000 to 1000
    #[arg(short, long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    pub(crate) priority: i32,
    /// How many of the queue's and the host's slots the task takes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) slots: u32,
}

// What is done when things go wrong, and what the task may use.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Policy {
    /// Stop an attempt that takes longer; it ends as timed-out
    #[arg(short, long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Ends and retries")]
    pub(crate) timeout: Option<Duration>,
    /// The signal that asks it to end
    #[arg(long, value_name = "SIGNAL", help_heading = "Ends and retries")]
    pub(crate) stop_signal: Option<Signal>,
    /// How long after that signal it is killed
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Ends and retries")]
    pub(crate) grace: Option<Duration>,
    /// Run it again so many times when it fails or times out
    #[arg(short, long, value_name = "N", help_heading = "Ends and retries",
          value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub(crate) retries: Option<u32>,
    /// Wait before the first retry; it doubles with each further one
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Ends and retries")]
    pub(crate) retry_delay: Option<Duration>,
    /// The longest wait before a retry
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Ends and retries")]
    pub(crate) retry_max_delay: Option<Duration>,
    /// How much of that wait is chance, in percent
    #[arg(long, value_name = "PERCENT", help_heading = "Ends and retries",
          value_parser = clap::value_parser!(u8).range(..=100))]
    pub(crate) retry_jitter: Option<u8>,
    /// When it is cut off by a crash or a power cut: `retry` it, or `end` it as interrupted
    #[arg(long, value_name = "retry|end", value_parser = parse::on_interrupt, help_heading = "Ends and retries")]
    pub(crate) on_interrupt: Option<OnInterrupt>,
    /// CPU time of an attempt
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, help_heading = "Limits")]
    pub(crate) limit_cpu: Option<Duration>,
    /// Memory, such as 512M: of all its processes under systemd, else address space of each
    #[arg(long, value_name = "SIZE", value_parser = parse::size, help_heading = "Limits")]
    pub(crate) limit_memory: Option<u64>,
    /// Open files of each process
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) limit_files: Option<u64>,
    /// Its processes and threads under systemd, else all of its user
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) limit_processes: Option<u64>,
    /// Size of any file that it writes
    #[arg(long, value_name = "SIZE", value_parser = parse::size, help_heading = "Limits")]
    pub(crate) limit_file_size: Option<u64>,
    /// Output kept of each attempt; what is more is thrown away and counted
    #[arg(long, value_name = "SIZE", value_parser = parse::size, help_heading = "Limits")]
    pub(crate) output_cap: Option<u64>,
    /// Lower (19) or raise (-20) its share of the CPU
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Limits",
          value_parser = clap::value_parser!(i32).range(-20..=19))]
    pub(crate) nice: Option<i32>,
}

// What surrounds the command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Surroundings")]
pub(crate) struct Surroundings {
    /// Pass on a variable, or set it; may be given again
    ///
    /// Without --env-all the task gets PATH, HOME, USER, LOGNAME, SHELL, LANG, LANGUAGE, LC_*, TZ and
    /// TMPDIR from here, where they are set, and what --env names.
    #[arg(short, long = "env", value_name = "NAME[=VALUE]", value_parser = parse::VariableParser)]
    pub(crate) env: Vec<Variable>,
    /// Pass on the whole environment
    #[arg(long)]
    pub(crate) env_all: bool,
    /// The working directory; the one at hand unless given
    #[arg(short = 'C', long, value_name = "PATH", value_hint = clap::ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
    /// The file mode creation mask, in octal; the one at hand unless given
    #[arg(long, value_name = "MASK", value_parser = parse::umask)]
    pub(crate) umask: Option<u32>,
}
