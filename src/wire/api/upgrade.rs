//! The daemon's upgrade in place, and how far it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::schema;
use crate::task::Bytes;

/// An upgrade to be begun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpgradeRequest {
    /// The absolute path of the new program; if not given, where the daemon's own was when it started.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::bytes)]
    pub binary: Option<Bytes>,
}

/// How far an upgrade is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeState {
    /// There was none since the daemon started.
    #[default]
    None,
    /// The new program is tried out.
    Trying,
    /// The daemon is about to become it.
    Replacing,
    /// The daemon has become it, and the runner is about to.
    ReplacingRunner,
    /// It is over, and the daemon is the new program.
    Done,
    /// It is over, and the old daemon is still in charge.
    Failed,
}

/// The last upgrade. It survives the upgrade itself, but no restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeDocument {
    /// Which one since the daemon started, from 1; 0 where there was none.
    pub number: u64,
    /// How far it is.
    pub state: UpgradeState,
    /// The version before it.
    pub from: String,
    /// The version that was tried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of the runner, once the daemon is the new program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner: Option<RunnerUpgradeDocument>,
}

/// What became of the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunnerUpgradeDocument {
    /// The version that it has now, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Why it stayed what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl UpgradeState {
    /// Whether the upgrade is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Done | Self::Failed => true,
            Self::None | Self::Trying | Self::Replacing | Self::ReplacingRunner => false,
        }
    }
}
