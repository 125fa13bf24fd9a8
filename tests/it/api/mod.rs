//! The API and its client over a real socket, with an engine that answers from a table.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod clients;
mod fake;
mod output;
mod refusals;
mod routes;
mod streams;
