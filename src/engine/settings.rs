//! The engine's own section of the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Hooks, Thresholds};
use crate::task::{QueueLimits, QueueName};

/// What the engine holds to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Slots of the whole host.
    pub slots: u32,
    /// The configured queues; `default` is always among them, and that of the hooks where there are any.
    pub queues: BTreeMap<QueueName, QueueLimits>,
    /// Tasks that have not ended, at most; `None` is without limit.
    pub max_tasks: Option<u64>,
    /// Free bytes below which nothing is taken in.
    pub min_free_bytes: u64,
    /// Interruptions after which a task that would run again ends instead.
    pub max_interruptions: u32,
    /// How long ended tasks are kept.
    pub max_age: Duration,
    /// Ended tasks kept at most.
    pub max_ended: u64,
    /// Output bytes of ended tasks kept at most; the oldest go first.
    pub max_output_bytes: u64,
    /// From where on health is not good.
    pub health: Thresholds,
    /// What is run when something happens.
    pub hooks: Hooks,
}
