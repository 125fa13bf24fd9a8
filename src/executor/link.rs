//! The link to the real runner: one thread listens ([`Listener`]), whoever asks sends.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::listener::Listener;
use super::replace::{Replaced, Replacement, Step};
use super::{Cause, ConnectError, End, Executor, ExitStatus, Leftover, Outputs, Report, Sink, Start, translate};
use crate::daemon::log::in_full;
use crate::sys::{clock, memfd};
use crate::task::{AttemptKey, Cost, Signal, Stop, TaskId, Timestamp};
use crate::wire::runner::packet::{Outbox, Packet};
use crate::wire::runner::{STANDBY, Spawn, Sweep, ToRunner};

/// What is left to a dead runner's processes between SIGTERM and SIGKILL, in milliseconds.
const SWEEP_GRACE_MS: u64 = 5_000;

/// How a runner is reached: [`Dialer`](super::Dialer), or a test's own way.
pub trait Connect: Send {
    /// Connects to the runner.
    ///
    /// # Errors
    /// Where there is none to be had now; it is tried again later.
    fn connect(&mut self) -> Result<OwnedFd, ConnectError>;
}

/// An [`Executor`] whose runner is another process. Links by itself, again and again.
pub struct RunnerLink {
    shared: Arc<Shared>,
    outputs: Outputs,
    sink: Arc<Sink>,
    /// Leaves with the next message.
    riding: Option<Packet>,
    listener: Option<JoinHandle<()>>,
    removals: mpsc::Sender<Vec<(TaskId, u32)>>,
}

/// What the thread that listens and those that ask have in common.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Rouses the listener.
    pub(super) rouse: EventFd,
}

/// How the link stands.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) socket: Option<Arc<OwnedFd>>,
    /// Links that were reported, and those that were adopted: orders pass where they are as many.
    pub(super) links: u64,
    adopted: u64,
    /// What both sides speak.
    pub(super) version: u16,
    pub(super) outbox: Outbox,
    pub(super) replacement: Replacement,
    pub(super) closing: bool,
    /// Whether the runner was told to leave: its end is no reason to look for another.
    pub(super) leaving: bool,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the order to become another program asks for next.
    pub(super) fn replace(&self, next: impl FnOnce(&mut Replacement) -> Step) {
        let step = next(&mut self.state().replacement);
        self.follow(step);
    }

    fn follow(&self, step: Step) {
        match step {
            Step::Nothing => {}
            Step::Tell(then, result) => then(result),
            Step::Send(order, program) => match Packet::new(&[order], vec![program]) {
                Ok(packet) => self.push(&mut self.state(), packet),
                Err(error) => {
                    let step = self.state().replacement.kept(in_full(&error));
                    self.follow(step);
                }
            },
        }
    }

    fn push(&self, state: &mut State, packet: Packet) {
        let quiet = state.outbox.is_empty();
        state.outbox.push(packet);
        if quiet && !state.flush() {
            self.rouse();
        }
    }

    fn rouse(&self) {
        // Fails only where the counter is full, and then the listener is roused already.
        let _ = self.rouse.write(1);
    }
}

impl State {
    fn passes(&self) -> bool {
        self.socket.is_some() && self.links == self.adopted
    }

    /// Forgets the link that is over, and what it did not take.
    pub(super) fn unlink(&mut self) {
        self.socket = None;
        self.outbox = Outbox::default();
    }

    /// Sends what there is room for; true once nothing waits.
    pub(super) fn flush(&mut self) -> bool {
        match &self.socket {
            // The listener will find the end of a link that is broken.
            Some(socket) => self.outbox.flush(socket).unwrap_or(true),
            None => true,
        }
    }
}

impl RunnerLink {
    /// Links to the runner that `connect` reaches, as the daemon `instance`; reports go to `sink`.
    ///
    /// # Errors
    /// Where descriptors or threads run out.
    pub fn new(instance: &str, outputs: Outputs, connect: Box<dyn Connect>, sink: Sink) -> io::Result<Self> {
        let rouse = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let shared = Arc::new(Shared { state: Mutex::default(), rouse });
        let sink = Arc::new(sink);
        let listener =
            Listener { shared: Arc::clone(&shared), instance: instance.to_owned(), connect, sink: Arc::clone(&sink) };
        let listener = thread::Builder::new().name("runner-link".into()).spawn(move || listener.run())?;
        let (removals, removed) = mpsc::channel();
        let remover = outputs.clone();
        thread::Builder::new().name("output-removal".into()).spawn(move || remove(&remover, &removed))?;
        Ok(Self { shared, outputs, sink, riding: None, listener: Some(listener), removals })
    }

    /// Has a message leave with the next one, or with [`Executor::flush`].
    fn ride(&mut self, message: ToRunner, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let packet = Packet::new(&[message], descriptors)?;
        let packet = match &mut self.riding {
            Some(riding) => riding.join(packet),
            None => Err(packet),
        };
        if let Err(packet) = packet {
            self.flush();
            self.riding = Some(packet);
        }
        Ok(())
    }

