//! The health checks as the API runs them: those who ask at the same time share a run.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Mutex;

use super::answer::Failure;
use crate::daemon::health::{Registry, Report};

/// The checks, with what they found last.
#[derive(Debug)]
pub(super) struct Examiner {
    registry: Registry,
    last: Mutex<Option<(Instant, Arc<Report>)>>,
}

impl Examiner {
    pub(super) fn new(registry: Registry) -> Self {
        Self { registry, last: Mutex::new(None) }
    }

    /// What the checks find now. However many ask, one run goes on, on one helper's thread, and those who came
    /// before it began share the next.
    pub(super) async fn examine(&self) -> Result<Arc<Report>, Failure> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((begun, report)) = &*last
            && *begun >= asked
        {
            return Ok(Arc::clone(report));
        }
        let begun = Instant::now();
        let registry = self.registry.clone();
        let run = tokio::task::spawn_blocking(move || registry.run()).await;
        let report = run.map_err(|_| Failure::new(500, "internal", "Internal error", "the checks could not be run"))?;
        let report = Arc::new(report);
        *last = Some((begun, Arc::clone(&report)));
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::daemon::health::Finding;

    #[test]
    fn a_crowd_that_asks_at_once_shares_two_runs() {
        let (registry, runs) = (Registry::new(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&runs);
        registry.register("counts", Duration::from_secs(60), move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Finding::healthy("counted")
        });
        let examiner = Arc::new(Examiner::new(registry));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let crowd: Vec<_> = (0..100)
                .map(|_| {
                    let examiner = Arc::clone(&examiner);
                    tokio::spawn(async move { examiner.examine().await.is_ok() })
                })
                .collect();
            for one in crowd {
                assert!(one.await.unwrap());
            }
        });
        assert!(runs.load(Ordering::Relaxed) <= 2, "{runs:?}");
    }
}
