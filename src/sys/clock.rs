//! Moments as the kernel counts them.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Microseconds since 1970-01-01 00:00 UTC.
#[must_use]
pub fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Time since boot, suspension included: CLOCK_BOOTTIME, clock_gettime(2).
///
/// # Errors
/// Where the kernel has no such clock.
pub fn since_boot() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_BOOTTIME)?.into())
}

/// A century: further than any deadline is kept.
const FURTHEST_MS: u64 = 100 * 366 * 24 * 3_600_000;

/// The moment `ms` milliseconds after `now`; at most a century.
#[must_use]
pub fn after(now: Instant, ms: u64) -> Instant {
    now + Duration::from_millis(ms.min(FURTHEST_MS))
}
