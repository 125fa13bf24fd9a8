//! What is done at the end of a daemon: in reverse order, each within its time.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{debug, error};

type Work = Box<dyn FnOnce() + Send>;

/// What is to be put away at the end, in the order in which it was set up.
#[derive(Default)]
pub struct Hooks(Vec<Hook>);

struct Hook {
    name: &'static str,
    within: Duration,
    work: Work,
}

/// What did not end in its time, or not in good order; the log says more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("passed over at the end: {}", .0.join(", "))]
pub struct PassedOver(pub Vec<&'static str>);

impl Hooks {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `work` done at the end, before all that was registered earlier. It gets a thread of its own then, and
    /// `within` to finish.
    pub fn register(&mut self, name: &'static str, within: Duration, work: impl FnOnce() + Send + 'static) {
        self.0.push(Hook { name, within, work: Box::new(work) });
    }

    /// Does it all, the last registered first, and returns within `whole`. What hangs or panics is named in the log and
    /// passed over: its thread ends with the process.
    ///
    /// # Errors
    /// [`PassedOver`] names what did not end as it should.
    pub fn run(self, whole: Duration) -> Result<(), PassedOver> {
        let deadline = Instant::now() + whole;
        let passed_over = |hook: Hook| {
            let name = hook.name;
            (!hook.run(deadline)).then_some(name)
        };
        let hung: Vec<_> = self.0.into_iter().rev().filter_map(passed_over).collect();
        if hung.is_empty() { Ok(()) } else { Err(PassedOver(hung)) }
    }
}

impl Hook {
    /// Whether it ended in good order.
    fn run(self, deadline: Instant) -> bool {
        let Self { name, within, work } = self;
        let start = Instant::now();
        let within = within.min(deadline.saturating_duration_since(start));
        let (done, ended) = channel();
        let thread = thread::Builder::new().name(name.chars().take(15).collect()).spawn(move || {
            work();
            // Nobody waits for it any more where it took too long.
            let _ = done.send(());
        });
        if let Err(error) = thread {
            error!(hook = name, %error, "cannot be put away");
            return false;
        }
        let done = ended.recv_timeout(within);
        match done {
            Ok(()) => debug!(hook = name, took = ?start.elapsed(), "put away"),
            Err(RecvTimeoutError::Timeout) => error!(hook = name, ?within, "hangs at the end; it is passed over"),
            Err(RecvTimeoutError::Disconnected) => error!(hook = name, "panicked at the end; it is passed over"),
        }
        done.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_last_registered_is_put_away_first() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut hooks = Hooks::new();
        for name in ["first", "second", "third"] {
            let order = Arc::clone(&order);
            hooks.register(name, LONG, move || order.lock().unwrap().push(name));
        }
        hooks.run(LONG).unwrap();
        assert_eq!(*order.lock().unwrap(), ["third", "second", "first"]);
    }

    #[test]
    fn one_that_hangs_or_panics_is_named_and_the_others_have_their_turn() {
        let (done, waiting) = channel();
        let (_never, forever) = channel::<()>();
        let mut hooks = Hooks::new();
        hooks.register("last", LONG, move || done.send(()).unwrap());
        hooks.register("hangs", Duration::from_millis(10), move || forever.iter().for_each(drop));
        hooks.register("panics", LONG, || panic!("on purpose"));
        let passed_over = hooks.run(LONG).unwrap_err();
        assert_eq!(passed_over.to_string(), "passed over at the end: panics, hangs");
        waiting.try_recv().unwrap();
    }

    #[test]
    fn all_of_them_together_keep_to_the_whole_time() {
        let start = Instant::now();
        let mut hooks = Hooks::new();
        for name in ["one", "two", "three"] {
            hooks.register(name, LONG, || thread::sleep(LONG));
        }
        assert_eq!(hooks.run(Duration::from_millis(20)), Err(PassedOver(vec!["three", "two", "one"])));
        assert!(start.elapsed() < LONG);
    }
}
