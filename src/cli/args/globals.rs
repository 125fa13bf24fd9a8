//! Options that every verb takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

// Options that every verb takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Globals {
    /// The daemon's socket [environment: TASKDAEMON_SOCKET]
    #[arg(long, global = true, display_order = 901, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub(crate) socket: Option<PathBuf>,
    /// The configuration file [environment: TASKDAEMON_CONFIG]
    #[arg(long, global = true, display_order = 902, value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Use this user's own daemon, not the host's
    ///
    /// Without --user and --system it is the host's for root and one's own for others; where that
    /// one has no socket and the other has, the other.
    #[arg(long, global = true, display_order = 903, conflicts_with = "system")]
    pub(crate) user: bool,
    /// Use the host's daemon, not this user's own
    #[arg(long, global = true, display_order = 904)]
    pub(crate) system: bool,
    /// Print JSON: one document, or one line each where output goes on
    #[arg(long, global = true, display_order = 905)]
    pub(crate) json: bool,
    /// When to use colours
    #[arg(long, global = true, display_order = 906, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}
