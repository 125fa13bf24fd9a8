//! The life of a daemon: where it is, where it may go from there, and what is done on the way out.
//!
//! [`State`] and [`Event`] make a table, [`Lifecycle`] keeps the state and tells whoever watches, [`Hooks`] are run at
//! the end in reverse order, each with a deadline.
//!
//! ```
//! use std::time::Duration;
//! use taskdaemon::daemon::lifecycle::{Event, Hooks, Lifecycle, State};
//!
//! let mut life = Lifecycle::new();
//! life.watch(|state| println!("now {}", state.word()));
//! for event in [Event::Start, Event::Ready] {
//!     life.take(event)?;
//! }
//! assert!(life.take(Event::Ready).is_err(), "it is ready already");
//!
//! let mut hooks = Hooks::new();
//! hooks.register("database", Duration::from_secs(5), || { /* close it */ });
//! hooks.register("clients", Duration::from_secs(2), || { /* send them away */ });
//! life.take(Event::Stop)?;
//! assert!(hooks.run(Duration::from_secs(10)).is_ok(), "clients first, then the database");
//! life.take(Event::Ended)?;
//! assert_eq!(life.state(), State::Stopped);
//! # Ok::<_, taskdaemon::daemon::lifecycle::IllegalTransition>(())
//! ```
//!
//! It must not know what the daemon does in any of its states.

mod hooks;
mod state;

pub use hooks::{Hooks, PassedOver};
pub use state::{Event, IllegalTransition, Lifecycle, Seen, State};
