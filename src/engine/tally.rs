//! What was done since the engine began: numbers that only grow, for those who watch.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::task::{Event, EventKind, QueueName, State};

/// The upper bounds of [`Spans`], in seconds; what is longer falls into one more.
pub const BOUNDS: [f64; 9] = [0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];

/// How long attempts took, by [`BOUNDS`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Spans {
    /// How many fell below each bound and above the one before; the last is above all.
    pub counts: [u64; BOUNDS.len() + 1],
    /// All together, in seconds.
    pub seconds: f64,
}

/// What one queue did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Work {
    /// Tasks taken in.
    pub submitted: u64,
    /// Attempts started.
    pub started: u64,
    /// Tasks that ended, by state.
    pub ended: BTreeMap<State, u64>,
    /// How long the attempts took that ended.
    pub spans: Spans,
    /// What they wrote, in bytes.
    pub output_bytes: u64,
}

/// What was committed since the engine began.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tally {
    /// By queue.
    pub work: BTreeMap<QueueName, Work>,
    /// Commits to the store.
    pub commits: u64,
    /// Commits that failed.
    pub failed_commits: u64,
}

/// An attempt that ended, as it is counted once that is committed.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) queue: QueueName,
    pub(super) took: Duration,
    pub(super) output_bytes: u64,
}

impl Spans {
    fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.seconds += seconds;
    }
}

impl Tally {
    /// Counts what a commit made true.
    pub(super) fn add(&mut self, events: &[Event], runs: Vec<Run>) {
        for event in events {
            match &event.kind {
                EventKind::Submitted { .. } => self.of(&event.queue).submitted += 1,
                EventKind::Started { .. } => self.of(&event.queue).started += 1,
                EventKind::Ended { state, .. } if state.is_ended() => {
                    *self.of(&event.queue).ended.entry(*state).or_default() += 1;
                }
                EventKind::Ended { .. }
                | EventKind::Released { .. }
                | EventKind::Held
                | EventKind::Unclaimed { .. }
                | EventKind::Cancelling
                | EventKind::Signalled { .. }
                | EventKind::Retried { .. }
                | EventKind::Removed
                | EventKind::QueueChanged
                | EventKind::QueueRemoved
                | EventKind::QueuePaused
                | EventKind::QueueDraining
                | EventKind::QueueResumed
                | EventKind::BreakerOpened { .. }
                | EventKind::BreakerProbing
                | EventKind::BreakerClosed
                | EventKind::Recurred { .. } => {}
            }
        }
        for run in runs {
            let work = self.of(&run.queue);
            work.spans.add(run.took);
            work.output_bytes = work.output_bytes.saturating_add(run.output_bytes);
        }
    }

    fn of(&mut self, queue: &QueueName) -> &mut Work {
        self.work.entry(queue.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_falls_below_its_bound_and_the_longest_above_all() {
        let mut spans = Spans::default();
        for seconds in [0.0, 0.01, 0.011, 59.0, 1e6] {
            spans.add(Duration::from_secs_f64(seconds));
        }
        assert_eq!(spans.counts, [2, 1, 0, 0, 1, 0, 0, 0, 0, 1]);
        assert!((spans.seconds - 1_000_059.021).abs() < 1e-6);
    }
}
