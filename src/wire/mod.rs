//! What processes say to one another.
//!
//! [`runner`] holds the messages between the daemon and the runner. Plain data and its encoding: it must
//! not know who keeps it, or where.

pub mod runner;
