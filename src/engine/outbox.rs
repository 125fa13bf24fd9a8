//! What a beat does once it is committed.

use std::time::Duration;

use super::tally::Run;
use super::{Refusal, Reply, ReplyTo};
use crate::executor::{Executor, Leftover, Start};
use crate::task::{AttemptKey, Event, Signal, Stop, TaskId};

/// Takes the events of each commit; called on the engine's thread, so it must not block.
pub type Feed = Box<dyn FnMut(&[Event]) + Send>;

/// An order to the executor.
pub(super) enum Order {
    Adopt,
    Start(Box<Start>),
    Stop(AttemptKey, Stop),
    Signal(AttemptKey, Signal),
    Sweep(Vec<Leftover>),
    Drain(Duration),
    RemoveOutput(Vec<(TaskId, u32)>),
}

/// Everything that waits for the commit.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) answers: Vec<(ReplyTo, Result<Reply, Refusal>)>,
    pub(super) orders: Vec<Order>,
    pub(super) acknowledged: Vec<AttemptKey>,
    pub(super) events: Vec<Event>,
    pub(super) runs: Vec<Run>,
}

impl Order {
    pub(super) fn give(self, executor: &mut impl Executor) {
        match self {
            Self::Adopt => executor.adopt(),
            Self::Start(start) => executor.start(*start),
            Self::Stop(key, stop) => executor.stop(key, stop),
            Self::Signal(key, signal) => executor.signal(key, signal),
            Self::Sweep(leftovers) => executor.sweep(leftovers),
            Self::Drain(patience) => executor.drain(patience),
            Self::RemoveOutput(tasks) => executor.remove_output(&tasks),
        }
    }
}
