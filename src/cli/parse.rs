//! Values of options as people write them: durations, sizes, times, variables.
//!
//! Pure: what depends on the clock or on the time zone is a [`Moment`] until somebody resolves it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::TypedValueParser;
use jiff::civil;
use jiff::tz::TimeZone;

use super::args::Variable;
use crate::config::{UnitError, parse_duration, parse_size};
use crate::task::{Missed, OnInterrupt, Overlap, Timestamp};

/// Text that is no value of its option.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ParseError {
    /// Not a duration.
    #[error("{0}; write a duration as 90s, 15m, 2h, 1d or 1h30m")]
    Duration(UnitError),
    /// Not a size.
    #[error("{0}; write a size as 512K, 64M or 2G")]
    Size(UnitError),
    /// Not a number, and not `none`.
    #[error("give a number, or none")]
    Limit,
    /// Not octal, or too large.
    #[error("give an octal number up to 777, such as 022")]
    Umask,
    /// Not a time.
    #[error("give HH:MM, YYYY-MM-DD HH:MM or a time as RFC 3339 has it, such as 2030-01-31T08:00:00Z")]
    Moment,
    /// Not one of a few words.
    #[error("give {0}")]
    Word(&'static str),
    /// Not a name of a variable.
    #[error("give NAME or NAME=VALUE")]
    Variable,
    /// A time beyond what the calendar holds.
    #[error("that time is out of range")]
    Range,
}

/// A duration with units, or a number of seconds as sleep(1) takes it.
pub(super) fn duration(text: &str) -> Result<Duration, ParseError> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_duration(&format!("{text}s")).map_err(ParseError::Duration);
    }
    parse_duration(text).map_err(ParseError::Duration)
}

/// A size in bytes, with units that are powers of 1024.
pub(super) fn size(text: &str) -> Result<u64, ParseError> {
    parse_size(text).map_err(ParseError::Size)
}

/// A limit that can be lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit<T>(pub(super) Option<T>);

/// A number, or `none`.
pub(super) fn limit<T: FromStr>(text: &str) -> Result<Limit<T>, ParseError> {
    if text == "none" {
        return Ok(Limit(None));
    }
    text.parse().map(|number| Limit(Some(number))).map_err(|_| ParseError::Limit)
}

/// A file mode creation mask, umask(2).
pub(super) fn umask(text: &str) -> Result<u32, ParseError> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8).ok().filter(|mask| *mask <= 0o777).ok_or(ParseError::Umask)
}

/// What follows an interruption.
pub(super) fn on_interrupt(text: &str) -> Result<OnInterrupt, ParseError> {
    match text {
        "retry" => Ok(OnInterrupt::Retry),
        "end" => Ok(OnInterrupt::End),
        _ => Err(ParseError::Word("retry or end")),
    }
}

/// What becomes of missed runs.
pub(super) fn missed(text: &str) -> Result<Missed, ParseError> {
    match text {
        "skip" => Ok(Missed::Skip),
        "once" => Ok(Missed::Once),
        "all" => Ok(Missed::All),
        _ => Err(ParseError::Word("skip, once or all")),
    }
}

/// What becomes of overlapping runs.
pub(super) fn overlap(text: &str) -> Result<Overlap, ParseError> {
    match text {
        "skip" => Ok(Overlap::Skip),
        "queue" => Ok(Overlap::Queue),
        "allow" => Ok(Overlap::Allow),
        _ => Err(ParseError::Word("skip, queue or allow")),
    }
}

/// A time as it was written; local ones need a clock and a zone to become a [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// RFC 3339, with its offset.
    Instant(jiff::Timestamp),
    /// A date and a time of day, local.
    Civil(civil::DateTime),
    /// A time of day, local; the next one to come.
    TimeOfDay(civil::Time),
}

impl FromStr for Moment {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        if let Ok(instant) = text.parse() {
            return Ok(Self::Instant(instant));
        }
        // A date alone would mean midnight, which hardly anybody means.
        let parsed = match (text.contains('-'), text.contains(':')) {
            (true, true) => text.parse().map(Self::Civil),
            (false, true) => text.parse().map(Self::TimeOfDay),
            (true | false, false) => return Err(ParseError::Moment),
        };
        parsed.map_err(|_| ParseError::Moment)
    }
}

