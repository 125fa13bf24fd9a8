//! Queues as they are shown and set.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Time, schema};
use crate::task::{Breaker, BreakerLimits, Mode, Origin, Queue, QueueLimits, QueueName, State, TaskId};

/// A queue's limits; what is left out is without limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueRequest {
    /// Slots that its tasks may take at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// Tasks that have not ended, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// When it pauses by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerRequest>,
}

/// When a queue pauses by itself, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BreakerRequest {
    /// Failed attempts in a row that open the breaker.
    #[schema(minimum = 1)]
    pub failures: u32,
    /// How long it stays open before one task is tried, in milliseconds.
    pub cooldown_ms: u64,
}

impl From<QueueRequest> for QueueLimits {
    fn from(request: QueueRequest) -> Self {
        let breaker = |it: BreakerRequest| BreakerLimits { failures: it.failures, cooldown_ms: it.cooldown_ms };
        Self { slots: request.slots, max_length: request.max_length, breaker: request.breaker.map(breaker) }
    }
}

impl From<&QueueLimits> for QueueRequest {
    fn from(limits: &QueueLimits) -> Self {
        let breaker = |it: BreakerLimits| BreakerRequest { failures: it.failures, cooldown_ms: it.cooldown_ms };
        Self { slots: limits.slots, max_length: limits.max_length, breaker: limits.breaker.map(breaker) }
    }
}

/// A queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueDocument {
    /// Its name.
    #[schema(schema_with = schema::queue_name)]
    pub name: QueueName,
    /// What people told it to do.
    #[schema(schema_with = schema::mode)]
    pub mode: Mode,
    /// Where its limits come from.
    #[schema(schema_with = schema::origin)]
    pub origin: Origin,
    /// Its limits.
    pub limits: QueueRequest,
    /// What its failures made of it.
    pub breaker: BreakerDocument,
    /// Its tasks by state.
    #[schema(schema_with = schema::counts)]
    pub counts: BTreeMap<State, u64>,
}

/// A circuit breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum BreakerDocument {
    /// The queue works.
    Closed {
        /// Failures since the last success.
        failures: u32,
    },
    /// The queue starts nothing before `until`.
    Open {
        /// When one task is tried.
        until: Time,
    },
    /// One task is tried; its end decides.
    Probing {
        /// Which, once it was started.
        #[schema(schema_with = schema::task_id)]
        task: Option<TaskId>,
    },
}

impl From<Breaker> for BreakerDocument {
    fn from(breaker: Breaker) -> Self {
        match breaker {
            Breaker::Closed { failures } => Self::Closed { failures },
            Breaker::Open { until } => Self::Open { until: until.into() },
            Breaker::Probing { task } => Self::Probing { task },
        }
    }
}

impl From<(Queue, BTreeMap<State, u64>)> for QueueDocument {
    fn from((queue, counts): (Queue, BTreeMap<State, u64>)) -> Self {
        Self {
            name: queue.name,
            mode: queue.mode,
            origin: queue.origin,
            limits: QueueRequest::from(&queue.limits),
            breaker: queue.breaker.into(),
            counts,
        }
    }
}

/// Every queue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueuesPage {
    /// By name.
    pub queues: Vec<QueueDocument>,
}
