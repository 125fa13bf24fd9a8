//! Times, spans and sizes as people say them.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::task::{Size, Timestamp};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A span in its two largest units: `250ms`, `12s`, `3m20s`, `2h05m`, `4d03h`.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let two = |large: u64, unit: char, small: u64, below: char| match small {
        0 => format!("{large}{unit}"),
        _ => format!("{large}{unit}{small:02}{below}"),
    };
    match seconds {
        0 if span.is_zero() => "0s".to_owned(),
        0 => format!("{}ms", span.as_millis().max(1)),
        1..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => two(seconds / MINUTE, 'm', seconds % MINUTE, 's'),
        HOUR..DAY => two(seconds / HOUR, 'h', seconds % HOUR / MINUTE, 'm'),
        DAY.. => two(seconds / DAY, 'd', seconds % DAY / HOUR, 'h'),
    }
}

/// A number of milliseconds as a span.
pub(super) fn millis(milliseconds: u64) -> String {
    span(Duration::from_millis(milliseconds))
}

/// How far a moment is from now: `3m20s ago`, `in 12s`, `now`.
pub(super) fn distance(moment: Timestamp, now: Timestamp) -> String {
    let whole_seconds = |span: Duration| Duration::from_secs(span.as_secs());
    let (past, future) = (whole_seconds(now.since(moment)), whole_seconds(moment.since(now)));
    if !past.is_zero() {
        format!("{} ago", span(past))
    } else if !future.is_zero() {
        format!("in {}", span(future))
    } else {
        "now".to_owned()
    }
}

/// A moment by the clock of `zone`, to the second, with its distance from now.
pub(super) fn moment(moment: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(moment.0) {
        Ok(time) => format!("{} ({})", zone.to_datetime(time).strftime("%Y-%m-%d %H:%M:%S"), distance(moment, now)),
        Err(_) => moment.to_string(),
    }
}

/// A number of bytes, as [`Size`] says it.
pub(super) fn size(bytes: u64) -> String {
    Size(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units_at_most() {
        let said = |seconds: u64| span(Duration::from_secs(seconds));
        assert_eq!(span(Duration::ZERO), "0s");
        assert_eq!(span(Duration::from_millis(250)), "250ms");
        assert_eq!(span(Duration::from_micros(3)), "1ms");
        assert_eq!((said(12), said(200), said(120)), ("12s".into(), "3m20s".into(), "2m".into()));
        assert_eq!((said(7500), said(97 * HOUR)), ("2h05m".into(), "4d01h".into()));
    }

    #[test]
    fn distances_have_a_direction() {
        let now = Timestamp(1_000_000_000);
        assert_eq!(distance(Timestamp(995_000_000), now), "5s ago");
        assert_eq!(distance(Timestamp(1_065_000_000), now), "in 1m05s");
        assert_eq!(distance(Timestamp(1_000_400_000), now), "now");
    }

    #[test]
    fn moments_are_local() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(moment(Timestamp(0), Timestamp(60_000_000), &zone), "1970-01-01 02:00:00 (1m ago)");
    }
}
