//! Values that are names of things on the host: paths, groups, ports, signals.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::error::Reason;
use super::leaf::{Leaf, wrong};
use super::yaml::Value;
use crate::task::Signal;

/// An absolute path.
#[derive(Debug, Clone)]
pub(super) struct AbsolutePath(pub(super) PathBuf);

impl AbsolutePath {
    /// Checks a path that did not come from YAML.
    pub(super) fn new(path: &Path) -> Result<Self, Reason> {
        if path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&0) {
            return Ok(Self(path.to_owned()));
        }
        Err(wrong(Self::WANTED, &Value::Text(path.to_string_lossy().into_owned())))
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

/// The name of a user or a group; whether it exists is for the host to say.
#[derive(Debug, Clone)]
pub(super) struct AccountName(pub(super) String);

impl Leaf for AccountName {
    const WANTED: &'static str = "the name of a user or a group";

    fn read(value: &Value) -> Result<Self, Reason> {
        match value {
            Value::Text(text) if !text.is_empty() && !text.contains([':', '/', '\0', '\n', ' ']) => {
                Ok(Self(text.clone()))
            }
            other => Err(wrong(Self::WANTED, other)),
        }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A port on an address that only this host reaches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loopback(pub(super) SocketAddr);

impl Leaf for Loopback {
    const WANTED: &'static str = "a loopback address with a port, such as 127.0.0.1:9779 or \"[::1]:9779\"";

    fn read(value: &Value) -> Result<Self, Reason> {
        let found = match value {
            Value::Text(text) => text.parse::<SocketAddr>().ok(),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::List(_) | Value::Mapping(_) => {
                None
            }
        };
        // Port 0 is whichever is free, which nobody could know.
        let found = found.filter(|address| address.ip().is_loopback() && address.port() != 0);
        found.map(Self).ok_or_else(|| wrong(Self::WANTED, value))
    }
}

impl fmt::Display for Loopback {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Leaf for Signal {
    const WANTED: &'static str = "the name of a signal such as SIGTERM";

    fn read(value: &Value) -> Result<Self, Reason> {
        let found = match value {
            Value::Text(text) => text.parse().ok(),
            Value::Integer(number) => i32::try_from(*number).ok().and_then(Self::from_number),
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Mapping(_) => None,
        };
        found.ok_or_else(|| wrong(Self::WANTED, value))
    }
}
