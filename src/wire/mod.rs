//! What processes say to each other: documents and messages, as plain data.
//!
//! [`api`] is what clients and the daemon say, in JSON; [`runner`] is what the daemon and the runner say, in
//! compact messages.
//!
//! It must not know sockets, nor what becomes of what is said.

pub mod api;
pub mod runner;
