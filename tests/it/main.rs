//! Integration tests: one binary, one module per promise or group of promises.

mod api;
mod crowd;
mod disk;
mod cli;
mod house_rules;
mod layers;
mod process;
mod queues;
mod recover;
mod source;
mod support;
mod tasks;
