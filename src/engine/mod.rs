//! The one door: commands in, replies and events out.
//!
//! An [`Engine`] owns the store and the executor and is the only writer. [`Command`]s from clients and
//! reports from the runner are taken up together in one *beat*, committed in one transaction, and only then
//! answered and acted on. Time and chance come in from outside, so that a simulator can own them.
//!
//! It must not know HTTP, configuration files, threads' schedules or any runtime.

mod command;
mod handle;
mod reply;
mod settings;

pub use command::{Action, Caller, Command, Query, QueueChange, Selection};
pub use handle::{Envelope, Handle, Message, ReplyTo};
pub use reply::{Detail, Health, Refusal, Reply, RunnerState, Status};
pub use settings::Settings;
