//! How well a daemon is: checks by name, run side by side, and the worst of what they find.
//!
//! A [`Registry`] holds checks, each a closure that returns a [`Finding`]; [`Registry::run`] gives a [`Report`].
//!
//! ```
//! use std::time::Duration;
//! use taskdaemon::daemon::health::{Finding, Level, Registry};
//!
//! let health = Registry::new();
//! health.register("spool", Duration::from_secs(1), || {
//!     if std::env::temp_dir().is_dir() {
//!         Finding::healthy("the spool is there")
//!     } else {
//!         Finding::unhealthy("the spool is gone", "make it again with mkdir")
//!     }
//! });
//! let report = health.run();
//! assert_eq!((report.level(), report.checks[0].name.as_str()), (Level::Healthy, "spool"));
//! ```
//!
//! It must not know what is checked, nor who asks.

mod registry;

use std::fmt;
use std::time::Duration;

pub use registry::Registry;

/// How well something is; the greater, the worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// All is well.
    Healthy,
    /// It works, in part or not for long.
    Degraded,
    /// It does not do what it is there for.
    Unhealthy,
}

impl Level {
    /// All levels, the best first.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Degraded, Self::Unhealthy];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How well what it looked at is.
    pub level: Level,
    /// What it saw, as a sentence.
    pub says: String,
    /// What a person can do, where something is to be done.
    pub advice: Option<String>,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn healthy(says: impl Into<String>) -> Self {
        Self { level: Level::Healthy, says: says.into(), advice: None }
    }

    /// It works in part; `advice` says what a person can do.
    #[must_use]
    pub fn degraded(says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Degraded, says: says.into(), advice: Some(advice.into()) }
    }

    /// It does not work; `advice` says what a person can do.
    #[must_use]
    pub fn unhealthy(says: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Unhealthy, says: says.into(), advice: Some(advice.into()) }
    }
}

/// One check with what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The check.
    pub name: String,
    /// What it found.
    pub finding: Finding,
    /// How long it took, or has taken by now where it has not come back.
    pub took: Duration,
}

/// What all checks found, in the order in which they were registered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Each of them.
    pub checks: Vec<Checked>,
}

impl Report {
    /// The worst of them; healthy where there is none.
    #[must_use]
    pub fn level(&self) -> Level {
        self.checks.iter().map(|check| check.finding.level).max().unwrap_or(Level::Healthy)
    }
}
