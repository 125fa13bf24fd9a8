//! The real runner in a process of its own, spoken to by the real link.

#![allow(clippy::unwrap_used, reason = "a test")]

mod daemons;
mod endings;
mod host;
mod speed;
mod standby;
mod starts;
mod traffic;
mod upgrades;
