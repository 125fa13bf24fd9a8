//! Words that people choose: queues, labels, deduplication keys.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A queue's name outside the pattern.
    #[error("queue name {0:?} must be 1 to 64 of a-z, 0-9, '.', '_' and '-', and start with a letter or a digit")]
    Queue(String),
    /// A label or key that is empty, longer than 256 bytes, or holds control characters.
    #[error("{what} {text:?} must be 1 to 256 bytes without control characters")]
    Text {
        /// What it was to be: a label or a key.
        what: &'static str,
        /// What was given.
        text: String,
    },
}

fn plain_text(what: &'static str, text: &str) -> Result<Arc<str>, NameError> {
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return Err(NameError::Text { what, text: text.chars().take(80).collect() });
    }
    Ok(Arc::from(text))
}

fn queue_name(text: &str) -> Result<Arc<str>, NameError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    let begins_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !begins_well || text.len() > 64 || !text.bytes().all(allowed) {
        return Err(NameError::Queue(text.chars().take(80).collect()));
    }
    Ok(Arc::from(text))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A queue's name: 1 to 64 of `a-z 0-9 . _ -`, starting with a letter or a digit.
    QueueName, queue_name
);
name!(
    /// A label that groups tasks for people: 1 to 256 bytes.
    Label, |text| plain_text("label", text)
);
name!(
    /// A deduplication key: of an owner's tasks that have not ended, one at most has it.
    Key, |text| plain_text("key", text)
);

/// The queue in which the daemon itself runs what it was told to run when something happens.
const HOOKS: &str = "hooks";

impl QueueName {
    /// The queue of the daemon's own hooks.
    #[must_use]
    pub fn of_hooks() -> Self {
        Self(Arc::from(HOOKS))
    }

    /// Whether it is that queue: nobody else submits to it, and its tasks take no slots of the host.
    #[must_use]
    pub fn is_of_hooks(&self) -> bool {
        self.as_str() == HOOKS
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self(Arc::from("default"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_names_stay_within_the_pattern() {
        for good in ["default", "a", "0", "night.jobs_2-x"] {
            assert!(good.parse::<QueueName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".", "A", "a b", "ä", "../x", &"x".repeat(65)] {
            assert!(bad.parse::<QueueName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_hold_no_control_characters() {
        assert!("nightly build".parse::<Label>().is_ok());
        assert!("a\nb".parse::<Label>().is_err());
        assert!("".parse::<Key>().is_err());
    }
}
