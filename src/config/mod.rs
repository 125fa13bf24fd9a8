//! Configuration: bytes to [`Settings`].
//!
//! [`load()`] finds the files, reads each into a fragment in which every value is optional and knows
//! its line, merges them with the [`Environment`] and the [`Flags`], and settles the rest by
//! default. [`ConfigError`] holds every fault at once, each with its place. `taskdaemon config
//! check`, the start and a reload all call this one function.
//!
//! It must not know what a value is for: it opens no socket, makes no directory, and whoever uses
//! a section is given that section alone.

mod error;
mod file;
mod leaf;
mod ledger;
mod lists;
mod load;
mod names;
mod places;
mod render;
mod resolve;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod tree;
mod units;
mod words;
mod yaml;

pub use error::{ConfigError, Fault, Reason};
pub use load::{Flags, load};
pub use places::{Environment, Mode};
pub use settings::{
    Api, Effect, Entry, Health, Hooks, Host, Intake, Log, Paths, Retention, Runner, Security, Settings, Store, Tasks,
};
pub use source::{Key, Position, Source};
pub use units::{UnitError, format_duration, format_size, parse_duration, parse_size};
pub use words::{Format, Gains, Level, LogTarget, RootTasks, RunnerStart, Sandbox};
