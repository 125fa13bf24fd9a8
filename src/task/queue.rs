//! Queues: lanes with limits, a mode and a circuit breaker.

use serde::{Deserialize, Serialize};

use super::{QueueName, TaskId, Timestamp};

/// What limits a queue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct QueueLimits {
    /// Slots that its tasks may take at once; `None` is the host's.
    pub slots: Option<u32>,
    /// Tasks that have not ended; a submission past it is refused.
    pub max_length: Option<u64>,
    /// When it pauses by itself.
    pub breaker: Option<BreakerLimits>,
}

/// When a queue pauses by itself, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerLimits {
    /// Failed attempts in a row that open the breaker; at least 1.
    pub failures: u32,
    /// How long it stays open before one task is tried, in milliseconds.
    pub cooldown_ms: u64,
}

/// What people told a queue to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Takes tasks in and starts them.
    #[default]
    Open,
    /// Takes tasks in, starts none.
    Paused,
    /// Takes none in and starts none; what runs goes on.
    Draining,
}

/// Where a queue's limits come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The configuration; a reload changes or removes it.
    Configured,
    /// Added or changed by a client; it wins over the configuration until it is removed.
    Adjusted,
}

/// The circuit breaker of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Breaker {
    /// Works; so many attempts in a row have failed.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// Starts nothing before `until`.
    Open {
        /// When one task is tried.
        until: Timestamp,
    },
    /// One task is tried; its end decides.
    Probing {
        /// Which, once it was started.
        task: Option<TaskId>,
    },
}

impl Default for Breaker {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// A queue as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: QueueName,
    /// Its limits.
    pub limits: QueueLimits,
    /// Where these come from.
    pub origin: Origin,
    /// What people told it to do.
    pub mode: Mode,
    /// What its failures made of it.
    pub breaker: Breaker,
}
