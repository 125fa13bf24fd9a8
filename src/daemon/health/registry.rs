//! The registry: who checks what, and the running of it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use super::{Checked, Finding, Report};

/// Checks by name; cheap to clone, and all clones are the same registry.
#[derive(Clone, Default)]
pub struct Registry {
    checks: Arc<RwLock<Vec<Arc<Check>>>>,
}

type Look = Box<dyn Fn() -> Finding + Send + Sync>;

struct Check {
    name: String,
    deadline: Duration,
    look: Look,
    /// Outlives the check where another takes its name, so that its thread still counts.
    flight: Arc<Flight>,
}

/// The runs of one check, of which there is never more than one at a time.
#[derive(Default)]
struct Flight {
    state: Mutex<State>,
    landed: Condvar,
}

#[derive(Default)]
struct State {
    /// Runs that have begun.
    begun: u64,
    /// When the one that goes on began.
    since: Option<Instant>,
    /// What the last one found, and how long it took.
    last: Option<(Finding, Duration)>,
}

impl Registry {
    /// A registry without checks.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check, or replaces the one of that name. It is run on a thread of its own; one that has not come back
    /// `deadline` after its beginning counts as unhealthy, and is not run again before it has.
    pub fn register(
        &self,
        name: impl Into<String>,
        deadline: Duration,
        look: impl Fn() -> Finding + Send + Sync + 'static,
    ) {
        let name = name.into();
        let mut checks = self.checks.write().unwrap_or_else(PoisonError::into_inner);
        let old = checks.iter().position(|check| check.name == name);
        let flight = old.and_then(|at| checks.get(at)).map(|check| Arc::clone(&check.flight)).unwrap_or_default();
        let check = Arc::new(Check { name, deadline, look: Box::new(look), flight });
        match old.and_then(|at| checks.get_mut(at)) {
            Some(place) => *place = check,
            None => checks.push(check),
        }
    }

    /// Removes a check; says whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let mut checks = self.checks.write().unwrap_or_else(PoisonError::into_inner);
        let before = checks.len();
        checks.retain(|check| check.name != name);
        checks.len() < before
    }

    /// Runs all checks side by side, and returns when each has come back or passed its deadline. A check that goes
    /// on already is not run a second time: its answer is waited for.
    #[must_use]
    pub fn run(&self) -> Report {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner).clone();
        let runs: Vec<u64> = checks.iter().map(Check::begin).collect();
        Report { checks: checks.iter().zip(runs).map(|(check, run)| check.finish(run)).collect() }
    }
}

impl Check {
    /// Begins a run, unless one goes on; returns which is to be waited for.
    fn begin(self: &Arc<Self>) -> u64 {
        let mut state = self.flight.lock();
        if state.since.is_some() {
            return state.begun;
        }
        state.begun += 1;
        state.since = Some(Instant::now());
        let run = state.begun;
        drop(state);
        let check = Arc::clone(self);
        let work = move || {
            let found = catch_unwind(AssertUnwindSafe(|| (check.look)()));
            check.flight.land(found.unwrap_or_else(|_| {
                Finding::unhealthy("the check panicked", "the log says where; this is a fault of the program")
            }));
        };
        if let Err(error) = thread::Builder::new().name("health".to_owned()).spawn(work) {
            let says = format!("the check could not be run: no thread can be started: {error}");
            self.flight.land(Finding::unhealthy(says, "see which limit on processes or memory is reached"));
        }
        run
    }

    /// What that run found, or that it has not come back in time.
    fn finish(&self, run: u64) -> Checked {
        let state = self.flight.lock();
        let since = state.since.unwrap_or_else(Instant::now);
        let left = self.deadline.saturating_sub(since.elapsed());
        let goes_on = |state: &mut State| state.begun == run && state.since.is_some();
        let waited = self.flight.landed.wait_timeout_while(state, left, goes_on);
        let (state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        let name = self.name.clone();
        match &state.last {
            Some((finding, took)) if !waited.timed_out() => Checked { name, finding: finding.clone(), took: *took },
            Some(_) | None => {
                let took = since.elapsed();
                let says = format!("the check has not come back for {:.1} s", took.as_secs_f64());
                let advice = "what it looks at hangs; see the log";
                Checked { name, finding: Finding::unhealthy(says, advice), took }
            }
        }
    }
}

impl Flight {
    fn land(&self, finding: Finding) {
        let mut state = self.lock();
        let took = state.since.take().map(|since| since.elapsed()).unwrap_or_default();
        state.last = Some((finding, took));
        drop(state);
        self.landed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under this lock, so a panic elsewhere does no harm here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks = self.checks.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(checks.iter().map(|check| &check.name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::daemon::health::Level;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn the_worst_finding_decides() {
        let registry = Registry::new();
        assert_eq!(registry.run().level(), Level::Healthy);
        registry.register("a", LONG, || Finding::healthy("well"));
        registry.register("b", LONG, || Finding::unhealthy("ill", "heal it"));
        registry.register("c", LONG, || Finding::degraded("so so", "watch it"));
        let report = registry.run();
        assert_eq!(report.level(), Level::Unhealthy);
        let names: Vec<&str> = report.checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(registry.remove("b") && !registry.remove("b"));
        assert_eq!(registry.run().level(), Level::Degraded);
    }

    #[test]
    fn checks_run_side_by_side() {
        let registry = Registry::new();
        let (tell, told) = mpsc::channel();
        let told = Mutex::new(told);
        registry.register("waits for the other", LONG, move || {
            told.lock().unwrap().recv_timeout(LONG).unwrap();
            Finding::healthy("it came")
        });
        registry.register("other", LONG, move || {
            tell.send(()).unwrap();
            Finding::healthy("told")
        });
        assert_eq!(registry.run().level(), Level::Healthy);
    }

    #[test]
    fn a_check_that_hangs_is_told_in_time_and_has_one_thread_whatever_is_asked() {
        let registry = Registry::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let counted = Arc::clone(&runs);
        registry.register("hangs", Duration::from_millis(20), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = released.lock().unwrap().recv();
            Finding::healthy("back")
        });
        registry.register("swift", LONG, || Finding::healthy("here"));
        for _ in 0..10 {
            let report = registry.run();
            assert_eq!(report.level(), Level::Unhealthy);
            assert!(report.checks[0].finding.says.contains("has not come back"), "{report:?}");
            assert_eq!(report.checks[1].finding.says, "here");
        }
        // Another check of that name waits for the thread of the first.
        registry.register("hangs", Duration::from_millis(20), || Finding::healthy("new"));
        assert_eq!(registry.run().level(), Level::Unhealthy);
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        drop(release);
        let since = Instant::now();
        while registry.run().level() != Level::Healthy {
            assert!(since.elapsed() < LONG);
        }
    }

    #[test]
    fn a_check_that_panics_is_unhealthy_and_runs_again() {
        let registry = Registry::new();
        let first = AtomicUsize::new(0);
        registry.register("odd", LONG, move || {
            assert!(first.fetch_add(1, Ordering::Relaxed) > 0, "the first time it panics");
            Finding::healthy("well")
        });
        assert_eq!(registry.run().level(), Level::Unhealthy);
        assert_eq!(registry.run().level(), Level::Healthy);
    }
}
