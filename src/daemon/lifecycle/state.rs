//! Where a daemon is in its life: states, what happens to it, and the table of both.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does nothing: before its start and after its end.
    Stopped,
    /// It makes itself ready, and does not answer yet.
    Starting,
    /// It does its work.
    Running,
    /// It does its work, and takes a new configuration into force.
    Reloading,
    /// It takes nothing new, and finishes what it has.
    Draining,
    /// It puts its things away.
    Stopping,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It was started.
    Start,
    /// It can do its work.
    Ready,
    /// It was told to read its configuration again.
    Reload,
    /// It did, with success or without.
    Reloaded,
    /// It was told to end once it has finished what it has.
    Drain,
    /// It has finished, failed, or was told to end at once.
    Stop,
    /// Everything is put away.
    Ended,
}

/// What cannot happen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a daemon that is {} cannot {}", from.word(), event.words())]
pub struct IllegalTransition {
    /// Where it is, and stays.
    pub from: State,
    /// What was to happen.
    pub event: Event,
}

impl State {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Stopped, Self::Starting, Self::Running, Self::Reloading, Self::Draining, Self::Stopping];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Reloading => "reloading",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        }
    }

    /// Where it is after `event`.
    ///
    /// # Errors
    /// [`IllegalTransition`] where that cannot happen here.
    pub fn after(self, event: Event) -> Result<Self, IllegalTransition> {
        let to = match event {
            Event::Start => [(Self::Stopped, Self::Starting)].as_slice(),
            Event::Ready => &[(Self::Starting, Self::Running)],
            Event::Reload => &[(Self::Running, Self::Reloading)],
            Event::Reloaded => &[(Self::Reloading, Self::Running)],
            Event::Drain => &[(Self::Running, Self::Draining), (Self::Reloading, Self::Draining)],
            Event::Stop => &[
                (Self::Starting, Self::Stopping),
                (Self::Running, Self::Stopping),
                (Self::Reloading, Self::Stopping),
                (Self::Draining, Self::Stopping),
            ],
            Event::Ended => &[(Self::Stopping, Self::Stopped)],
        };
        let found = to.iter().find(|(from, _)| *from == self);
        found.map(|(_, to)| *to).ok_or(IllegalTransition { from: self, event })
    }
}

impl Event {
    fn words(self) -> &'static str {
        match self {
            Self::Start => "be started",
            Self::Ready => "become ready",
            Self::Reload => "reload",
            Self::Reloaded => "end a reload",
            Self::Drain => "drain",
            Self::Stop => "stop",
            Self::Ended => "have ended",
        }
    }
}

/// Where a lifecycle is, for other threads to see.
#[derive(Debug, Clone)]
pub struct Seen(Arc<Mutex<State>>);

impl Seen {
    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        *self.place()
    }

    fn place(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is told of every state that is reached.
type Watcher<'w> = Box<dyn FnMut(State) + 'w>;

/// Where one daemon is, and who wants to know.
pub struct Lifecycle<'w> {
    state: State,
    watchers: Vec<Watcher<'w>>,
}

impl Default for Lifecycle<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'w> Lifecycle<'w> {
    /// One that is stopped.
    #[must_use]
    pub fn new() -> Self {
        Self { state: State::Stopped, watchers: Vec::new() }
    }

    /// Tells `watcher` of every state from now on, as soon as it is reached.
    pub fn watch(&mut self, watcher: impl FnMut(State) + 'w) {
        self.watchers.push(Box::new(watcher));
    }

    /// Where it is, from now on, for other threads to see.
    pub fn seen(&mut self) -> Seen {
        let seen = Seen(Arc::new(Mutex::new(self.state)));
        let shown = seen.clone();
        self.watch(move |state| *shown.place() = state);
        seen
    }

    /// Where it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Takes an event up.
    ///
    /// # Errors
    /// [`IllegalTransition`] where it cannot happen now; nothing has changed then, and nobody was told.
    pub fn take(&mut self, event: Event) -> Result<State, IllegalTransition> {
        self.state = self.state.after(event)?;
        for watcher in &mut self.watchers {
            watcher(self.state);
        }
        Ok(self.state)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    const EVENTS: [Event; 7] =
        [Event::Start, Event::Ready, Event::Reload, Event::Reloaded, Event::Drain, Event::Stop, Event::Ended];

    #[test]
    fn the_whole_table_is_as_it_is_drawn() {
        let table = [
            "          start    ready    reload   reloaded drain    stop     ended",
            "stopped   starting -        -        -        -        -        -",
            "starting  -        running  -        -        -        stopping -",
            "running   -        -        reloading -       draining stopping -",
            "reloading -        -        -        running  draining stopping -",
            "draining  -        -        -        -        -        stopping -",
            "stopping  -        -        -        -        -        -        stopped",
        ];
        for (row, from) in table.iter().skip(1).zip(State::ALL) {
            let mut words = row.split_whitespace();
            assert_eq!(words.next(), Some(from.word()));
            for (event, to) in EVENTS.into_iter().zip(words) {
                let after = from.after(event).map_or("-", State::word);
                assert_eq!(after, to, "{from:?} after {event:?}");
            }
        }
    }

    #[test]
    fn every_state_is_reached_and_every_one_can_end() {
        for from in State::ALL {
            let reached = State::ALL.iter().any(|state| EVENTS.iter().any(|event| state.after(*event) == Ok(from)));
            assert!(reached, "{from:?}");
            let mut end = from;
            for event in [Event::Stop, Event::Ended] {
                end = end.after(event).unwrap_or(end);
            }
            assert_eq!(end, State::Stopped, "from {from:?}");
        }
    }

    #[test]
    fn what_cannot_happen_is_refused_in_words_and_changes_nothing() {
        let told = Rc::new(RefCell::new(Vec::new()));
        let mut life = Lifecycle::new();
        let watcher = Rc::clone(&told);
        life.watch(move |state| watcher.borrow_mut().push(state));
        life.take(Event::Start).unwrap();
        let refused = life.take(Event::Reload).unwrap_err();
        assert_eq!(refused.to_string(), "a daemon that is starting cannot reload");
        assert_eq!((life.state(), told.borrow().as_slice()), (State::Starting, [State::Starting].as_slice()));
    }
}