impl Moment {
    /// The moment itself. A local time that a clock change skips or repeats is taken as RFC 5545 does.
    ///
    /// # Errors
    /// [`ParseError::Range`] where the calendar ends.
    pub(super) fn resolve(self, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, ParseError> {
        let out_of_range = |_| ParseError::Range;
        let instant = match self {
            Self::Instant(instant) => instant,
            Self::Civil(local) => zone.to_timestamp(local).map_err(out_of_range)?,
            Self::TimeOfDay(time) => {
                let now = jiff::Timestamp::from_microsecond(now.0).map_err(out_of_range)?;
                let today = zone.to_datetime(now).date();
                let candidate = zone.to_timestamp(today.to_datetime(time)).map_err(out_of_range)?;
                if candidate > now {
                    candidate
                } else {
                    let tomorrow = today.tomorrow().map_err(out_of_range)?;
                    zone.to_timestamp(tomorrow.to_datetime(time)).map_err(out_of_range)?
                }
            }
        };
        Ok(Timestamp(instant.as_microsecond()))
    }
}

/// Reads `NAME` or `NAME=VALUE`, of any bytes.
pub(super) fn variable(text: &OsStr) -> Result<Variable, ParseError> {
    let bytes = text.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_vec()))),
        None => (bytes, None),
    };
    if name.is_empty() {
        return Err(ParseError::Variable);
    }
    Ok(Variable { name: OsString::from_vec(name.to_vec()), value })
}

/// [`variable`] as clap takes it, which has no shorter way for text that need not be UTF-8.
#[derive(Debug, Clone, Copy)]
pub(super) struct VariableParser;

impl TypedValueParser for VariableParser {
    type Value = Variable;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Variable, clap::Error> {
        variable(value).map_err(|error| {
            let option = argument.map(ToString::to_string).unwrap_or_default();
            let text = format!("invalid value '{}' for '{option}': {error}\n", value.display());
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vienna() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn a_number_alone_is_seconds_as_sleep_has_it() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        for bad in ["", " ", "-1", "1y", "1.5h", "99999999999999999999"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn limits_can_be_lifted_by_a_word() {
        assert_eq!(limit::<u32>("none"), Ok(Limit(None)));
        assert_eq!(limit::<u32>("3"), Ok(Limit(Some(3))));
        assert_eq!(limit::<u32>("-3"), Err(ParseError::Limit));
        assert_eq!(limit::<u32>(""), Err(ParseError::Limit));
    }

    #[test]
    fn masks_are_octal() {
        assert_eq!(umask("022"), Ok(0o22));
        assert_eq!(umask("0o77"), Ok(0o77));
        for bad in ["", "8", "1000", "-1", "rwx"] {
            assert_eq!(umask(bad), Err(ParseError::Umask), "{bad}");
        }
    }

    #[test]
    fn a_time_of_day_is_the_next_one_to_come() {
        let now = at("2030-06-01T10:00:00Z");
        let resolve = |text: &str| text.parse::<Moment>().unwrap().resolve(now, &vienna()).unwrap();
        assert_eq!(resolve("12:30"), at("2030-06-01T10:30:00Z"));
        assert_eq!(resolve("12:00"), at("2030-06-02T10:00:00Z"), "now itself is over");
        assert_eq!(resolve("02:30:15"), at("2030-06-02T00:30:15Z"));
    }

    #[test]
    fn dates_are_local_and_rfc_3339_is_not() {
        let now = at("2030-06-01T10:00:00Z");
        let resolve = |text: &str| text.parse::<Moment>().unwrap().resolve(now, &vienna()).unwrap();
        assert_eq!(resolve("2030-01-31 08:00"), at("2030-01-31T07:00:00Z"));
        assert_eq!(resolve("2030-07-31T08:00:30"), at("2030-07-31T06:00:30Z"));
        assert_eq!(resolve("2030-01-31T08:00:00Z"), at("2030-01-31T08:00:00Z"));
        assert_eq!(resolve("2030-01-31T08:00:00-05:00"), at("2030-01-31T13:00:00Z"));
    }

    #[test]
    fn a_local_time_that_the_clock_skips_is_still_a_time() {
        let skipped: Moment = "2030-03-31 02:30".parse().unwrap();
        assert_eq!(skipped.resolve(Timestamp(0), &vienna()), Ok(at("2030-03-31T01:30:00Z")));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in ["", "tomorrow", "25:00", "2030-02-30 08:00", "2030-01-31", "8"] {
            assert_eq!(bad.parse::<Moment>(), Err(ParseError::Moment), "{bad}");
        }
    }

    #[test]
    fn variables_split_at_the_first_equals_sign() {
        assert_eq!(variable(OsStr::new("A=b=c")).unwrap().value.unwrap(), "b=c");
        assert_eq!(variable(OsStr::new("A=")).unwrap().value.unwrap(), "");
        assert_eq!(variable(OsStr::new("A")).unwrap().value, None);
        assert_eq!(variable(OsStr::new("=b")), Err(ParseError::Variable));
        let bytes = variable(OsStr::from_bytes(b"A=\xff")).unwrap();
        assert_eq!(bytes.value.unwrap().as_bytes(), b"\xff");
    }
}
