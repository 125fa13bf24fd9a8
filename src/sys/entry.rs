//! The beginning and the end of this process.
//!
//! Rust's own runtime looks up the first thread's stack in /proc/self/maps and prepares a signal handler that names an
//! overflow of it, at each start of a program. A client lives for a millisecond, and that is a tenth of it; so the C
//! library calls us at once, and what else that runtime does is done here (docs/adr/0018-a-start-of-our-own.md).

use std::ffi::c_int;
use std::io::{self, Write as _};
use std::panic;

use super::{fd, signal};

/// The status after a panic, as Rust programs have it.
const PANICKED: u8 = 101;
/// EX_OSERR of sysexits(3).
const NO_DEVICES: u8 = 71;

/// Begins the program with a function that gives its exit status; for a crate with `#![no_main]`.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[cfg(not(target_env = "gnu"))]
        compile_error!("only the GNU C library gives its arguments to a program that begins by itself");

        #[unsafe(no_mangle)]
        extern "C" fn main() -> ::std::ffi::c_int {
            $crate::sys::entry::run($main)
        }
    };
}

/// Runs `main` with its standard descriptors open and SIGPIPE ignored; the exit status is its own, or 101 where it
/// panicked. What `print!` still keeps is written at the end.
pub fn run(main: fn() -> u8) -> c_int {
    if fd::occupy_standard().is_err() {
        return NO_DEVICES.into();
    }
    signal::ignore_pipe();
    let status = panic::catch_unwind(main).unwrap_or(PANICKED);
    // Where nobody reads it any more there is nobody to tell.
    let _ = io::stdout().flush();
    status.into()
}
