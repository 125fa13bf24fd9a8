//! From tracing's event to the sink: kept before there is one, counted while it is broken.

use std::cell::Cell;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::entry::Entry;
use super::sink::Sink;
use super::{LogError, Style, format};
use crate::daemon::Readiness;

/// How many events are kept before the log is open; a start has a dozen.
const MOST_KEPT: usize = 1000;
/// What the log calls itself in its own events.
const OWN: &str = "log";

thread_local! {
    /// Whether this thread writes an event just now: what fails meanwhile must not wait for itself.
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

/// The log of the process.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: Vec<Entry>,
    sink: Option<Sink>,
    waiting: Option<Readiness>,
    /// Events that could not be written since the last one that could.
    lost: u64,
}

impl Shared {
    pub(super) fn open(&self, sink: Sink) {
        let mut state = self.state();
        state.sink = Some(sink);
        for entry in mem::take(&mut state.kept) {
            state.write(&entry);
        }
    }

    pub(super) fn show_to(&self, waiting: Readiness) {
        let mut state = self.state();
        state.kept.iter().for_each(|entry| waiting.line(format::line(entry, Style::Text).trim_end()));
        state.waiting = Some(waiting);
    }

    pub(super) fn reopen(&self) -> Result<(), LogError> {
        self.state().sink.as_mut().map_or(Ok(()), Sink::reopen)
    }

    fn take(&self, entry: Entry) {
        let mut state = self.state();
        if let Some(waiting) = state.waiting.take_if(|waiting| !waiting.is_over()) {
            waiting.line(format::line(&entry, Style::Text).trim_end());
            state.waiting = Some(waiting);
        }
        if state.sink.is_some() {
            state.write(&entry);
        } else if state.kept.len() < MOST_KEPT {
            state.kept.push(entry);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Writes one event. A full disk or a log that is gone stops nobody: it is said once elsewhere, and how much was
    /// lost is said here once that is possible again.
    fn write(&mut self, entry: &Entry) {
        let Some(sink) = self.sink.as_mut() else { return };
        if self.lost > 0 {
            let told = Entry::new(Level::WARN, OWN, format!("{} lines could not be logged and are lost", self.lost));
            if sink.write(&told).is_ok() {
                self.lost = 0;
            }
        }
        if let Err(error) = sink.write(entry) {
            self.lost += 1;
            if self.lost == 1 {
                let message = format!("the log cannot be written: {error}; what it should say meanwhile is lost");
                sink.say_elsewhere(&Entry::new(Level::ERROR, OWN, message));
            }
        }
    }
}

/// Takes events from tracing.
#[derive(Debug)]
pub(super) struct Writer(pub(super) Arc<Shared>);

impl<S: Subscriber> Layer<S> for Writer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let entry = Entry::of(event);
        if !WRITING.replace(true) {
            self.0.take(entry);
            WRITING.set(false);
        }
    }
}
