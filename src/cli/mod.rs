//! To come.

use std::process::ExitCode;

/// Runs the command line.
pub fn main() -> ExitCode {
    let serve = || {
        crate::runner::serve(crate::sys::fd::take_standard_input()?, nix::unistd::geteuid().as_raw())
            .map_err(std::io::Error::other)
    };
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
