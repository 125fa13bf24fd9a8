//! What a daemon that starts says to the process that waits for it: the readiness pipe.
//!
//! It is a pair of sockets that keep messages apart. The end of the daemon's side without a word is a word too: it
//! died.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sys::socket;

/// The longest text in one message, in bytes; what is longer is cut.
const MOST: usize = 16 * 1024;

/// How long whoever waits may take to make room for the last word.
const PATIENCE: Duration = Duration::from_secs(5);

/// The daemon's side. All clones are one; it closes with the last word.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<Option<OwnedFd>>>);

/// The side of whoever waits.
#[derive(Debug)]
pub(super) struct Waiting {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The number of the daemon's process.
    Forked(i32),
    /// A line of its log.
    Line(String),
    /// It is ready.
    Ready,
    /// It failed.
    Failed { code: u8, words: String },
    /// It is gone.
    End,
}

/// The two sides.
pub(super) fn pair() -> io::Result<(Readiness, Waiting)> {
    let (here, there) = socket::pair()?;
    let waiting = Waiting { socket: here, buffer: vec![0; MOST + 16] };
    Ok((Readiness(Arc::new(Mutex::new(Some(there)))), waiting))
}

impl Readiness {
    /// For a daemon that nobody waits for: whatever is said is heard by nobody.
    #[must_use]
    pub fn unheard() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    /// Says that the daemon is ready; whoever waits returns with success.
    pub fn ready(&self) {
        self.last_word(b"R");
    }

    /// Says that the daemon failed, with the exit status and the words that whoever waits is to end with.
    pub fn failed(&self, code: u8, words: &str) {
        let mut message = vec![b'F', code];
        message.extend(cut(words).as_bytes());
        self.last_word(&message);
    }

    /// Shows a line of the log to whoever waits, who keeps it for the case of a failure. Never waits, and does
    /// nothing after the last word.
    pub fn line(&self, line: &str) {
        self.say(b'L', cut(line).as_bytes());
    }

    /// Whether the last word was said.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.socket().is_none()
    }

    /// Tells which process the daemon is.
    pub(super) fn forked(&self, pid: i32) {
        self.say(b'P', &pid.to_ne_bytes());
    }

    /// For the descriptor to be kept when all others are closed.
    pub(super) fn with_descriptor<T>(&self, act: impl FnOnce(Option<BorrowedFd<'_>>) -> T) -> T {
        act(self.socket().as_ref().map(AsFd::as_fd))
    }

    fn say(&self, kind: u8, rest: &[u8]) {
        if let Some(socket) = self.socket().as_ref() {
            // Nobody listens any more, or not fast enough: the log itself has the line.
            let _ = socket::send(socket, &[&[kind], rest].concat(), &[]);
        }
    }

    fn last_word(&self, message: &[u8]) {
        if let Some(socket) = self.socket().take() {
            // Where whoever waited was killed there is nobody left to tell.
            let _ = socket::send_within(&socket, message, PATIENCE);
        }
    }

    fn socket(&self) -> MutexGuard<'_, Option<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// The next message; `None` where none is there yet.
    pub(super) fn hear(&mut self) -> io::Result<Option<Heard>> {
        let length = match socket::receive(&self.socket, &mut self.buffer) {
            Ok(received) => received.length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Some(match self.buffer.get(..length).unwrap_or_default() {
            [] => Heard::End,
            [b'P', a, b, c, d] => Heard::Forked(i32::from_ne_bytes([*a, *b, *c, *d])),
            [b'L', line @ ..] => Heard::Line(text(line)),
            [b'R'] => Heard::Ready,
            [b'F', code, words @ ..] => Heard::Failed { code: *code, words: text(words) },
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }))
    }
}

impl AsFd for Waiting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn cut(text: &str) -> &str {
    let end = (0..=MOST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_in_order_and_nothing_after_the_last_word() {
        let (ready, mut waiting) = pair().unwrap();
        assert_eq!(waiting.hear().unwrap(), None);
        ready.forked(77);
        ready.line("one");
        ready.clone().ready();
        ready.line("two");
        ready.failed(1, "three");
        let heard: Vec<Heard> = std::iter::from_fn(|| waiting.hear().unwrap()).take(4).collect();
        assert_eq!(heard, [Heard::Forked(77), Heard::Line("one".into()), Heard::Ready, Heard::End]);
    }

    #[test]
    fn words_of_any_length_arrive_cut_between_characters() {
        let (ready, mut waiting) = pair().unwrap();
        ready.failed(78, &"ä".repeat(MOST));
        let Some(Heard::Failed { code: 78, words }) = waiting.hear().unwrap() else { panic!("no failure") };
        assert_eq!(words, "ä".repeat(MOST / 2));
    }

    #[test]
    fn a_side_that_only_closes_is_heard_to_end() {
        let (ready, mut waiting) = pair().unwrap();
        drop(ready);
        assert_eq!(waiting.hear().unwrap(), Some(Heard::End));
    }

    #[test]
    fn nobody_who_listens_holds_nobody_up() {
        let (ready, waiting) = pair().unwrap();
        for _ in 0..10_000 {
            ready.line("more than any buffer of the kernel's takes");
        }
        drop(waiting);
        ready.ready();
    }
}
