//! From a request to what the engine takes.

use std::time::Duration;

use serde_json::value::RawValue;

use super::{TaskRequest, plain};
use crate::task::{
    Bytes, Condition, Dependency, Limits, NameError, OnInterrupt, Placement, Retry, Spec, SpecError, Start, Stop,
    Submission, TaskId,
};

/// What a task has where neither it nor its request says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDefaults {
    /// The working directory.
    pub directory: Bytes,
    /// The environment of a task for which none was given.
    pub environment: Vec<(Bytes, Bytes)>,
    /// The file mode creation mask.
    pub umask: u32,
    /// The longest time of an attempt in milliseconds; `None` is without limit.
    pub timeout_ms: Option<u64>,
    /// How a task is asked to end.
    pub stop: Stop,
    /// What follows a failure.
    pub retry: Retry,
    /// What follows an interruption.
    pub on_interrupt: OnInterrupt,
    /// Ceilings.
    pub limits: Limits,
    /// Added to the scheduling priority.
    pub nice: i32,
    /// Output kept per attempt, in bytes.
    pub output_cap_bytes: u64,
}

impl Default for TaskDefaults {
    fn default() -> Self {
        Self {
            directory: "/".into(),
            environment: vec![("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into())],
            umask: 0o022,
            timeout_ms: None,
            stop: Stop::default(),
            retry: Retry::default(),
            on_interrupt: OnInterrupt::default(),
            limits: Limits::default(),
            nice: 0,
            output_cap_bytes: 64 << 20,
        }
    }
}

/// What is wrong with a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Fault {
    /// The field, where one alone is at fault.
    pub field: Option<&'static str>,
    /// A sentence.
    pub what: String,
}

impl Fault {
    fn new(field: &'static str, what: impl Into<String>) -> Self {
        Self { field: Some(field), what: what.into() }
    }
}

impl From<SpecError> for Fault {
    fn from(error: SpecError) -> Self {
        let field = match &error {
            SpecError::NoCommand | SpecError::TooLong(_) => Some("command"),
            SpecError::Directory(_) => Some("directory"),
            SpecError::Variable(_) => Some("environment"),
            SpecError::Nul(_) | SpecError::Range { .. } => None,
        };
        Self { field, what: error.to_string() }
    }
}

impl From<NameError> for Fault {
    fn from(error: NameError) -> Self {
        Self { field: None, what: error.to_string() }
    }
}

impl TaskRequest {
    /// Reads one task of a batch.
    ///
    /// # Errors
    /// A [`Fault`] that says in plain words what does not read.
    pub fn parse(text: &RawValue) -> Result<Self, Fault> {
        serde_json::from_str(text.get()).map_err(|error| Fault { field: None, what: plain(&error) })
    }
}

/// The task that `task` asks for, completed by `defaults`, then by `service`, and checked.
///
/// # Errors
/// The first [`Fault`] found.
pub fn submission(task: TaskRequest, defaults: &TaskRequest, service: &TaskDefaults) -> Result<Submission, Fault> {
    if defaults.stdin.is_some() {
        return Err(Fault::new("stdin", "standard input belongs to one task; it cannot stand in defaults"));
    }
    let placement = placement(&task, defaults)?;
    placement.check()?;
    let stdin = task.stdin.clone().map(Bytes::into_vec);
    let spec = spec(task, defaults, service)?;
    spec.check()?;
    Ok(Submission { spec, placement, stdin })
}

/// What a recurring task runs, and where.
///
/// # Errors
/// A [`Fault`] as of [`submission`], or where the task holds what has no meaning for a recurring one:
/// a start time, dependencies, a key, standard input or a hold.
pub fn recurring(task: TaskRequest, service: &TaskDefaults) -> Result<(Spec, Placement), Fault> {
    let senseless = [
        ("stdin", task.stdin.is_some()),
        ("key", task.key.is_some()),
        ("delay_ms", task.delay_ms.is_some()),
        ("at", task.at.is_some()),
        ("after", task.after.is_some()),
        ("after_any", task.after_any.is_some()),
        ("hold", task.hold.is_some()),
    ];
    if let Some((field, _)) = senseless.into_iter().find(|(_, given)| *given) {
        return Err(Fault::new(field, format!("a recurring task takes no {field}")));
    }
    let submission = submission(task, &TaskRequest::default(), service)?;
    Ok((submission.spec, submission.placement))
}

fn spec(task: TaskRequest, defaults: &TaskRequest, service: &TaskDefaults) -> Result<Spec, Fault> {
    let umask = task.umask.or(defaults.umask).map_or(service.umask, |umask| umask.0);
    let timeout_ms = task.timeout_ms.or(defaults.timeout_ms).or(service.timeout_ms).filter(|limit| *limit > 0);
    let stop = Stop {
        signal: task.stop_signal.or(defaults.stop_signal).unwrap_or(service.stop.signal),
        grace_ms: task.grace_ms.or(defaults.grace_ms).unwrap_or(service.stop.grace_ms),
    };
    let retry = Retry {
        limit: task.retries.or(defaults.retries).unwrap_or(service.retry.limit),
        delay_ms: task.retry_delay_ms.or(defaults.retry_delay_ms).unwrap_or(service.retry.delay_ms),
        max_delay_ms: task.retry_max_delay_ms.or(defaults.retry_max_delay_ms).unwrap_or(service.retry.max_delay_ms),
        jitter_percent: task
            .retry_jitter_percent
            .or(defaults.retry_jitter_percent)
            .unwrap_or(service.retry.jitter_percent),
    };
    let limits = match (&task.limits, &defaults.limits) {
        (Some(own), Some(base)) => own.over(&base.over(&service.limits)),
        (Some(limits), None) | (None, Some(limits)) => limits.over(&service.limits),
        (None, None) => service.limits.clone(),
    };
    let environment = match (task.environment, &defaults.environment) {
        (Some(own), Some(base)) => own.over(&base.0),
        (Some(own), None) => own.over(&service.environment),
        (None, Some(base)) => base.0.clone(),
        (None, None) => service.environment.clone(),
    };
    Ok(Spec {
        argv: match argv(task.command, task.shell)? {
            Some(argv) => argv,
            None => argv(defaults.command.clone(), defaults.shell.clone())?.unwrap_or_default(),
        },
        directory: task.directory.or_else(|| defaults.directory.clone()).unwrap_or_else(|| service.directory.clone()),
        environment,
        umask,
        timeout_ms,
        stop,
        retry,
        on_interrupt: task.on_interrupt.or(defaults.on_interrupt).unwrap_or(service.on_interrupt),
        limits,
        nice: task.nice.or(defaults.nice).unwrap_or(service.nice),
        output_cap_bytes: task.output_cap_bytes.or(defaults.output_cap_bytes).unwrap_or(service.output_cap_bytes),
    })
}

fn argv(command: Option<Vec<Bytes>>, shell: Option<Bytes>) -> Result<Option<Vec<Bytes>>, Fault> {
    match (command, shell) {
        (Some(_), Some(_)) => Err(Fault::new("shell", "give a command or a line for the shell, not both")),
        (Some(command), None) => Ok(Some(command)),
        (None, Some(line)) => Ok(Some(vec!["/bin/sh".into(), "-c".into(), line])),
        (None, None) => Ok(None),
    }
}

fn placement(task: &TaskRequest, defaults: &TaskRequest) -> Result<Placement, Fault> {
    let start = match start(task)? {
        Start::Now => start(defaults)?,
        given @ (Start::After(_) | Start::At(_)) => given,
    };
    let on = |ids: &Option<Vec<TaskId>>, base: &Option<Vec<TaskId>>, condition| {
        let ids = ids.as_ref().or(base.as_ref()).map_or(&[][..], Vec::as_slice);
        ids.iter().map(move |on| Dependency { on: *on, condition }).collect::<Vec<_>>()
    };
    let mut after = on(&task.after, &defaults.after, Condition::Success);
    after.extend(on(&task.after_any, &defaults.after_any, Condition::End));
    Ok(Placement {
        queue: task.queue.as_ref().or(defaults.queue.as_ref()).cloned().unwrap_or_default(),
        priority: task.priority.or(defaults.priority).unwrap_or(0),
        slots: task.slots.or(defaults.slots).unwrap_or(1),
        label: task.label.as_ref().or(defaults.label.as_ref()).cloned(),
        key: task.key.as_ref().or(defaults.key.as_ref()).cloned(),
        start,
        after,
        held: task.hold.or(defaults.hold).unwrap_or(false),
    })
}

fn start(task: &TaskRequest) -> Result<Start, Fault> {
    match (task.delay_ms, task.at) {
        (Some(_), Some(_)) => Err(Fault::new("at", "give a delay or a start time, not both")),
        (Some(0), None) | (None, None) => Ok(Start::Now),
        (Some(delay), None) => Ok(Start::After(Duration::from_millis(delay))),
        (None, Some(at)) => Ok(Start::At(at.0)),
    }
}
