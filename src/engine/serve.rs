//! The engine's thread: sleeps until something arrives or is due.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use super::{Engine, Message};
use crate::executor::Executor;
use crate::store::Store;
use crate::task::Timestamp;

/// The longest sleep while something is due: due times are wall clock times, and a clock that is set, or a host
/// that was suspended, does not wake a thread.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How long nothing may arrive after a busy time until memory is given back.
const UNTIL_REST: Duration = Duration::from_secs(1);

/// Runs the engine until it was told to leave, or until nobody can send to it any more. Everything that has
/// arrived by then is taken up in one beat; while nothing is due and nothing arrives, the thread does not wake.
pub fn serve<S: Store, E: Executor>(mut engine: Engine<S, E>, inbox: &Receiver<Message>) -> Engine<S, E> {
    loop {
        let due = engine.next_wake().map(|wake| wake.since(now()).min(LONGEST_SLEEP));
        let rests = engine.is_tired() && due.is_none_or(|due| due > UNTIL_REST);
        let first = match if rests { Some(UNTIL_REST) } else { due } {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => inbox.recv_timeout(pause),
        };
        let mut messages = match first {
            Ok(message) => vec![message],
            Err(RecvTimeoutError::Timeout) if rests => {
                engine.rest();
                continue;
            }
            Err(RecvTimeoutError::Timeout) => Vec::new(),
            Err(RecvTimeoutError::Disconnected) => return engine,
        };
        messages.extend(inbox.try_iter());
        engine.beat(now(), messages);
        if engine.has_left() {
            return engine;
        }
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}
