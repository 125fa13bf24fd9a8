//! The kernel: processes, signals, descriptors, sockets and `/proc` behind safe functions.
//!
//! [`mod@entry`] begins this process, [`process`] starts each [`program`] and collects its end, [`detach`] leaves whoever started this one,
//! [`procfs`] looks at others, [`pidfd`] holds on to them, [`family`] signals all of one program, [`signal`] takes and sends signals, [`fd`],
//! [`pump`] and [`memfd`] move bytes, [`cgroup`] limits and counts what runs together, [`inherit`] leaves descriptors to the next program, [`socket`] passes messages with
//! descriptors, [`peer`] tells who is at their other end, [`events`] waits for many descriptors at once, [`fs`]
//! opens private files, [`clock`] reads the time, [`mod@slice`] has a thread run soon, [`holder`] and [`tcp`] tell who has what is taken, [`usage`] what this
//! process uses, [`user`] changes who it is.
//!
//! All `unsafe` of the crate stands here. It must not know tasks, queues, messages or settings.
#![allow(unsafe_code, reason = "the one module that may; each block tells why it is sound")]

pub mod cgroup;
pub mod clock;
pub mod detach;
pub mod entry;
pub mod events;
pub mod family;
pub mod fd;
pub mod fs;
pub mod holder;
pub mod inherit;
pub mod memfd;
pub mod memory;
pub mod peer;
pub mod pidfd;
pub mod process;
pub mod procfs;
pub mod program;
pub mod pump;
pub mod signal;
pub mod slice;
pub mod socket;
pub mod sqlite;
pub mod tcp;
pub mod usage;
pub mod user;
