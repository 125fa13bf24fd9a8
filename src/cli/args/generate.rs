//! What packages and shells want.

use std::path::PathBuf;

use clap::Args;

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  taskdaemon completions bash > ~/.local/share/bash-completion/completions/taskdaemon
  taskdaemon completions zsh > ~/.zfunc/_taskdaemon
  taskdaemon completions fish > ~/.config/fish/completions/taskdaemon.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  taskdaemon man | man -l -
  taskdaemon man /usr/share/man/man1      one page per verb";

// For which shell.
#[derive(Debug, Clone, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

// Where the pages go.
#[derive(Debug, Clone, Args)]
pub(crate) struct Man {
    /// An existing directory for the pages of all verbs; without it the main page is printed
    #[arg(value_name = "DIRECTORY", value_hint = clap::ValueHint::DirPath)]
    pub(crate) directory: Option<PathBuf>,
}
