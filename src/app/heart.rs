//! The way to the engine for whoever wants to know whether it beats.

use crate::engine::{Caller, Command, Handle, Pulse, Query, Refusal, Reply};

/// Feels the pulse of the engine and the store.
#[derive(Clone)]
pub(super) struct Heart {
    engine: Handle,
    caller: Caller,
}

impl Heart {
    pub(super) fn new(engine: Handle, uid: u32) -> Self {
        Self { engine, caller: Caller { uid, privileged: true } }
    }

    /// Answered on the engine's thread, once it gets to it.
    pub(super) fn pulse(&self, then: impl FnOnce(Result<Pulse, Refusal>) + Send + 'static) {
        let then = move |reply| match reply {
            Ok(Reply::Pulse(pulse)) => then(Ok(pulse)),
            Ok(_) => then(Err(Refusal::Gone)),
            Err(refusal) => then(Err(refusal)),
        };
        self.engine.command(self.caller, Command::Read(Query::Pulse), Box::new(then));
    }
}
