//! Handling the daemon itself.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::cli::parse;

pub(super) const START_EXAMPLES: &str = "\
Examples:
  taskdaemon start                       in the background; returns once it is ready
  taskdaemon start --foreground          for a service manager, or to see what happens
  systemctl start taskdaemon             where the package is installed
  systemctl --user start taskdaemon

In the background the daemon has no terminal and logs as the configuration says, see log.target in
taskdaemon.yml(5). That it is ready means that it answers and has its queue in order; otherwise the last lines
of its log and the reason are printed, and the exit status tells, as they do in the foreground. A daemon that
is on its way out is waited for.
In the foreground the daemon logs to standard error and stays until SIGTERM or SIGINT.";

pub(super) const STATUS_EXAMPLES: &str = "\
Examples:
  taskdaemon status
  taskdaemon status --wait 10 && taskdaemon submit -- ./job
  taskdaemon status --json | jq .state

Exit status, as the Linux Standard Base has it:
  0 it runs, 1 it is dead and left its PID file, 2 it is dead and left its lock, 3 it is stopped,
  4 that cannot be told";

pub(super) const HEALTH_EXAMPLES: &str = "\
Examples:
  taskdaemon health
  taskdaemon health --json | jq '.checks[] | select(.health != \"healthy\")'
  curl --unix-socket /run/taskdaemon/control.sock http://localhost/health
  curl http://127.0.0.1:9779/metrics     where health.listen names that port

Exit status:
  0 healthy, 1 degraded: it works, but something wants attention; 69 unhealthy, or it does not answer";

pub(super) const STOP_EXAMPLES: &str = "\
Examples:
  taskdaemon stop
  taskdaemon stop --grace 2m

Nothing new starts, running tasks may go on until the configured grace is over, then they are ended and \
count as interrupted. Queued tasks stay. If the daemon itself is still there after --grace it is killed; \
it says which of these happened. That none runs is a success. What a daemon that died has left running is \
ended too; `taskdaemon start` takes it over. All of it is gone when this returns.";

pub(super) const RESTART_EXAMPLES: &str = "\
Examples:
  taskdaemon restart
  systemctl restart taskdaemon           where systemd runs it

As `taskdaemon stop`, then `taskdaemon start`: running tasks end. `taskdaemon upgrade` takes a new program up \
and keeps them. A configuration with a fault is told first, and the daemon runs on. The exit status is 0 only \
if the new daemon is ready. A daemon that systemd runs is left to it.";

pub(super) const RELOAD_EXAMPLES: &str = "\
Examples:
  taskdaemon reload

A configuration with a fault leaves the old one in force; the faults are printed and the exit status is \
78. What takes effect only with a restart is said.";

pub(super) const UPGRADE_EXAMPLES: &str = "\
Examples:
  taskdaemon upgrade                     after the package, or you, put a new file in place
  taskdaemon upgrade --binary /usr/bin/taskdaemon.new
  kill -USR2 $(cat /run/taskdaemon/daemon.pid)

The daemon becomes the new program in place, and then so does the runner: the same processes, the same \
sockets. Running tasks go on, and clients that wait or follow notice nothing. The new program is tried out \
first: it has to understand the configuration, the queue and the handover. Where it does not, or cannot be \
executed, the old one stays in charge, and the reason is printed; the exit status is then 78 where the \
configuration is at fault, else 1. From inside its sandbox the daemon reaches programs in its own program's \
directory alone. Where only the runner stays what it was, it is 1 too. \
For root and the service's own user.";

pub(super) const CONFIG_EXAMPLES: &str = "\
Examples:
  taskdaemon config check
  taskdaemon config check --config ./new.yml
  taskdaemon config show
  taskdaemon config show --json | jq .host.slots.value";

// How to start.
#[derive(Debug, Clone, Args)]
pub(crate) struct Start {
    /// Stay in the foreground, log to standard error
    #[arg(short, long)]
    pub(crate) foreground: bool,
    /// Give up if it is not ready after this long
    #[arg(short, long, value_name = "SECONDS", value_parser = parse::duration, default_value = "90", conflicts_with = "foreground")]
    pub(crate) timeout: Duration,
    /// Tell whether this program could take over from the daemon that expects this, and start nothing
    #[arg(long, hide = true, value_name = "EXPECTED")]
    pub(crate) trial: Option<String>,
}

// What to become.
#[derive(Debug, Clone, Args)]
pub(crate) struct Upgrade {
    /// The new program; unless given, the file that the daemon was started from, as it is now
    #[arg(short, long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub(crate) binary: Option<PathBuf>,
}

// How long to look.
#[derive(Debug, Clone, Args)]
pub(crate) struct Status {
    /// Wait up to this long until it answers and is healthy
    #[arg(short, long, value_name = "SECONDS", value_parser = parse::duration)]
    pub(crate) wait: Option<Duration>,
}

// How long to be patient.
#[derive(Debug, Clone, Args)]
pub(crate) struct Stop {
    /// Kill the daemon if it is still there after this long; unless given, 5 s more than its shutdown timeout
    #[arg(short, long, value_name = "SECONDS", value_parser = parse::duration)]
    pub(crate) grace: Option<Duration>,
}

// How long to be patient with the old one, and with the new one.
#[derive(Debug, Clone, Args)]
pub(crate) struct Restart {
    /// Kill the daemon if it is still there after this long; unless given, 5 s more than its shutdown timeout
    #[arg(short, long, value_name = "SECONDS", value_parser = parse::duration)]
    pub(crate) grace: Option<Duration>,
    /// Give up if the new one is not ready after this long
    #[arg(short, long, value_name = "SECONDS", value_parser = parse::duration, default_value = "90")]
    pub(crate) timeout: Duration,
}

// What to do with the configuration.
#[derive(Debug, Clone, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) verb: ConfigVerb,
}

// What to do with the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Read it and print every fault, with file, line and column; exit status 78 if there is one
    Check,
    /// Print every value and where it comes from
    Show,
}
