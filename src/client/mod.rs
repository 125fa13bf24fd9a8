//! The way to a running daemon, for programs that may block.
//!
//! [`Client`] asks over the daemon's socket: one connection, kept open, for what is answered at once.
//! [`Waiting`], [`Events`] and [`Output`] are streams with a connection of their own; they outlive a restart
//! of the daemon and miss nothing. [`ClientError`] says what to do when there is no answer.
//!
//! Plain blocking sockets, for a command that lives a millisecond has no time to set a runtime up.
//! It must not know the daemon's inside: only [`crate::wire::api`].

mod answer;
mod batch;
mod calls;
mod error;
mod events;
mod follow;
mod http;
mod output;
mod target;
mod wait;

pub use answer::Answer;
pub use batch::BatchDone;
pub use calls::Client;
pub use error::ClientError;
pub use events::Events;
pub use follow::Patience;
pub use output::{Output, OutputRequest};
pub use target::ListRequest;
pub use wait::Waiting;

/// What asking comes to.
pub type Result<T> = std::result::Result<T, ClientError>;
