//! The way out: nothing in, nothing started, until nothing runs.

use std::time::Duration;

use super::{Caller, Engine, Refusal, Reply, ReplyTo};
use crate::executor::Executor;
use crate::store::Store;
use crate::task::{TaskId, Timestamp};

/// A shutdown under way.
pub(super) struct Stopping {
    /// Until when running tasks may go on.
    pub(super) until: Timestamp,
    /// What is run to tell of it, once it is written down.
    pub(super) hook: Option<TaskId>,
    waiting: Vec<ReplyTo>,
}

impl<S: Store, E: Executor> Engine<S, E> {
    /// Closes intake and drains the runner. It needs no commit, so it works when the store does not.
    pub(super) fn shut_down(&mut self, now: Timestamp, caller: Caller, patience: Duration, reply: ReplyTo) {
        if !caller.privileged {
            return reply(Err(Refusal::Forbidden("stop the daemon")));
        }
        let until = now + patience;
        let stopping = self.stopping.get_or_insert_with(|| Stopping { until, hook: None, waiting: Vec::new() });
        stopping.until = until;
        stopping.waiting.push(reply);
        self.recall(now);
        self.executor.drain(patience);
    }

    /// Answers who waits for the end once nothing runs, and lets the runner go.
    pub(super) fn finish_shutdown(&mut self) {
        let Some(stopping) = &mut self.stopping else { return };
        if !self.memory.open.is_empty() || stopping.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut stopping.waiting);
        self.executor.leave();
        for reply in waiting {
            reply(Ok(Reply::Drained));
        }
    }
}
