//! What processes say to each other: plain data, no I/O.
//!
//! [`api`] is what clients and the daemon say, in JSON; [`runner`] is what the daemon and the runner say.
//!
//! It must not know sockets, descriptors or what is done with a message.

pub mod api;
pub mod runner;
