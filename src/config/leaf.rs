//! The kinds of value that a key can hold, each read from YAML and printed back.

use std::fmt;
use std::time::Duration;

use serde_json::json;

use super::error::Reason;
use super::units::{format_duration, format_size, parse_duration, parse_size};
use super::yaml::Value;

/// A value of one kind. Its `Display` is what the configuration file would say.
pub(super) trait Leaf: fmt::Display + Sized {
    /// What a person should have written.
    const WANTED: &'static str;

    /// Reads the value, ranges included.
    fn read(value: &Value) -> Result<Self, Reason>;

    /// The value for programs: sizes in bytes, durations in milliseconds, `none` as null.
    fn json(&self) -> serde_json::Value {
        json!(self.to_string())
    }
}

/// The fault of a value that is of another kind.
pub(super) fn wrong(wanted: &str, found: &Value) -> Reason {
    let found = match found {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => format!("{flag}"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Text(text) => format!("the text {:?}", shortened(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Mapping(_) => "a section".to_owned(),
    };
    Reason::Wrong { wanted: wanted.to_owned(), found }
}

/// Enough of a text to recognise it in a message.
fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    let mut short: String = text.chars().take(MOST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn within<T: PartialOrd + Copy>(value: T, least: T, most: T, print: impl Fn(T) -> String) -> Result<T, Reason> {
    if value < least || value > most {
        return Err(Reason::Range { least: print(least), most: print(most), found: print(value) });
    }
    Ok(value)
}

/// A whole number within bounds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count<const LEAST: u32, const MOST: u32>(pub(super) u32);

impl<const LEAST: u32, const MOST: u32> Leaf for Count<LEAST, MOST> {
    const WANTED: &'static str = "a whole number";

    fn read(value: &Value) -> Result<Self, Reason> {
        let Value::Integer(number) = *value else {
            return Err(wrong(Self::WANTED, value));
        };
        let number = within(number, LEAST.into(), MOST.into(), |number| number.to_string())?;
        u32::try_from(number).map(Self).map_err(|_| wrong(Self::WANTED, value))
    }

    fn json(&self) -> serde_json::Value {
        json!(self.0)
    }
}

impl<const LEAST: u32, const MOST: u32> fmt::Display for Count<LEAST, MOST> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A priority for the CPU as setpriority(2) takes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nice(pub(super) i32);

impl Leaf for Nice {
    const WANTED: &'static str = "a whole number from -20 to 19";

    fn read(value: &Value) -> Result<Self, Reason> {
        let Value::Integer(number) = *value else {
            return Err(wrong(Self::WANTED, value));
        };
        let number = within(number, -20, 19, |number| number.to_string())?;
        i32::try_from(number).map(Self).map_err(|_| wrong(Self::WANTED, value))
    }

    fn json(&self) -> serde_json::Value {
        json!(self.0)
    }
}

impl fmt::Display for Nice {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A size in bytes, from `LEAST` to what a file offset can hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size<const LEAST: u64>(pub(super) u64);

impl<const LEAST: u64> Leaf for Size<LEAST> {
    const WANTED: &'static str = "a size such as 64M";

    fn read(value: &Value) -> Result<Self, Reason> {
        let bytes = match value {
            Value::Integer(number) => u64::try_from(*number).map_err(|_| wrong(Self::WANTED, value))?,
            Value::Text(text) => parse_size(text).map_err(|cause| Reason::Unit { wanted: Self::WANTED, cause })?,
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Mapping(_) => {
                return Err(wrong(Self::WANTED, value));
            }
        };
        within(bytes, LEAST, i64::MAX.unsigned_abs(), format_size).map(Self)
    }

    fn json(&self) -> serde_json::Value {
        json!(self.0)
    }
}

impl<const LEAST: u64> fmt::Display for Size<LEAST> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&format_size(self.0))
    }
}

/// A duration, its bounds in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<const LEAST: u64, const MOST: u64>(pub(super) Duration);

impl<const LEAST: u64, const MOST: u64> Span<LEAST, MOST> {
    pub(super) fn milliseconds(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl<const LEAST: u64, const MOST: u64> Leaf for Span<LEAST, MOST> {
    const WANTED: &'static str = "a duration such as 90s or 1h30m";

    fn read(value: &Value) -> Result<Self, Reason> {
        let Value::Text(text) = value else {
            return Err(wrong(Self::WANTED, value));
        };
        let span = parse_duration(text).map_err(|cause| Reason::Unit { wanted: Self::WANTED, cause })?;
        let (least, most) = (Duration::from_millis(LEAST), Duration::from_millis(MOST));
        within(span, least, most, format_duration).map(Self)
    }

    fn json(&self) -> serde_json::Value {
        json!(self.milliseconds())
    }
}

impl<const LEAST: u64, const MOST: u64> fmt::Display for Span<LEAST, MOST> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&format_duration(self.0))
    }
}

/// A bound that the word `none` lifts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit<T>(pub(super) Option<T>);

impl<const LEAST: u32, const MOST: u32> Limit<Count<LEAST, MOST>> {
    /// The bound in 64 bits.
    pub(super) fn wide(self) -> Option<u64> {
        self.0.map(|count| count.0.into())
    }
}

impl<T: Leaf> Leaf for Limit<T> {
    const WANTED: &'static str = T::WANTED;

    fn read(value: &Value) -> Result<Self, Reason> {
        match value {
            Value::Text(text) if text == "none" => Ok(Self(None)),
            Value::Null
            | Value::Bool(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Mapping(_) => T::read(value).map(|value| Self(Some(value))).map_err(or_none),
        }
    }

    fn json(&self) -> serde_json::Value {
        self.0.as_ref().map_or(serde_json::Value::Null, Leaf::json)
    }
}

/// Tells that the word `none` is accepted too.
fn or_none(reason: Reason) -> Reason {
    match reason {
        Reason::Wrong { wanted, found } => Reason::Wrong { wanted: format!("{wanted}, or none"), found },
        other => other,
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(out),
            None => out.write_str("none"),
        }
    }
}
