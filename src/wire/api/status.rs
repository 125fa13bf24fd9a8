//! The daemon at a glance, and what a reload did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, schema};
use crate::task::{Bytes, State};

/// The daemon at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatusDocument {
    /// Whether it is `starting`, `running` or `stopping`.
    #[serde(default = "running")]
    pub state: String,
    /// The daemon's version.
    pub version: String,
    /// What stands on disk in the place of the program that runs.
    #[serde(default)]
    pub program: ProgramDocument,
    /// Its process.
    pub pid: u32,
    /// The socket that it answers on.
    #[schema(schema_with = schema::bytes)]
    pub socket: Bytes,
    /// When it started.
    pub started_at: Time,
    /// How long ago that was, in milliseconds.
    pub uptime_ms: u64,
    /// Whether it is `healthy`, `degraded` or `unhealthy`.
    pub health: String,
    /// Why it is not healthy, as sentences.
    pub problems: Vec<String>,
    /// Whether it takes tasks in.
    pub intake: bool,
    /// Tasks by state, over all queues.
    #[schema(schema_with = schema::counts)]
    pub counts: BTreeMap<State, u64>,
    /// The host's slots.
    pub slots: SlotsDocument,
    /// The link to the runner.
    pub runner: RunnerDocument,
    /// What the daemon has locked itself out of.
    pub sandbox: SandboxDocument,
    /// Free bytes where the queue is kept.
    pub free_bytes: u64,
    /// Output kept, in bytes.
    pub output_bytes: u64,
    /// The newest event.
    pub last_event: i64,
}

/// What a daemon of a version that does not say is taken for.
fn running() -> String {
    "running".to_owned()
}

/// What stands where the daemon's program was started from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramDocument {
    /// What runs.
    #[default]
    Current,
    /// Another one: an upgrade or a restart takes it up.
    Replaced,
    /// Nothing.
    Removed,
}

/// What is refused to the daemon itself, whatever becomes of it; and what holds tasks, which are in a milder one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxDocument {
    /// What is in force.
    pub in_force: Vec<String>,
    /// What is not, and why.
    pub missing: Vec<String>,
}

/// The host's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SlotsDocument {
    /// Those that running tasks take.
    pub taken: u32,
    /// All.
    pub all: u32,
}

/// The link to the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RunnerDocument {
    /// It answers.
    Linked {
        /// Which process, by a random name.
        instance: String,
        /// Its number.
        pid: i32,
    },
    /// It does not; queued tasks wait.
    Lost {
        /// Why, as a sentence.
        reason: String,
    },
}

/// The configuration was read anew and is in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadDocument {
    /// The settings that changed.
    pub changed: Vec<String>,
    /// Those of them that take effect with the next restart.
    pub needs_restart: Vec<String>,
    /// Further remarks, as sentences.
    pub remarks: Vec<String>,
}
