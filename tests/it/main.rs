//! Integration tests: one binary, one module per promise or group of promises.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing to unwrap has failed")]

mod apart;
mod api;
mod background;
mod cli;
mod crowd;
mod disk;
mod health;
mod hooks;
mod house_rules;
mod layers;
mod library;
mod lock;
mod logs;
mod openmetrics;
mod process;
mod queues;
mod readme;
mod recover;
mod reload;
mod sandbox;
mod service;
mod service_files;
mod soak;
mod source;
mod strangers;
mod support;
mod tasks;
mod upgrade;
mod upgrade_load;
mod users;
