//! `taskdaemon` runs commands in the background, durably.
//!
//! One crate, a library and a thin binary. The modules stand on seven floors and
//! imports only go down; `tests/it/layers.rs` holds the table and fails on any
//! path that climbs or crosses. `ARCHITECTURE.md` tells the whole story.

// Floor 0: words, and the kernel.
pub mod sys;
pub mod task;

// Floor 1: plain data, and the process.
pub mod config;
pub mod daemon;
pub mod wire;

// Floor 2: the organs, ignorant of one another.
pub mod executor;
pub mod runner;
pub mod scheduler;
pub mod store;

// Floor 3: the one door.
pub mod engine;

// Floor 4: the face.
pub mod api;
pub mod client;

// Floor 5: the roof.
pub mod app;

// Floor 6: the command line.
pub mod cli;
