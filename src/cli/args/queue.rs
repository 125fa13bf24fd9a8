//! Handling queues.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::parse;
use crate::task::QueueName;

pub(super) const EXAMPLES: &str = "\
Examples:
  taskdaemon queue list
  taskdaemon queue set mail --slots 2 --max-length 10000
  taskdaemon queue set mail --breaker-failures 5 --breaker-cooldown 1m
  taskdaemon queue pause mail
  taskdaemon queue drain mail      let what runs end, take nothing in
  taskdaemon queue resume mail     also closes the breaker
  taskdaemon queue rm mail

Queues belong to all: only root and the service's own user may change them. What is set here wins over \
the configuration until the queue is removed. \
On a pipe the columns, separated by tabs, are NAME MODE BREAKER RUNNING WAITING ENDED SLOTS MAX-LENGTH.";

// What to do with queues.
#[derive(Debug, Clone, Args)]
pub(crate) struct Queue {
    #[command(subcommand)]
    pub(crate) verb: QueueVerb,
}

// What to do with queues.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum QueueVerb {
    /// List all queues with the numbers of their tasks
    #[command(visible_alias = "ls")]
    List,
    /// Show one queue
    Show(Named),
    /// Add a queue, or change its limits
    #[command(visible_alias = "add")]
    Set(QueueSet),
    /// Start nothing more from it; submissions are still taken
    Pause(Named),
    /// Let it work again
    Resume(Named),
    /// Let what runs end, start nothing more and take nothing in
    Drain(Named),
    /// Remove it; a configured one goes back to its configuration
    Rm(Named),
}

// A queue's name.
#[derive(Debug, Clone, Args)]
pub(crate) struct Named {
    /// Name of the queue
    #[arg(value_name = "QUEUE")]
    pub(crate) name: QueueName,
}

// New limits; what is not given stays.
#[derive(Debug, Clone, Args)]
pub(crate) struct QueueSet {
    /// Name of the queue: 1 to 64 of a-z, 0-9, `.`, `_` and `-`
    #[arg(value_name = "QUEUE")]
    pub(crate) name: QueueName,
    /// Slots that its tasks may take at once, or `none` for the host's
    #[arg(long, visible_alias = "parallelism", value_name = "N", value_parser = parse::limit::<u32>)]
    pub(crate) slots: Option<parse::Limit<u32>>,
    /// Tasks that have not ended, at most, or `none`
    #[arg(long, value_name = "N", value_parser = parse::limit::<u64>)]
    pub(crate) max_length: Option<parse::Limit<u64>>,
    #[command(flatten)]
    pub(crate) breaker: BreakerOptions,
}

// When the queue pauses by itself.
#[derive(Debug, Clone, Args)]
pub(crate) struct BreakerOptions {
    /// Failures in a row after which it pauses by itself, or `none`
    #[arg(long, value_name = "N", value_parser = parse::limit::<u32>)]
    pub(crate) breaker_failures: Option<parse::Limit<u32>>,
    /// How long it then waits before it tries one task
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub(crate) breaker_cooldown: Option<Duration>,
}
