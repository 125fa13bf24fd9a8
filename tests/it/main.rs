//! Integration tests: one binary, one module per promise or group of promises.

mod house_rules;
mod layers;
mod source;
