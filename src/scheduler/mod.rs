//! What runs next, and when things recur.
//!
//! [`plan()`] chooses from a [`Snapshot`] of the queues which tasks start now; [`calendar`] finds the times of a
//! recurring task.
//!
//! Pure: this module must not know the store, processes or the clock; all comes in as arguments.

pub mod calendar;
mod plan;

pub use plan::{Choice, Gate, Head, Lane, Snapshot, gate, plan, weight};
