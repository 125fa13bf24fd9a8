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

/// Moments written down for the next program of this process: [`Instant`]s, whose clock goes on across execve(2).
pub mod moment {
    use std::time::{Duration, Instant};

    use nix::time::{ClockId, clock_gettime};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// What the clock shows now.
    fn clock() -> Duration {
        clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
    }

    /// Writes a moment down.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(at: &Instant, to: S) -> Result<S::Ok, S::Error> {
        let now = Instant::now();
        let shown = match at.checked_duration_since(now) {
            Some(ahead) => clock() + ahead,
            None => clock().saturating_sub(now.duration_since(*at)),
        };
        shown.serialize(to)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// Those of the format.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Instant, D::Error> {
        let (now, shown) = (Instant::now(), Duration::deserialize(from)?);
        let clock = clock();
        Ok(match shown.checked_sub(clock) {
            Some(ahead) => now + ahead,
            None => now.checked_sub(clock - shown).unwrap_or(now),
        })
    }

    /// The same for a moment that may be none.
    pub mod maybe {
        use super::{Deserialize, Deserializer, Instant, Serialize, Serializer};

        #[derive(Serialize, Deserialize)]
        struct Moment(#[serde(with = "super")] Instant);

        /// Writes a moment down, or that there is none.
        ///
        /// # Errors
        /// Those of the format.
        pub fn serialize<S: Serializer>(at: &Option<Instant>, to: S) -> Result<S::Ok, S::Error> {
            at.map(Moment).serialize(to)
        }

        /// Reads it back.
        ///
        /// # Errors
        /// Those of the format.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Instant>, D::Error> {
            Ok(Option::<Moment>::deserialize(from)?.map(|moment| moment.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Written(#[serde(with = "moment")] Instant, #[serde(with = "moment::maybe")] Option<Instant>);

    #[test]
    fn a_moment_is_read_back_as_the_same_moment() {
        let now = Instant::now();
        for at in [now + Duration::from_secs(5), now.checked_sub(Duration::from_millis(3)).unwrap()] {
            let text = serde_json::to_string(&Written(at, Some(at))).unwrap();
            let Written(read, maybe) = serde_json::from_str(&text).unwrap();
            let off = read.max(at) - read.min(at);
            assert!(off < Duration::from_millis(50) && maybe.is_some(), "{off:?}");
        }
        assert!(serde_json::to_string(&Written(now, None)).unwrap().ends_with("null]"));
    }
}
