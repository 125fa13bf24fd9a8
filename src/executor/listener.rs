//! The thread that links to the runner and listens to it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::link::{Connect, Shared};
use super::replace::Replacement;
use super::{Holds, Report, Sink, translate};
use crate::daemon::log::in_full;
use crate::wire::runner::packet::{self, MAX_PACKET_BYTES, Packet, Received};
use crate::wire::runner::{FromRunner, ToRunner, VERSION};

/// How long a runner may take to answer.
const GREETING: Duration = Duration::from_secs(10);

/// How long what was said last may take to leave when this end is closed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Pauses between attempts to link: the first, then twice as long each time, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// What that thread works with.
pub(super) struct Listener {
    pub(super) shared: Arc<Shared>,
    pub(super) instance: String,
    pub(super) connect: Box<dyn Connect>,
    pub(super) sink: Arc<Sink>,
}

/// Why a link is over.
enum Over {
    Closing,
    Lost(String),
}

impl Listener {
    /// Links and listens, until this end is closed or the runner has left for good.
    pub(super) fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = self.shared.state().links;
            let over = match self.connect.connect() {
                Ok(socket) => self.converse(Arc::new(socket)),
                Err(error) => Over::Lost(in_full(&error)),
            };
            let linked = {
                let mut state = self.shared.state();
                state.unlink();
                state.links != before
            };
            self.shared.replace(Replacement::lost);
            match over {
                Over::Closing => return,
                Over::Lost(reason) => (self.sink)(Report::Lost { reason }),
            }
            if self.shared.state().leaving {
                return;
            }
            pause = if linked { FIRST_PAUSE } else { (pause * 2).min(LAST_PAUSE) };
            if self.sleep(pause) {
                return;
            }
        }
    }

    /// Waits; true where this end is closed meanwhile.
    fn sleep(&self, pause: Duration) -> bool {
        let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX);
        // Roused or not: what counts is whether it is over.
        let _ = poll(&mut [PollFd::new(self.shared.rouse.as_fd(), PollFlags::POLLIN)], timeout);
        self.is_closing()
    }

    fn is_closing(&self) -> bool {
        let _ = self.shared.rouse.read();
        self.shared.state().closing
    }

    /// Speaks over one connection until its end.
    fn converse(&self, socket: Arc<OwnedFd>) -> Over {
        let hello = ToRunner::Hello { version: VERSION, instance: self.instance.clone() };
        if let Err(error) = Packet::new(&[hello], Vec::new()).and_then(|packet| packet.send(&socket)) {
            return Over::Lost(format!("greet the runner: {error}"));
        }
        let mut buffer = vec![0; MAX_PACKET_BYTES];
        let mut deadline = Some(Instant::now() + GREETING);
        loop {
            match self.wait(&socket, deadline) {
                Ok(true) => {}
                Ok(false) => return Over::Closing,
                Err(error) => return Over::Lost(format!("wait for the runner: {error}")),
            }
            match packet::receive(&socket, &mut buffer) {
                Ok(Received::Nothing) => {}
                Ok(Received::End) => return Over::Lost("the runner ended".into()),
                Err(error) => return Over::Lost(format!("understand the runner: {error}")),
                Ok(Received::Messages(messages, _)) => {
                    deadline = None;
                    for message in messages {
                        if let Err(reason) = self.take(message, &socket) {
                            return Over::Lost(reason);
                        }
                    }
                }
            }
        }
    }

    /// Waits for something to read, and sends what waits; false where this end is closed.
    fn wait(&self, socket: &Arc<OwnedFd>, deadline: Option<Instant>) -> io::Result<bool> {
        let (idle, closing) = {
            let mut state = self.shared.state();
            (state.flush(), state.closing)
        };
        if closing && idle {
            return Ok(false);
        }
        let deadline = if closing { Some(Instant::now() + LAST_WORDS) } else { deadline };
        let timeout = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
            None => PollTimeout::NONE,
            Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        };
        let wanted = if idle { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT };
        let rouse = self.shared.rouse.as_fd();
        let mut fds = [PollFd::new(socket.as_fd(), wanted), PollFd::new(rouse, PollFlags::POLLIN)];
        let ready = match poll(&mut fds, timeout) {
            // Somebody looked on with a debugger, or the host slept: no reason to lose a runner.
            Err(Errno::EINTR) => return Ok(true),
            other => other?,
        };
        // Whether this end is being closed is asked where somebody roused this thread, not at each word of the runner.
        let may_close = closing || fds[1].any().unwrap_or(true);
        if may_close && self.is_closing() && (closing || self.shared.state().outbox.is_empty()) {
            return Ok(false);
        }
        if ready == 0 { Err(io::ErrorKind::TimedOut.into()) } else { Ok(true) }
    }

    fn take(&self, message: FromRunner, socket: &Arc<OwnedFd>) -> Result<(), String> {
        let report = match message {
            FromRunner::Welcome(welcome) => {
                let mut state = self.shared.state();
                state.socket = Some(Arc::clone(socket));
                state.links += 1;
                state.version = welcome.version;
                drop(state);
                self.shared.replace(|replacement| replacement.linked(welcome.version));
                translate::linked(welcome).into_iter().for_each(&*self.sink);
                return Ok(());
            }
            FromRunner::Refused { version, instance } => {
                return Err(format!("the runner speaks version {version} and runs tasks of daemon {instance:?}"));
            }
            FromRunner::Program { version, table } => {
                self.shared.replace(|replacement| replacement.introduced(version, table));
                return Ok(());
            }
            FromRunner::Kept { reason } => {
                self.shared.replace(|replacement| replacement.kept(reason));
                return Ok(());
            }
            FromRunner::Holds { in_force, missing } => Report::Holds(Holds { in_force, missing }),
            FromRunner::Started(running) => translate::started(running),
            FromRunner::Ended(ended) => translate::ended(ended, None),
            FromRunner::Succeeded { by, next, left: _ } => translate::ended(by, Some(next)),
            FromRunner::Recalled { keys } => {
                // Their files stay for their turn, untouched: where a file system is slow to make some, to make all of
                // them anew would let the slots run empty, for which they would be recalled again.
                Report::Recalled { keys: keys.into_iter().map(translate::attempt).collect() }
            }
            FromRunner::Swept { keys, survivors } => {
                for pid in survivors {
                    tracing::error!(pid, "a process of a dead runner hangs in the kernel; SIGKILL does not end it");
                }
                Report::Swept { keys: keys.into_iter().map(translate::attempt).collect() }
            }
        };
        (self.sink)(report);
        Ok(())
    }
}
