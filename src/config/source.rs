//! Where a value came from, and how a key is written.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in a file. Lines and columns count from one, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// Where a value, or a fault, came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Nobody set it: the built-in default.
    Default,
    /// A configuration file.
    File {
        /// The file, as it was found.
        path: Arc<Path>,
        /// The place in it; none where the file as a whole is meant.
        position: Option<Position>,
    },
    /// An environment variable, by its name.
    Environment(&'static str),
    /// A flag of the command line, as it is typed.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { path, position } => match position {
                Some(at) => write!(out, "{}:{}:{}", path.display(), at.line, at.column),
                None => write!(out, "{}", path.display()),
            },
            Self::Environment(name) => write!(out, "${name}"),
            Self::Flag(name) => out.write_str(name),
        }
    }
}

/// The path of a value through the sections, such as `queues.default.slots`.
///
/// Kept in parts, because the name of a queue may hold dots itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<String>);

impl Key {
    /// The key inside the section that `self` names.
    #[must_use]
    pub fn join(&self, part: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.to_owned());
        Self(parts)
    }

    /// The key of the section around this one.
    #[must_use]
    pub fn parent(&self) -> Self {
        let outer = self.0.split_last().map_or(&[][..], |(_, outer)| outer);
        Self(outer.to_vec())
    }

    /// The parts, outermost first.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.join("."))
    }
}

/// A value that remembers where it came from.
#[derive(Debug, Clone)]
pub(super) struct Sourced<T> {
    pub(super) value: T,
    pub(super) source: Source,
}
