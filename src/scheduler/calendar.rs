//! The times of a recurring task.
//!
//! Calendar expressions are those of crontab(5), with optional seconds and the `@daily` kind of nicknames, read
//! in a time zone: a time that a change to summer time leaves out is moved past the gap, one that comes twice
//! counts once where it is a fixed time of the day. Intervals are counted in elapsed time.

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};
use jiff::Zoned;
use jiff::tz::TimeZone;

use crate::task::{Rule, Timestamp};

/// The shortest interval, in milliseconds.
pub const SHORTEST_INTERVAL_MS: u64 = 1_000;

/// Why a rule has no times.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The expression does not follow crontab(5).
    #[error("{0}")]
    Expression(String),
    /// The time zone is not in the host's database.
    #[error("there is no time zone {0:?}")]
    Zone(String),
    /// The expression names a date that does not come, such as 30 February.
    #[error("it names no time to come")]
    Never,
}

/// The first time of the rule after a moment; `None` where there is no further one.
///
/// # Errors
/// Where the rule cannot be read.
pub fn next_after(rule: &Rule, moment: Timestamp) -> Result<Option<Timestamp>, Error> {
    match rule {
        Rule::Every { interval_ms, since } => Ok(Some(interval_after(*interval_ms, *since, moment))),
        Rule::Calendar { expression, zone } => Calendar::read(expression, zone.as_deref())?.next_after(moment),
    }
}

/// The times of a rule that have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// All from the first on, oldest first, as far as the limit goes.
    pub times: Vec<Timestamp>,
    /// The first that has not come.
    pub next: Option<Timestamp>,
}

/// The times of a rule from `first`, which is one, up to `now`: at most `limit` of them, however many there were.
///
/// # Errors
/// Where the rule cannot be read.
pub fn due(rule: &Rule, first: Timestamp, now: Timestamp, limit: usize) -> Result<Due, Error> {
    let mut times = Vec::new();
    let mut next = Some(first);
    while let Some(time) = next.filter(|time| *time <= now)
        && times.len() < limit
    {
        times.push(time);
        next = next_after(rule, time)?;
    }
    if next.is_some_and(|time| time <= now) {
        next = next_after(rule, now)?;
    }
    Ok(Due { times, next })
}

/// The last time of the rule that is not after a moment.
///
/// # Errors
/// Where the rule cannot be read.
pub fn last_until(rule: &Rule, moment: Timestamp) -> Result<Option<Timestamp>, Error> {
    match rule {
        Rule::Every { interval_ms, since } => {
            let interval = interval_us(*interval_ms);
            let next = interval_after(*interval_ms, *since, moment);
            Ok(Some(Timestamp(next.0.saturating_sub(interval))).filter(|time| time > since))
        }
        Rule::Calendar { expression, zone } => Calendar::read(expression, zone.as_deref())?.last_until(moment),
    }
}

fn interval_us(interval_ms: u64) -> i64 {
    i64::try_from(interval_ms.max(SHORTEST_INTERVAL_MS)).unwrap_or(i64::MAX).saturating_mul(1_000)
}

/// The first multiple of the interval after `since` that is after `moment`.
fn interval_after(interval_ms: u64, since: Timestamp, moment: Timestamp) -> Timestamp {
    let interval = interval_us(interval_ms);
    let passed = moment.0.saturating_sub(since.0).max(0) / interval;
    Timestamp(since.0.saturating_add(passed.saturating_add(1).saturating_mul(interval)))
}

struct Calendar {
    cron: Cron,
    zone: TimeZone,
}

impl Calendar {
    fn read(expression: &str, zone: Option<&str>) -> Result<Self, Error> {
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser.parse(expression).map_err(unreadable)?;
        let zone = match zone {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name).map_err(|_| Error::Zone(name.to_owned()))?,
        };
        Ok(Self { cron, zone })
    }

    fn at(&self, moment: Timestamp) -> Option<Zoned> {
        let time = jiff::Timestamp::from_microsecond(moment.0).ok()?;
        Some(time.to_zoned(self.zone.clone()))
    }

    fn next_after(&self, moment: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.at(moment).map_or(Ok(None), |time| found(self.cron.find_next_occurrence(&time, false)))
    }

    fn last_until(&self, moment: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.at(moment).map_or(Ok(None), |time| found(self.cron.find_previous_occurrence(&time, true)))
    }
}

