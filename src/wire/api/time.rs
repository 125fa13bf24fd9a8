//! Moments as documents write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::task::Timestamp;

/// A moment, written as RFC 3339 in UTC with microseconds; any offset is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-11-20T09:57:00.000000Z"))]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<jiff::Timestamp>() {
            Ok(time) => Ok(Self(Timestamp(time.as_microsecond()))),
            Err(_) => Err(format!("{text:?} is not a time such as 2026-11-20T09:57:00Z (RFC 3339)")),
        }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_back_to_the_microsecond() {
        let time = Time(Timestamp(1_700_000_000_123_456));
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2023-11-14T22:13:20.123456Z\"");
        assert_eq!(time.to_string().parse(), Ok(time));
    }

    #[test]
    fn any_offset_is_read_and_other_texts_are_refused() {
        assert_eq!("1970-01-01T01:00:00+01:00".parse(), Ok(Time(Timestamp(0))));
        assert!("tomorrow".parse::<Time>().is_err());
    }
}
