//! The daemon's own checks: what the engine knows, asked once for all of them.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use crate::daemon::health::{Finding, Registry};
use crate::engine::{Caller, Command, Handle, Part, Query, Refusal, Reply, Status};

/// What a check is given beyond what it waits for the engine.
const MARGIN: Duration = Duration::from_secs(1);

/// The check that shows whether the engine answers at all.
const ENGINE: &str = "engine";

/// Registers the checks, or sets how long they may take.
pub(super) fn register(registry: &Registry, engine: &Handle, uid: u32, timeout: Duration) {
    let vitals = Arc::new(Vitals {
        engine: engine.clone(),
        caller: Caller { uid, privileged: true },
        patience: timeout,
        last: Mutex::new(None),
    });
    let looks = Arc::clone(&vitals);
    registry.register(ENGINE, timeout + MARGIN, move || looks.look().engine(timeout));
    for part in Part::ALL {
        let looks = Arc::clone(&vitals);
        registry.register(part.word(), timeout + MARGIN, move || looks.look().part(part));
    }
}

/// The way to what the engine knows.
struct Vitals {
    engine: Handle,
    caller: Caller,
    patience: Duration,
    last: Mutex<Option<(Instant, Arc<Answer>)>>,
}

/// What the engine said.
enum Answer {
    Status(Box<Status>, Duration),
    Refused(Refusal),
    Silent,
}

impl Vitals {
    /// What the engine says to those who ask now; the first one asks, the others wait for the same answer.
    fn look(&self) -> Arc<Answer> {
        let came = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((answered, answer)) = &*last
            && *answered >= came
        {
            return Arc::clone(answer);
        }
        let answer = Arc::new(self.ask());
        *last = Some((Instant::now(), Arc::clone(&answer)));
        answer
    }

    fn ask(&self) -> Answer {
        let since = Instant::now();
        let answer = match self.send(Command::Examine, self.patience) {
            // The queue cannot be written; what the engine knows besides is told all the same.
            Some(Err(Refusal::Store(_))) => {
                self.send(Command::Read(Query::Status), self.patience.saturating_sub(since.elapsed()))
            }
            other => other,
        };
        match answer {
            Some(Ok(Reply::Status(status))) => Answer::Status(status, since.elapsed()),
            Some(Ok(_)) => Answer::Refused(Refusal::Gone),
            Some(Err(refusal)) => Answer::Refused(refusal),
            None => Answer::Silent,
        }
    }

    fn send(&self, command: Command, patience: Duration) -> Option<Result<Reply, Refusal>> {
        let (answer, answered) = mpsc::channel();
        // Whoever lost patience needs no answer.
        self.engine.command(self.caller, command, Box::new(move |reply| drop(answer.send(reply))));
        answered.recv_timeout(patience).ok()
    }
}

impl Answer {
    fn engine(&self, patience: Duration) -> Finding {
        match self {
            Self::Status(_, took) => Finding::healthy(format!("it answered within {:.1} ms", took.as_secs_f64() * 1e3)),
            Self::Refused(refusal) => {
                Finding::unhealthy(refusal.to_string(), "see the log; a restart takes everything up")
            }
            Self::Silent => {
                let says = format!("it has not answered within {} s", patience.as_secs_f64());
                Finding::unhealthy(says, "the disk may hang, see the log; a restart takes everything up")
            }
        }
    }

    fn part(&self, wanted: Part) -> Finding {
        let unknown = || Finding::degraded("this is not known, for the engine does not tell", "see the check engine");
        match self {
            Self::Status(status, _) => {
                let found = status.findings.iter().find(|(part, _)| *part == wanted);
                found.map_or_else(unknown, |(_, finding)| finding.clone())
            }
            Self::Refused(_) | Self::Silent => unknown(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::health::Level;

    #[test]
    fn an_engine_that_is_silent_is_told_within_the_timeout() {
        let (handle, _messages) = Handle::new();
        let registry = Registry::new();
        register(&registry, &handle, 0, Duration::from_millis(20));
        let report = registry.run();
        let names: Vec<&str> = report.checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["engine", "store", "disk", "runner", "queues", "breakers"]);
        assert_eq!(report.level(), Level::Unhealthy);
        assert!(report.checks[0].finding.says.contains("has not answered"), "{report:?}");
        assert!(report.checks[1..].iter().all(|check| check.finding.level == Level::Degraded), "{report:?}");
    }

    #[test]
    fn an_engine_that_is_gone_is_told() {
        let (handle, messages) = Handle::new();
        drop(messages);
        let registry = Registry::new();
        register(&registry, &handle, 0, Duration::from_secs(60));
        assert!(registry.run().checks[0].finding.says.contains("stopped"));
    }
}
