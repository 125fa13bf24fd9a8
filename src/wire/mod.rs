//! What processes say to each other.
//!
//! [`api`] is what clients and the daemon say, in JSON.
//!
//! It must not know sockets, nor what becomes of what is said.

pub mod api;