    fn pass(&self, packet: Packet) {
        let mut state = self.shared.state();
        if !state.passes() {
            return;
        }
        self.shared.push(&mut state, packet);
    }

    /// The way to another program for the runner.
    #[must_use]
    pub fn replacer(&self) -> Replacer {
        Replacer(Arc::clone(&self.shared))
    }

    fn tell(&mut self, message: ToRunner) {
        self.mention(message);
        self.flush();
    }

    fn mention(&mut self, message: ToRunner) {
        if let Err(error) = self.ride(message, Vec::new()) {
            tracing::error!(error = &error as &dyn std::error::Error, "cannot tell the runner");
        }
    }

    fn hand_over(&mut self, start: &Start, order: fn(Box<Spawn>) -> ToRunner) -> Result<(), String> {
        let input = start.stdin.as_ref().map(|bytes| memfd::sealed("taskdaemon-input", bytes)).transpose();
        let input = input.map_err(|error| format!("keep the standard input in memory: {error}"))?;
        let message = order(Box::new(translate::spawn(start)));
        let output = self.outputs.create(start.key).map_err(|error| in_full(&error))?;
        if matches!(message, ToRunner::StandBy(_)) {
            Outputs::mark_untouched(&output).map_err(|error| format!("mark the output: {error}"))?;
        }
        let packed = self.ride(message, [output.into()].into_iter().chain(input).collect());
        packed.map_err(|error| format!("pass the task to the runner: {error}"))
    }
}

fn remove(outputs: &Outputs, orders: &mpsc::Receiver<Vec<(TaskId, u32)>>) {
    for (task, attempts) in orders.iter().flatten() {
        // And the one after them, which may have stood by and never begun.
        (1..=attempts.saturating_add(1)).for_each(|attempt| outputs.forget(AttemptKey { task, attempt }));
    }
}

impl Executor for RunnerLink {
    fn adopt(&mut self) {
        self.shared.state().adopted += 1;
    }

    fn start(&mut self, start: Start) {
        if !self.shared.state().passes() {
            return;
        }
        let handed_over = self.hand_over(&start, ToRunner::Spawn);
        self.flush();
        if let Err(reason) = handed_over {
            let status = ExitStatus::NotStarted { reason, code: 126 };
            let ended_at = Timestamp(clock::now_us());
            let end = End { status, cause: Cause::Itself, started_at: None, ended_at, cost: Cost::default() };
            (self.sink)(Report::Ended { key: start.key, end, next: None });
        }
    }

    fn stand_by(&mut self, start: Start) -> bool {
        let state = self.shared.state();
        let can = state.passes() && state.version >= STANDBY;
        drop(state);
        can && self.hand_over(&start, ToRunner::StandBy).is_ok()
    }

    fn recall(&mut self) {
        self.tell(ToRunner::Recall);
    }

    fn stop(&mut self, key: AttemptKey, stop: Stop) {
        let (signal, grace_ms) = (stop.signal.number(), stop.grace_ms);
        self.tell(ToRunner::Stop { key: translate::key(key), signal, grace_ms });
    }

    fn signal(&mut self, key: AttemptKey, signal: Signal) {
        self.tell(ToRunner::Signal { key: translate::key(key), signal: signal.number() });
    }

    fn acknowledge(&mut self, keys: &[AttemptKey]) {
        if !keys.is_empty() {
            self.mention(ToRunner::Acknowledge(keys.iter().copied().map(translate::key).collect()));
        }
    }

    fn flush(&mut self) {
        if let Some(riding) = self.riding.take() {
            self.pass(riding);
        }
    }

    fn sweep(&mut self, leftovers: Vec<Leftover>) {
        let leftovers = leftovers.iter().map(translate::leftover).collect();
        self.tell(ToRunner::Sweep(Sweep { leftovers, grace_ms: SWEEP_GRACE_MS }));
    }

    fn drain(&mut self, patience: Duration) {
        self.tell(ToRunner::Drain { patience_ms: u64::try_from(patience.as_millis()).unwrap_or(u64::MAX) });
    }

    fn leave(&mut self) {
        let mut state = self.shared.state();
        state.leaving = state.passes();
        drop(state);
        self.tell(ToRunner::Leave);
    }

    fn output(&self, key: AttemptKey) -> io::Result<File> {
        self.outputs.open(key).map_err(io::Error::from)
    }

    fn may_have_begun(&self, key: AttemptKey) -> bool {
        self.outputs.is_touched(key)
    }

    fn remove_output(&mut self, tasks: &[(TaskId, u32)]) {
        // The remover ends only when this sender does.
        let _ = self.removals.send(tasks.to_vec());
    }
}

impl Drop for RunnerLink {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.rouse();
        if let Some(thread) = self.listener.take() {
            // A listener that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// Has the runner become another program. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Replacer(Arc<Shared>);

impl Replacer {
    /// Has the runner, once it is linked, become `program`, which must be the one that this process runs: that is how it
    /// is known to understand what the runner hands over.
    pub fn replace(&self, program: OwnedFd, then: Replaced) {
        self.0.replace(|replacement| replacement.want(program, then));
    }
}
