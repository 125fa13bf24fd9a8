//! The command line: arguments in, text and an exit status out.
//!
//! [`main`] parses, one file per noun acts, [`output`] alone prints, [`exit`] has every exit status.
//! It must not know the store, the executor or HTTP: what is asked goes through the client.

mod args;
mod describe;
mod environment;
mod exit;
mod human;
mod manual;
mod output;
mod parse;
mod place;
mod quote;
mod request;
mod table;

use std::process::ExitCode;

/// Runs the command line.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
