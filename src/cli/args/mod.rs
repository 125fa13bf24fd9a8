//! The command line as people type it: [`Arguments`], with one file per group of verbs.
//!
//! Texts, types and defaults only: it must not know the client, the daemon or the clock. What stands above a struct
//! of options is an ordinary comment, because clap takes a doc comment for the help of the verb.

mod daemon;
mod events;
mod generate;
mod globals;
mod list;
mod output;
mod queue;
mod schedule;
mod select;
mod service;
mod submit;
mod task;
mod wait;

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

pub(super) use daemon::{Config, ConfigVerb, Restart, Start, Status, Stop, Upgrade};
pub(super) use events::Events;
pub(super) use generate::{Completions, Man};
pub(super) use globals::{Color, Globals};
pub(super) use list::List;
pub(super) use output::Logs;
pub(super) use queue::{BreakerOptions, Queue, QueueSet, QueueVerb};
pub(super) use schedule::{Schedule, ScheduleAdd, ScheduleVerb};
pub(super) use select::{Narrow, Select};
pub(super) use service::{Kind, Service, ServiceVerb};
pub(super) use submit::{Starts, Submit, Variable};
pub(super) use task::{Policy, Room, Surroundings};
pub(super) use wait::{Act, Prioritise, Prune, SendSignal, Show, Wait};

const EXAMPLES: &str = "\
Examples:
  taskdaemon submit -- make -C /srv/site all      accept a task, print its ID
  taskdaemon submit --wait --timeout 10m -- ./backup.sh
  taskdaemon list                                 what there is
  taskdaemon logs -f 7                            what task 7 writes, as it comes
  taskdaemon wait 7 && echo done                  wait, and exit as the task did

Exit status:
  0 success, 1 failure, 2 wrong usage; 65 malformed input, 66 no such task, queue or schedule,
  69 the daemon does not answer, 74 input or output failed, 75 refused for now (full or stopping),
  76 the daemon answered nonsense, 77 not permitted, 78 wrong configuration, 79 the deadline passed.
  `wait`, `submit --wait` and `submit --follow` exit with the task's own status; `status` with the
  LSB's, `health` by how well the daemon is. See taskdaemon-wait(1), taskdaemon-status(1) and
  taskdaemon-health(1).

Environment:
  TASKDAEMON_SOCKET   the daemon's socket, as --socket
  TASKDAEMON_CONFIG   the configuration file, as --config
  NO_COLOR            no colours unless --color=always";

/// Runs commands in the background, durably.
///
/// One program, the daemon and its client. A task that was accepted survives crashes and upgrades,
/// runs within its limits, is retried as it asks, and can be listed, followed, awaited and cancelled.
#[derive(Debug, Parser)]
#[command(name = "taskdaemon", version, after_help = EXAMPLES, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) globals: Globals,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// The options of one verb by themselves, for [`Arguments::read`].
#[derive(Debug, Parser)]
#[command(disable_help_flag = true)]
struct Alone<Options: Args> {
    #[command(flatten)]
    globals: Globals,
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    /// Reads a command line, the program's name included.
    ///
    /// To describe all the other verbs to the parser takes longer than to submit a task. So a verb that programs call
    /// often, or that somebody waits for at each boot, is read alone where it stands first. What is wrong with it is for
    /// the whole parser to say.
    ///
    /// # Errors
    /// What is wrong, or the help or version that was asked for.
    pub(super) fn read(line: &[OsString]) -> Result<Self, clap::Error> {
        Self::alone(line.get(1..).unwrap_or_default()).map_or_else(|| Self::try_parse_from(line), Ok)
    }

    /// Reads a verb and what follows it, where the verb is one that is read alone, and nothing is wrong.
    fn alone(line: &[OsString]) -> Option<Self> {
        match line.first()?.to_str()? {
            "submit" => Self::one(line, |submit| Verb::Submit(Box::new(submit))),
            "list" | "ls" => Self::one(line, Verb::List),
            "show" => Self::one(line, Verb::Show),
            "logs" => Self::one(line, Verb::Logs),
            "wait" => Self::one(line, Verb::Wait),
            "cancel" => Self::one(line, Verb::Cancel),
            "start" => Self::one(line, Verb::Start),
            "status" => Self::one(line, Verb::Status),
            _ => None,
        }
    }

