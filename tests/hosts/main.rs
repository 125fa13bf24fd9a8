//! Stories of an administrator's day, on whole hosts that boot for them: packages, service files, init scripts.
//!
//! `cargo test --test hosts` tells all of them, `… reboot` those with that word in their name, `… systemd_252` those on
//! that host. They need root; elsewhere each says that it was left out.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing to unwrap has failed")]
#![allow(clippy::print_stdout, reason = "what a story says is shown where it fails")]
#![allow(dead_code, reason = "not every story needs everything")]

mod aborted;
mod activation;
mod configuration;
mod elsewhere;
mod everyday;
mod forms;
mod host;
mod life;
mod limits;
mod machine;
mod openrc;
mod package;
mod power;
mod quickstart;
mod repository;
mod rpm;
mod rpm_package;
mod stories;
mod sysv;
mod units;
mod upgrade;
mod version;
mod without_package;
