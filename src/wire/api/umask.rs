//! File mode creation masks as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A file mode creation mask, umask(2), written in octal such as `"022"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, examples("022"))]
pub struct Umask(pub u32);

impl fmt::Display for Umask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}

impl FromStr for Umask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let octal = !text.is_empty() && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let mask = if octal { u32::from_str_radix(text, 8).ok() } else { None };
        match mask.filter(|mask| *mask <= 0o777) {
            Some(mask) => Ok(Self(mask)),
            None => Err(format!("{text:?} is not a umask; write it in octal, 000 to 777")),
        }
    }
}

impl TryFrom<String> for Umask {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Umask> for String {
    fn from(umask: Umask) -> Self {
        umask.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_octal() {
        assert_eq!("022".parse(), Ok(Umask(0o22)));
        assert_eq!("0077".parse(), Ok(Umask(0o77)));
        assert_eq!(Umask(0o7).to_string(), "007");
        for bad in ["", "8", "+22", "1000", "0x12"] {
            assert!(bad.parse::<Umask>().is_err(), "{bad}");
        }
    }
}
