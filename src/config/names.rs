//! Values that are names of things on the host: paths, groups, signals.

use std::fmt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;

use super::error::Reason;
use super::leaf::{Leaf, wrong};
use super::yaml::Value;

/// An absolute path.
#[derive(Debug, Clone)]
pub(super) struct AbsolutePath(pub(super) PathBuf);

impl AbsolutePath {
    /// Checks a path that did not come from YAML.
    pub(super) fn new(path: &Path) -> Result<Self, Reason> {
        if path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&0) {
            return Ok(Self(path.to_owned()));
        }
        Err(wrong(
            Self::WANTED,
            &Value::Text(path.to_string_lossy().into_owned()),
        ))
    }
}

impl Leaf for AbsolutePath {
    const WANTED: &'static str = "an absolute path";

    fn read(value: &Value) -> Result<Self, Reason> {
        match value {
            Value::Text(text) => Self::new(Path::new(text)),
            other => Err(wrong(Self::WANTED, other)),
        }
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(out)
    }
}

/// The name of a group of users; whether it exists is for the host to say.
#[derive(Debug, Clone)]
pub(super) struct GroupName(pub(super) String);

impl Leaf for GroupName {
    const WANTED: &'static str = "the name of a group";

    fn read(value: &Value) -> Result<Self, Reason> {
        match value {
            Value::Text(text)
                if !text.is_empty() && !text.contains([':', '/', '\0', '\n', ' ']) =>
            {
                Ok(Self(text.clone()))
            }
            other => Err(wrong(Self::WANTED, other)),
        }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A signal that can be sent to a task to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StopSignal(Signal);

impl StopSignal {
    /// The default.
    pub(super) const TERM: Self = Self(Signal::SIGTERM);

    /// Its number on this machine, signal(7).
    pub(super) fn number(self) -> i32 {
        self.0 as i32
    }
}

impl Leaf for StopSignal {
    const WANTED: &'static str = "the name of a signal such as TERM";

    fn read(value: &Value) -> Result<Self, Reason> {
        let found = match value {
            Value::Text(text) if text.starts_with("SIG") => text.parse().ok(),
            Value::Text(text) => format!("SIG{text}").parse().ok(),
            Value::Integer(number) => i32::try_from(*number)
                .ok()
                .and_then(|number| number.try_into().ok()),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List | Value::Mapping(_) => {
                None
            }
        };
        found.map(Self).ok_or_else(|| wrong(Self::WANTED, value))
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_str();
        out.write_str(name.strip_prefix("SIG").unwrap_or(name))
    }
}
