//! `completions` and `man`: what packages and shells want.

use clap::CommandFactory as _;

use super::args::{Arguments, Completions, Man};
use super::exit::Code;
use super::failure::Failure;
use super::manual;
use super::session::Session;

/// Prints a completion script.
pub(super) fn completions(session: &mut Session<'_>, options: &Completions) -> anyhow::Result<Code> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "taskdaemon", &mut script);
    session.output.bytes(&script)?;
    Ok(Code::Success)
}

/// Prints the main page, or writes all.
pub(super) fn man(session: &mut Session<'_>, options: &Man) -> anyhow::Result<Code> {
    let command = manual::commands();
    match &options.directory {
        Some(directory) => {
            manual::pages(&command, directory).map_err(|source| Failure::Write { path: directory.clone(), source })?
        }
        None => {
            let mut page = Vec::new();
            manual::page(&command, &mut page)?;
            session.output.bytes(&page)?;
        }
    }
    Ok(Code::Success)
}
