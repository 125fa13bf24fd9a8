//! The kernel: processes, signals, descriptors, sockets and `/proc` behind safe functions.
//!
//! [`process`] starts programs and collects their ends, [`procfs`] looks at others, [`pidfd`] holds
//! on to them, [`signal`] takes and sends signals, [`fd`] and [`memfd`] move bytes, [`socket`] passes
//! messages with descriptors, [`peer`] tells who is at their other end, [`fs`] opens private files, [`clock`] reads the time.
//!
//! All `unsafe` of the crate stands here. It must not know tasks, queues, messages or settings.
#![allow(unsafe_code, reason = "the one module that may; each block tells why it is sound")]

pub mod clock;
pub mod fd;
pub mod fs;
pub mod memfd;
pub mod memory;
pub mod peer;
pub mod pidfd;
pub mod process;
pub mod procfs;
pub mod signal;
pub mod socket;
pub mod sqlite;
