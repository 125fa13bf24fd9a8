//! How well the daemon is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How well the daemon is: the worst of what its checks found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthDocument {
    /// `healthy`, `degraded` or `unhealthy`.
    pub health: String,
    /// Each check.
    pub checks: Vec<CheckDocument>,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckDocument {
    /// Its name.
    pub name: String,
    /// `healthy`, `degraded` or `unhealthy`.
    pub health: String,
    /// What it saw, as a sentence.
    pub says: String,
    /// What a person can do, where something is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Whether the daemon takes tasks in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyDocument {
    /// Whether it does.
    pub ready: bool,
    /// Why not, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether the daemon makes progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LiveDocument {
    /// Whether it does.
    pub live: bool,
}
