//! Durations and sizes as people write them: `1h30m`, `64M`.

use std::time::Duration;

/// Text that is not a duration or not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// A whole number was expected.
    #[error("a whole number is missing before {0:?}")]
    NoNumber(String),
    /// The number stands alone.
    #[error("the unit is missing after {0}")]
    NoUnit(u64),
    /// The unit does not exist.
    #[error("{0:?} is not a unit")]
    UnknownUnit(String),
    /// The value exceeds 64 bits.
    #[error("it is too large")]
    TooLarge,
}

/// Units of time in milliseconds, largest first; the first name of each is the one printed.
const TIMES: [(&[&str], u64); 6] = [
    (&["w"], 7 * 24 * 3_600_000),
    (&["d"], 24 * 3_600_000),
    (&["h"], 3_600_000),
    (&["m", "min"], 60_000),
    (&["s", "sec"], 1_000),
    (&["ms"], 1),
];

/// Units of size in bytes, largest first; the first name of each is the one printed.
const SIZES: [(&[&str], u64); 4] =
    [(&["T", "TiB"], 1 << 40), (&["G", "GiB"], 1 << 30), (&["M", "MiB"], 1 << 20), (&["K", "KiB"], 1 << 10)];

/// Reads a duration: numbers with the units `w`, `d`, `h`, `m`, `s` and `ms`, as in `1h30m`.
///
/// # Errors
/// [`UnitError`] tells which part is not one. A number without a unit is refused, because
/// programs differ in what they take it for.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(UnitError::Empty);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(UnitError::NoUnit(number));
        }
        let scale = scale(&TIMES, unit)?;
        let part = number.checked_mul(scale).ok_or(UnitError::TooLarge)?;
        total = total.checked_add(part).ok_or(UnitError::TooLarge)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Writes a duration so that [`parse_duration`] reads it back; what is below a millisecond is cut.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (names, scale) in TIMES {
        // Weeks are read but not written: everyone says 30 days, nobody 4 weeks and 2 days.
        if names[0] != "w" && rest >= scale {
            text.push_str(&format!("{}{}", rest / scale, names[0]));
            rest %= scale;
        }
    }
    text
}

/// Reads a size in bytes: a number alone or with `K`, `M`, `G` or `T`, powers of 1024 as in
/// systemd.directives(7).
///
/// # Errors
/// [`UnitError`] tells which part is not one.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(UnitError::Empty);
    }
    let (number, unit) = leading_number(text)?;
    match unit {
        "" | "B" => Ok(number),
        unit => number.checked_mul(scale(&SIZES, unit)?).ok_or(UnitError::TooLarge),
    }
}

/// Writes a size in the largest unit that divides it, so that [`parse_size`] reads it back.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    SIZES
        .iter()
        .find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale))
        .map_or_else(|| bytes.to_string(), |(names, scale)| format!("{}{}", bytes / scale, names[0]))
}

fn leading_number(text: &str) -> Result<(u64, &str), UnitError> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Err(UnitError::NoNumber(rest.to_owned()));
    }
    let number = digits.parse().map_err(|_| UnitError::TooLarge)?;
    Ok((number, rest.trim_start()))
}

fn scale(units: &[(&[&str], u64)], name: &str) -> Result<u64, UnitError> {
    units
        .iter()
        .find(|(names, _)| names.contains(&name))
        .map(|(_, scale)| *scale)
        .ok_or_else(|| UnitError::UnknownUnit(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{prop_assert_eq, proptest};

    use super::{UnitError, format_duration, format_size, parse_duration, parse_size};

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("1h 30min"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2w"), Ok(Duration::from_secs(14 * 86400)));
    }

    #[test]
    fn a_duration_without_a_unit_or_with_a_wrong_one_is_refused() {
        assert_eq!(parse_duration("90"), Err(UnitError::NoUnit(90)));
        assert_eq!(parse_duration(""), Err(UnitError::Empty));
        assert_eq!(parse_duration("1y"), Err(UnitError::UnknownUnit("y".into())));
        assert_eq!(parse_duration("-5s"), Err(UnitError::NoNumber("-5s".into())));
        assert_eq!(parse_duration("1.5h"), Err(UnitError::NoUnit(1)));
        assert_eq!(parse_duration("99999999999999999w"), Err(UnitError::TooLarge));
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("1 GiB"), Ok(1 << 30));
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("64MB"), Err(UnitError::UnknownUnit("MB".into())));
        assert_eq!(parse_size("99999999999T"), Err(UnitError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number: u64) {
            prop_assert_eq!(parse_size(&format_size(number)), Ok(number));
            let duration = Duration::from_millis(number);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text: String) {
            drop(parse_duration(&text));
            drop(parse_size(&text));
        }
    }
}