    fn one<Options: Args>(line: &[OsString], verb: impl FnOnce(Options) -> Verb) -> Option<Self> {
        let Alone { globals, options } = Alone::try_parse_from(line).ok()?;
        Some(Self { globals, verb: verb(options) })
    }
}

/// What is to be done.
#[derive(Debug, Subcommand)]
// Only the verb that was typed pays for its options: `submit` is to cost no more than a process.
#[command(defer = true)]
pub(super) enum Verb {
    /// Submit a command, or a batch of them, and print the task's ID
    #[command(after_help = submit::EXAMPLES)]
    Submit(Box<Submit>),
    /// List tasks
    #[command(visible_alias = "ls", after_help = list::EXAMPLES)]
    List(List),
    /// Show all that is known of tasks
    #[command(after_help = wait::SHOW_EXAMPLES)]
    Show(Show),
    /// Print what a task wrote
    #[command(after_help = output::EXAMPLES)]
    Logs(Logs),
    /// Wait until tasks have ended, and exit as they did
    #[command(after_help = wait::EXAMPLES)]
    Wait(Wait),
    /// Cancel tasks that have not ended; running ones are stopped with their grace
    #[command(after_help = select::CANCEL_EXAMPLES)]
    Cancel(Act),
    /// Send a signal to running tasks
    #[command(after_help = wait::SIGNAL_EXAMPLES)]
    Signal(SendSignal),
    /// Run ended tasks again
    #[command(after_help = select::RETRY_EXAMPLES)]
    Retry(Act),
    /// Keep back tasks that have not started
    #[command(after_help = select::HOLD_EXAMPLES)]
    Hold(Act),
    /// Let go tasks that are held, or scheduled for later
    #[command(after_help = select::RELEASE_EXAMPLES)]
    Release(Act),
    /// Change the priority of tasks that have not started
    #[command(after_help = wait::PRIORITISE_EXAMPLES)]
    Prioritise(Prioritise),
    /// Remove ended tasks with their output
    #[command(after_help = select::REMOVE_EXAMPLES)]
    Rm(Act),
    /// Remove ended tasks by age, state or number
    #[command(after_help = wait::PRUNE_EXAMPLES)]
    Prune(Prune),
    /// Handle queues
    #[command(after_help = queue::EXAMPLES)]
    Queue(Queue),
    /// Handle recurring tasks
    #[command(after_help = schedule::EXAMPLES)]
    Schedule(Schedule),
    /// Print what happened, oldest first
    #[command(after_help = events::EXAMPLES)]
    Events(Events),
    /// Start the daemon
    #[command(after_help = daemon::START_EXAMPLES)]
    Start(Start),
    /// Tell whether the daemon runs, and how it is
    #[command(after_help = daemon::STATUS_EXAMPLES)]
    Status(Status),
    /// Tell how well the daemon is, check by check, and what to do
    #[command(after_help = daemon::HEALTH_EXAMPLES)]
    Health,
    /// Stop the daemon and return once it is gone
    #[command(after_help = daemon::STOP_EXAMPLES)]
    Stop(Stop),
    /// Stop the daemon and start it again in the background
    #[command(after_help = daemon::RESTART_EXAMPLES)]
    Restart(Restart),
    /// Make the daemon read its configuration again
    #[command(after_help = daemon::RELOAD_EXAMPLES)]
    Reload,
    /// Make the daemon and its runner become a new program, without ending anything
    #[command(after_help = daemon::UPGRADE_EXAMPLES)]
    Upgrade(Upgrade),
    /// Check or show the configuration
    #[command(after_help = daemon::CONFIG_EXAMPLES)]
    Config(Config),
    /// Install the daemon as a service where no package did, or remove it again
    #[command(after_help = service::EXAMPLES)]
    Service(Service),
    /// Print a completion script for a shell
    #[command(after_help = generate::COMPLETIONS_EXAMPLES)]
    Completions(Completions),
    /// Print the manual page, or write all pages to a directory
    #[command(after_help = generate::MAN_EXAMPLES)]
    Man(Man),
}

#[cfg(test)]
mod tests;
