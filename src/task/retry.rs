//! What follows a failure, and what follows an interruption.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often and when a task that failed or timed out runs again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retry {
    /// Executions after the first; 0 is none.
    pub limit: u32,
    /// Wait before the first retry, in milliseconds; it doubles with each further one.
    pub delay_ms: u64,
    /// The longest wait, in milliseconds.
    pub max_delay_ms: u64,
    /// How much of the wait is chance, in percent: 20 spreads it over 80 % to 120 %.
    pub jitter_percent: u8,
}

impl Default for Retry {
    fn default() -> Self {
        Self { limit: 0, delay_ms: 1_000, max_delay_ms: 3_600_000, jitter_percent: 10 }
    }
}

impl Retry {
    /// The wait after the `failures`-th failure in a row (1 is the first), or `None` when the limit is reached.
    /// `chance` is uniform in 0.0 to 1.0.
    #[must_use]
    pub fn delay_after(&self, failures: u32, chance: f64) -> Option<Duration> {
        if failures == 0 || failures > self.limit {
            return None;
        }
        let doublings = (failures - 1).min(63);
        let wait = self.delay_ms.saturating_mul(1 << doublings).min(self.max_delay_ms);
        let spread = f64::from(self.jitter_percent.min(100)) / 100.0;
        let factor = 1.0 + spread * (2.0 * chance.clamp(0.0, 1.0) - 1.0);
        Some(Duration::from_millis(wait).mul_f64(factor))
    }
}

/// What follows when an attempt was cut off by a crash, a power cut or a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnInterrupt {
    /// It runs again, up to the configured number of interruptions.
    #[default]
    Retry,
    /// It ends as *interrupted*.
    End,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let retry = Retry { limit: 5, delay_ms: 100, max_delay_ms: 500, jitter_percent: 0 };
        let waits: Vec<_> = (1..=6).map(|n| retry.delay_after(n, 0.3).map(|d| d.as_millis())).collect();
        assert_eq!(waits, [Some(100), Some(200), Some(400), Some(500), Some(500), None]);
    }

    #[test]
    fn nothing_is_retried_unless_asked() {
        assert_eq!(Retry::default().delay_after(1, 0.5), None);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_share(delay in 0_u64..1 << 40, percent in 0_u8..=100, chance in 0.0..=1.0, n in any::<u32>()) {
            let retry = Retry { limit: u32::MAX, delay_ms: delay, max_delay_ms: delay, jitter_percent: percent };
            if let Some(wait) = retry.delay_after(n, chance) {
                let most = Duration::from_millis(delay).mul_f64(1.0 + f64::from(percent) / 100.0);
                assert!(wait <= most + Duration::from_millis(1));
            }
        }
    }
}
