//! The way to a running engine.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::{Caller, Command, Refusal, Reply};
use crate::executor::Report;

/// Takes an answer; called on the engine's thread, so it must not block.
pub type ReplyTo = Box<dyn FnOnce(Result<Reply, Refusal>) + Send>;

/// A command with its caller and the place for its answer.
pub struct Envelope {
    /// Who asks.
    pub caller: Caller,
    /// What is asked.
    pub command: Command,
    /// Where the answer goes.
    pub reply: ReplyTo,
}

/// What arrives at the engine between two beats.
pub enum Message {
    /// From a client, or from the daemon itself.
    Command(Envelope),
    /// From the executor.
    Report(Report),
    /// Ends the engine's thread once what came before is done.
    Leave,
}

/// A way to send commands to the engine; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    messages: Sender<Message>,
}

impl Handle {
    /// A handle, and the end that the engine's thread reads.
    #[must_use]
    pub fn new() -> (Self, Receiver<Message>) {
        let (messages, inbox) = channel();
        (Self { messages }, inbox)
    }

    /// Sends a command. Where the engine is gone, `reply` is called with [`Refusal::Gone`] at once.
    pub fn command(&self, caller: Caller, command: Command, reply: ReplyTo) {
        let message = Message::Command(Envelope { caller, command, reply });
        if let Err(returned) = self.messages.send(message)
            && let Message::Command(envelope) = returned.0
        {
            (envelope.reply)(Err(Refusal::Gone));
        }
    }

    /// Passes on what the executor tells.
    pub fn report(&self, report: Report) {
        // Reports to an engine that is gone are for its successor: the runner keeps them until acknowledged.
        let _ = self.messages.send(Message::Report(report));
    }

    /// Ends the engine's thread.
    pub fn leave(&self) {
        let _ = self.messages.send(Message::Leave);
    }
}
