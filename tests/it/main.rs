//! Integration tests: one binary, one module per promise or group of promises.

mod cli;
mod house_rules;
mod layers;
mod source;
mod support;
