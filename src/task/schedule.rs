//! Recurring tasks.

use serde::{Deserialize, Serialize};

use super::{Placement, Spec, TaskId, Timestamp};

/// A task that is submitted again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name, one of its owner's.
    pub name: String,
    /// The user who owns it and its runs.
    pub owner: u32,
    /// When.
    pub rule: Rule,
    /// What becomes of runs whose time passed while the daemon was away or the schedule paused.
    pub missed: Missed,
    /// What becomes of a run that is due while the one before has not ended.
    pub overlap: Overlap,
    /// What runs.
    pub spec: Spec,
    /// Where; its `start`, `after` and `key` stay unused.
    pub placement: Placement,
    /// Whether it is paused.
    pub paused: bool,
    /// When it runs next; `None` where the rule has no further time.
    pub next: Option<Timestamp>,
    /// Its latest run.
    pub last_run: Option<TaskId>,
}

/// When a recurring task runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Each time this many milliseconds have passed, counted from when it was added.
    Every {
        /// At least 1000.
        interval_ms: u64,
        /// From when it counts.
        since: Timestamp,
    },
    /// At the times of a calendar expression, crontab(5) with optional seconds.
    Calendar {
        /// Such as `30 4 * * MON-FRI` or `@daily`.
        expression: String,
        /// A time zone's IANA name; `None` is the host's.
        zone: Option<String>,
    },
}

/// What becomes of missed runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missed {
    /// They are let go.
    Skip,
    /// One run makes up for all.
    #[default]
    Once,
    /// Each is made up for, up to 1000.
    All,
}

/// What becomes of a run that is due while the one before has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It is let go.
    #[default]
    Skip,
    /// It waits for the one before.
    Queue,
    /// Both run.
    Allow,
}
