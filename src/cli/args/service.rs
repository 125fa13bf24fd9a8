//! The daemon as a service of the host.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

pub(super) const EXAMPLES: &str = "\
Examples:
  sudo taskdaemon service install              for the whole host, under what runs it
  taskdaemon service install systemd-user      for you alone
  taskdaemon service install --dry-run         what would be done
  taskdaemon service print sysv                the init script, to be read
  sudo taskdaemon service uninstall

Where a package installed taskdaemon there is nothing to do: it brings the service along. Without one, install writes \
the same files with the program's own place in them, adds the two users, enables and starts the service, and makes \
sure that it is this program that answers; if it is not, what was written is taken back. Nobody but root, for a \
service of your own you too, may be able to change the program or the directories above it. Uninstall stops the \
service and removes what install wrote, and nothing that was changed since or belongs to a package; the queue, the \
output, the configuration and the users stay.

launchd's file is text alone: it was never tried.";

// What to do with it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Service {
    #[command(subcommand)]
    pub(crate) verb: ServiceVerb,
}

// What to do with it.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ServiceVerb {
    /// Write the service files, start the service, and make sure that it runs
    Install(ServiceChange),
    /// Stop the service and remove its files
    Uninstall(ServiceChange),
    /// Print the service files
    Print(ServicePrint),
}

// Under whom, and whether at all.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServiceChange {
    /// Who runs services; unless given, what runs this host
    #[arg(value_name = "MANAGER", value_enum)]
    pub(crate) manager: Option<Kind>,
    /// The program of the service; unless given, this one
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub(crate) program: Option<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

// For whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServicePrint {
    /// Who runs services; unless given, what runs this host
    #[arg(value_name = "MANAGER", value_enum)]
    pub(crate) manager: Option<Kind>,
    /// The program of the service; unless given, this one
    #[arg(long, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub(crate) program: Option<PathBuf>,
}

// The service managers.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// systemd, for the whole host
    Systemd,
    /// systemd, for yourself
    SystemdUser,
    /// An init script as the Linux Standard Base has it
    Sysv,
    /// OpenRC
    Openrc,
    /// Apple's; printed only, never tried
    Launchd,
}
