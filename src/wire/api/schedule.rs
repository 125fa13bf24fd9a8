//! Recurring tasks as they are shown and added.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Fault, TaskRequest, Time, schema};
use crate::task::{Bytes, Label, Missed, Overlap, QueueName, Rule, Schedule, TaskId, Timestamp};

/// A recurring task to add: `every_ms` or `calendar`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// Its name, one of the caller's.
    pub name: String,
    /// Runs each time this many milliseconds have passed; at least 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1000)]
    pub every_ms: Option<u64>,
    /// Runs at these times: crontab(5), with optional seconds, or such as `@daily`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// The time zone of `calendar`, by its IANA name; the host's if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What becomes of runs whose time passed while the daemon was away.
    #[serde(default)]
    #[schema(schema_with = schema::missed)]
    pub missed: Missed,
    /// What becomes of a run that is due while the one before has not ended.
    #[serde(default)]
    #[schema(schema_with = schema::overlap)]
    pub overlap: Overlap,
    /// What runs.
    pub task: TaskRequest,
}

impl ScheduleRequest {
    /// When it runs; an interval counts from `now`.
    ///
    /// # Errors
    /// A [`Fault`] where not exactly one of `every_ms` and `calendar` is given, or the interval is too short.
    pub fn rule(&self, now: Timestamp) -> Result<Rule, Fault> {
        let fault = |field, what: &str| Err(Fault { field: Some(field), what: what.to_owned() });
        match (self.every_ms, &self.calendar) {
            (Some(_), Some(_)) => fault("calendar", "give an interval or a calendar expression, not both"),
            (None, None) => fault("calendar", "give an interval (every_ms) or a calendar expression (calendar)"),
            (Some(_), None) if self.zone.is_some() => fault("zone", "an interval has no time zone"),
            (Some(0..1000), None) => fault("every_ms", "an interval is at least 1s"),
            (Some(interval_ms), None) => Ok(Rule::Every { interval_ms, since: now }),
            (None, Some(expression)) => Ok(Rule::Calendar { expression: expression.clone(), zone: self.zone.clone() }),
        }
    }
}

/// A recurring task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleDocument {
    /// Its name.
    pub name: String,
    /// The user who owns it and its runs.
    pub owner: u32,
    /// Its interval in milliseconds.
    pub every_ms: Option<u64>,
    /// Its calendar expression.
    pub calendar: Option<String>,
    /// The time zone of that.
    pub zone: Option<String>,
    /// What becomes of missed runs.
    #[schema(schema_with = schema::missed)]
    pub missed: Missed,
    /// What becomes of overlapping runs.
    #[schema(schema_with = schema::overlap)]
    pub overlap: Overlap,
    /// Whether it is paused.
    pub paused: bool,
    /// When it runs next.
    pub next: Option<Time>,
    /// Its latest run.
    #[schema(schema_with = schema::task_id)]
    pub last_run: Option<TaskId>,
    /// The command and its arguments.
    #[schema(schema_with = schema::arguments)]
    pub command: Vec<Bytes>,
    /// The working directory.
    #[schema(schema_with = schema::bytes)]
    pub directory: Bytes,
    /// The queue of its runs.
    #[schema(schema_with = schema::queue_name)]
    pub queue: QueueName,
    /// Their priority.
    pub priority: i32,
    /// How many slots each takes.
    pub slots: u32,
    /// Their label.
    #[schema(schema_with = schema::word)]
    pub label: Option<Label>,
}

impl From<Schedule> for ScheduleDocument {
    fn from(schedule: Schedule) -> Self {
        let (every_ms, calendar, zone) = match schedule.rule {
            Rule::Every { interval_ms, .. } => (Some(interval_ms), None, None),
            Rule::Calendar { expression, zone } => (None, Some(expression), zone),
        };
        Self {
            name: schedule.name,
            owner: schedule.owner,
            every_ms,
            calendar,
            zone,
            missed: schedule.missed,
            overlap: schedule.overlap,
            paused: schedule.paused,
            next: schedule.next.map(Time),
            last_run: schedule.last_run,
            command: schedule.spec.argv,
            directory: schedule.spec.directory,
            queue: schedule.placement.queue,
            priority: schedule.placement.priority,
            slots: schedule.placement.slots,
            label: schedule.placement.label,
        }
    }
}

/// Recurring tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SchedulesPage {
    /// The caller's, or everybody's for root and the service's user.
    pub schedules: Vec<ScheduleDocument>,
}
