//! What can be wrong with a configuration: every fault at once, each with its place.

use std::error::Error as _;
use std::fmt;
use std::io;

use super::source::{Key, Position, Source};
use super::units::UnitError;
use crate::task::{NameError, nearest};

/// How many faults a message lists; a file of another kind can have thousands.
const MOST_PRINTED: usize = 50;

/// A configuration that was refused, with all of its faults.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    faults: Vec<Fault>,
}

impl ConfigError {
    /// Takes the faults and puts them in the order in which they stand in the files.
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|one, other| one.source.cmp(&other.source));
        Self { faults }
    }

    /// The faults, ordered by file and line; never empty.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.faults.as_slice() {
            [only] => write!(out, "{only}"),
            faults => {
                write!(out, "the configuration has {} faults", faults.len())?;
                for fault in faults.iter().take(MOST_PRINTED) {
                    write!(out, "\n{fault}")?;
                }
                match faults.len().saturating_sub(MOST_PRINTED) {
                    0 => Ok(()),
                    more => write!(out, "\nand {more} more"),
                }
            }
        }
    }
}

/// One fault: where, at which key, and why.
#[derive(Debug)]
pub struct Fault {
    /// The file with line and column, the environment variable or the flag.
    pub source: Source,
    /// The key at fault; without parts where a file as a whole is.
    pub key: Key,
    /// What is wrong with it.
    pub reason: Reason,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ", self.source)?;
        if !self.key.parts().is_empty() {
            write!(out, "{}: ", self.key)?;
        }
        write!(out, "{}", self.reason)?;
        let mut cause = self.reason.source();
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Why a file or a value was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file or directory could not be opened or read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// A pipe, a device or a directory stands where a file should.
    #[error("is not a regular file")]
    NotAFile,
    /// Anyone could have written it.
    #[error("is writable by everyone; remove that with chmod o-w")]
    WorldWritable,
    /// Somebody who should not decide this owns it.
    #[error("belongs to user {owner}, and must belong to {wanted}")]
    ForeignOwner {
        /// The owner's numeric user ID.
        owner: u32,
        /// Who it should be.
        wanted: String,
    },
    /// The file exceeds the bound.
    #[error("is larger than {most} bytes")]
    TooLarge {
        /// The largest size accepted.
        most: usize,
    },
    /// The file is not UTF-8.
    #[error("is not valid UTF-8")]
    NotUtf8,
    /// The file is not YAML.
    #[error("is not valid YAML: {0}")]
    Syntax(String),
    /// Sections are nested further than any configuration needs.
    #[error("is nested more than {most} levels deep")]
    TooDeep {
        /// The greatest depth accepted.
        most: usize,
    },
    /// `*name` was used.
    #[error("aliases are not accepted; write the value out")]
    Alias,
    /// `!name` was used.
    #[error("the tag {0} is not accepted")]
    Tag(String),
    /// A second document follows after `---`.
    #[error("only one document is accepted in a file")]
    SecondDocument,
    /// A list or a mapping stands where the name of a key should.
    #[error("a key must be a single word")]
    ComplexKey,
    /// The key was set before in the same file.
    #[error("is already set in line {}", first.line)]
    Duplicate {
        /// Where it was set first.
        first: Position,
    },
    /// No such key.
    #[error("is not a known key; {hint}")]
    Unknown {
        /// The nearest key, or all of them.
        hint: String,
    },
    /// The name of a queue is not one.
    #[error("is not the name of a queue")]
    QueueName(#[source] NameError),
    /// The queue is the daemon's own.
    #[error("is the daemon's own queue; set hooks.slots and hooks.max_waiting instead")]
    Reserved,
    /// The value is of another kind.
    #[error("needs {wanted}, not {found}")]
    Wrong {
        /// What is accepted.
        wanted: String,
        /// What was found.
        found: String,
    },
    /// The value is not a duration or size.
    #[error("needs {wanted}")]
    Unit {
        /// What is accepted.
        wanted: &'static str,
        /// Where the text departs from it.
        #[source]
        cause: UnitError,
    },
    /// The value is of the right kind, but too small or too large.
    #[error("must be from {least} to {most}, not {found}")]
    Range {
        /// The smallest value accepted.
        least: String,
        /// The largest value accepted.
        most: String,
        /// What was found.
        found: String,
    },
    /// A path is too long for the address of a socket.
    #[error(
        "is a path of {found} bytes, and a socket's may have {most} at most (unix(7)); choose a shorter runtime directory"
    )]
    SocketPath {
        /// The greatest length accepted.
        most: usize,
        /// The length found.
        found: usize,
    },
    /// Two values contradict each other.
    #[error("must be longer than {other}, which is {value}")]
    NotLonger {
        /// The key that it is compared with.
        other: &'static str,
        /// The value of that key.
        value: String,
    },
}

/// The advice for an unknown key: the nearest one, or all where none is near.
pub(super) fn hint(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known) {
        Some(key) => format!("did you mean {key}?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::hint;

    #[test]
    fn the_hint_names_the_nearest_key_or_all_of_them() {
        let known = ["level", "format"];
        assert_eq!(hint("levle", &known), "did you mean level?");
        assert_eq!(hint("colour", &known), "known here: level, format");
    }
}
