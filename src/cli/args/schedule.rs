//! Handling recurring tasks.

use std::ffi::OsString;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

use super::task::{Policy, Room, Surroundings};
use crate::cli::parse;
use crate::task::{Missed, Overlap};

pub(super) const EXAMPLES: &str = "\
Examples:
  taskdaemon schedule add backup --cron '30 2 * * *' -- ./backup.sh
  taskdaemon schedule add report --cron '0 8 * * MON-FRI' --zone Europe/Vienna -- ./report.sh
  taskdaemon schedule add poll --every 5m --overlap skip -- ./poll.sh
  taskdaemon schedule list
  taskdaemon schedule pause backup
  taskdaemon list --schedule backup
  taskdaemon schedule rm backup

Calendar expressions are those of crontab(5), with names such as @daily, and with an optional field for \
seconds in front. \
On a pipe the columns, separated by tabs, are NAME STATE RULE NEXT LAST-RUN QUEUE COMMAND.";

// What to do with recurring tasks.
#[derive(Debug, Clone, Args)]
pub(crate) struct Schedule {
    #[command(subcommand)]
    pub(crate) verb: ScheduleVerb,
}

// What to do with recurring tasks.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ScheduleVerb {
    /// Add a recurring task
    Add(Box<ScheduleAdd>),
    /// List recurring tasks
    #[command(visible_alias = "ls")]
    List,
    /// Let no more runs begin
    Pause(Named),
    /// Let runs begin again
    Resume(Named),
    /// Remove it; its runs stay
    Rm(Named),
}

// A recurring task's name.
#[derive(Debug, Clone, Args)]
pub(crate) struct Named {
    /// Name of the recurring task
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Whose it is, by user ID; root and the service's own user only
    #[arg(long, value_name = "UID")]
    pub(crate) owner: Option<u32>,
}

// A new recurring task.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("rule").required(true).args(["cron", "every"]))]
#[command(group = ArgGroup::new("what").required(true).args(["command", "shell"]))]
pub(crate) struct ScheduleAdd {
    /// Its name, one of your own
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// At the times of a calendar expression, crontab(5)
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) cron: Option<String>,
    /// The calendar's time zone by its IANA name; the host's unless given
    #[arg(long, value_name = "ZONE", requires = "cron")]
    pub(crate) zone: Option<String>,
    /// Each time this long has passed, from now on
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(crate) every: Option<Duration>,
    /// Runs missed while the daemon was away: `skip` them, make up for them `once`, or for `all`
    #[arg(long, value_name = "skip|once|all", value_parser = parse::missed, default_value = "once")]
    pub(crate) missed: Missed,
    /// A run that is due while the one before goes on: `skip` it, `queue` it, or `allow` both
    #[arg(long, value_name = "skip|queue|allow", value_parser = parse::overlap, default_value = "skip")]
    pub(crate) overlap: Overlap,
    /// The command and its arguments
    #[arg(last = true, value_name = "COMMAND", value_hint = clap::ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<OsString>,
    /// Run this script with /bin/sh -c instead of a command
    #[arg(long, value_name = "SCRIPT")]
    pub(crate) shell: Option<OsString>,
    #[command(flatten)]
    pub(crate) room: Room,
    #[command(flatten)]
    pub(crate) policy: Policy,
    #[command(flatten)]
    pub(crate) surroundings: Surroundings,
}