/// A search that leaves the calendar's years has found nothing; that is no fault of the expression.
fn found(result: Result<Zoned, CronError>) -> Result<Option<Timestamp>, Error> {
    match result {
        Ok(time) => Ok(Some(Timestamp(time.timestamp().as_microsecond()))),
        Err(CronError::TimeSearchLimitExceeded | CronError::InvalidDate | CronError::InvalidTime) => Ok(None),
        Err(
            error @ (CronError::EmptyPattern
            | CronError::InvalidPattern(_)
            | CronError::IllegalCharacters(_)
            | CronError::ComponentError(_)),
        ) => Err(unreadable(error)),
    }
}

/// What the reader of expressions found, without its capital, its full stop and its own names for things.
fn unreadable(error: CronError) -> Error {
    let text = match error {
        CronError::EmptyPattern => "it is empty".to_owned(),
        CronError::InvalidPattern(text) | CronError::IllegalCharacters(text) | CronError::ComponentError(text) => text,
        other @ (CronError::TimeSearchLimitExceeded | CronError::InvalidDate | CronError::InvalidTime) => {
            other.to_string()
        }
    };
    let text = text.trim_end_matches('.');
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_lowercase());
    Error::Expression(first.into_iter().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    fn calendar(expression: &str, zone: &str) -> Rule {
        Rule::Calendar { expression: expression.to_owned(), zone: Some(zone.to_owned()) }
    }

    fn next(rule: &Rule, moment: &str) -> String {
        next_after(rule, at(moment)).unwrap().unwrap().to_string()
    }

    #[test]
    fn a_calendar_expression_is_read_in_its_time_zone() {
        let rule = calendar("30 4 * * MON-FRI", "Europe/Berlin");
        assert_eq!(next(&rule, "2026-11-20T12:00:00Z"), "2026-11-23T03:30:00.000000Z");
        assert_eq!(next(&calendar("@daily", "UTC"), "2026-11-20T00:00:00Z"), "2026-11-21T00:00:00.000000Z");
        assert_eq!(next(&calendar("*/10 * * * * *", "UTC"), "2026-11-20T00:00:09.5Z"), "2026-11-20T00:00:10.000000Z");
    }

    #[test]
    fn a_time_that_summer_time_leaves_out_is_not_lost() {
        let rule = calendar("30 2 * * *", "Europe/Berlin");
        let next = next_after(&rule, at("2026-03-28T12:00:00Z")).unwrap().unwrap();
        assert!(next > at("2026-03-29T00:59:59Z") && next <= at("2026-03-29T01:30:00Z"), "{next}");
    }

    #[test]
    fn a_time_that_comes_twice_in_autumn_counts_once() {
        let rule = calendar("30 2 * * *", "Europe/Berlin");
        let due = due(&rule, at("2026-10-24T00:30:00Z"), at("2026-10-27T00:00:00Z"), 10).unwrap();
        assert_eq!(due.times.len(), 3, "{:?}", due.times);
    }

    #[test]
    fn an_interval_counts_from_its_start() {
        let rule = Rule::Every { interval_ms: 10_000, since: Timestamp(0) };
        assert_eq!(next_after(&rule, Timestamp(0)).unwrap(), Some(Timestamp(10_000_000)));
        assert_eq!(next_after(&rule, Timestamp(10_000_000)).unwrap(), Some(Timestamp(20_000_000)));
        assert_eq!(next_after(&rule, Timestamp(-5)).unwrap(), Some(Timestamp(10_000_000)));
        assert_eq!(last_until(&rule, Timestamp(25_000_000)).unwrap(), Some(Timestamp(20_000_000)));
        assert_eq!(last_until(&rule, Timestamp(9_000_000)).unwrap(), None);
    }

    #[test]
    fn a_clock_that_jumps_a_century_costs_no_more_than_the_limit() {
        let rule = Rule::Every { interval_ms: 1_000, since: Timestamp(0) };
        let due = due(&rule, Timestamp(1_000_000), Timestamp(i64::MAX / 4), 5).unwrap();
        assert_eq!(due.times.len(), 5);
        assert!(due.next > Some(Timestamp(i64::MAX / 4)));
    }

    #[test]
    fn what_is_no_expression_is_told() {
        for bad in ["", "* *", "61 * * * *", "a b c d e"] {
            let said = next_after(&calendar(bad, "UTC"), Timestamp(0)).unwrap_err().to_string();
            assert!(said.starts_with(char::is_lowercase) && !said.ends_with('.'), "{bad:?}: {said}");
        }
        assert!(matches!(next_after(&calendar("@daily", "Mars/Olympus"), Timestamp(0)), Err(Error::Zone(_))));
    }

    #[test]
    fn a_date_that_never_comes_has_no_time_and_is_found_out_quickly() {
        let begun = std::time::Instant::now();
        assert_eq!(next_after(&calendar("0 0 30 2 *", "UTC"), Timestamp(0)).unwrap(), None);
        assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
