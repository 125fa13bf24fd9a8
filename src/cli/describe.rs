//! One task, whole, as lines of `Name: value` for people.

use std::fmt::Write as _;

use jiff::tz::TimeZone;

use super::{human, quote};
use crate::task::{Condition, OnInterrupt, Outcome, Timestamp};
use crate::wire::api::{AttemptDocument, LimitsRequest, TaskDetail, Time};

/// By which clock the times are told.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// The present moment.
    pub(super) now: Timestamp,
    /// The reader's zone.
    pub(super) zone: TimeZone,
}

/// Lines under names that stand in one column.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    /// Adds a line.
    pub(super) fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let name = format!("{name}:");
        let _ = writeln!(self.0, "{name:<15} {}", value.as_ref());
    }

    /// Adds a line where there is a value.
    pub(super) fn maybe(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// The text, without the last line break.
    pub(super) fn finish(mut self) -> String {
        self.0.truncate(self.0.trim_end().len());
        self.0
    }
}

/// The task in full.
pub(super) fn task(task: &TaskDetail, clock: &Clock) -> String {
    let mut lines = Lines::default();
    identity(&mut lines, task, clock);
    waiting(&mut lines, task, clock);
    policy(&mut lines, task);
    let variables: Vec<String> = task.environment.iter().map(variable).collect();
    lines.maybe("Environment", (!variables.is_empty()).then(|| variables.join(" ")));
    for attempt in &task.history {
        lines.add(&format!("Attempt {}", attempt.attempt), self::attempt(attempt, clock));
    }
    lines.finish()
}

fn identity(lines: &mut Lines, task: &TaskDetail, clock: &Clock) {
    let summary = &task.summary;
    let moment = |time: Time| human::moment(time.0, clock.now, &clock.zone);
    lines.add("Task", summary.id.to_string());
    let state = summary.state.to_string();
    let how = summary.outcome.as_ref().filter(|_| summary.state.is_ended()).map(outcome);
    let how = how.filter(|how| *how != state);
    lines.add("State", how.map_or_else(|| state.clone(), |how| format!("{state}: {how}")));
    lines.maybe("Reason", summary.reason.as_ref());
    lines.add("Command", quote::command(&summary.command));
    lines.add("Directory", quote::word(&task.directory));
    lines.add("Queue", place(task));
    lines.maybe("Label", summary.label.as_ref().map(|label| label.as_str()));
    lines.maybe("Key", summary.key.as_ref().map(|key| key.as_str()));
    lines.maybe("Run of", summary.schedule.as_ref());
    lines.add("Submitted", format!("{}, by user {}", moment(summary.submitted_at), summary.owner));
    lines.maybe("Started", summary.started_at.map(moment));
    lines.maybe("Ended", summary.ended_at.map(moment));
}

fn place(task: &TaskDetail) -> String {
    let summary = &task.summary;
    let slots = if summary.slots == 1 { "1 slot".to_owned() } else { format!("{} slots", summary.slots) };
    format!("{}, priority {}, {slots}", summary.queue, summary.priority)
}

fn waiting(lines: &mut Lines, task: &TaskDetail, clock: &Clock) {
    let due = task.summary.due.filter(|due| !task.summary.state.is_ended() && due.0 > clock.now);
    lines.maybe("Not before", due.map(|due| human::moment(due.0, clock.now, &clock.zone)));
    lines.maybe("Waits for", task.waits_for.as_ref());
    let others: Vec<String> = task
        .waits_for_tasks
        .iter()
        .map(|other| match other.condition {
            Condition::Success => format!("{} to succeed", other.id),
            Condition::End => format!("{} to end", other.id),
        })
        .collect();
    lines.maybe("Waits for tasks", (!others.is_empty()).then(|| others.join(", ")));
}

fn policy(lines: &mut Lines, task: &TaskDetail) {
    lines.maybe("Timeout", task.timeout_ms.map(human::millis));
    lines.add("Stopped by", format!("{}, SIGKILL after {}", task.stop_signal, human::millis(task.grace_ms)));
    let retry = &task.retry;
    if retry.limit > 0 {
        let (first, most) = (human::millis(retry.delay_ms), human::millis(retry.max_delay_ms));
        lines.add("Retries", format!("{}, after {first} up to {most}, ±{} %", retry.limit, retry.jitter_percent));
    }
    lines.add(
        "When cut off",
        match task.on_interrupt {
            OnInterrupt::Retry => "runs again",
            OnInterrupt::End => "ends as interrupted",
        },
    );
    lines.maybe("Limits", limits(&task.limits));
    lines.add("Output cap", human::size(task.output_cap_bytes));
    lines.maybe("Nice", (task.nice != 0).then(|| task.nice.to_string()));
    lines.add("Umask", task.umask.to_string());
}

fn limits(limits: &LimitsRequest) -> Option<String> {
    let said = [
        limits.cpu_seconds.map(|seconds| format!("CPU {}", human::millis(seconds.saturating_mul(1000)))),
        limits.memory_bytes.map(|bytes| format!("memory {}", human::size(bytes))),
        limits.open_files.map(|files| format!("{files} open files")),
        limits.processes.map(|processes| format!("{processes} processes")),
        limits.file_bytes.map(|bytes| format!("files of {}", human::size(bytes))),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(", "))
}

fn variable(variable: &crate::wire::api::VariableDocument) -> String {
    match &variable.value {
        Some(value) => format!("{}={}", quote::word(&variable.name), quote::word(value)),
        None => quote::word(&variable.name),
    }
}

/// One execution: how it ended, when, and what it used.
fn attempt(attempt: &AttemptDocument, clock: &Clock) -> String {
    let mut said = Vec::new();
    said.push(attempt.outcome.as_ref().map_or_else(|| "running".to_owned(), outcome));
    match attempt.started_at {
        Some(started) => {
            let end = attempt.ended_at.map_or(clock.now, |end| end.0);
            said.push(format!(
                "{}, took {}",
                human::moment(started.0, clock.now, &clock.zone),
                human::span(end.since(started.0))
            ));
        }
        // Why it did not start says so by itself.
        None if attempt.outcome.is_some() => {}
        None => said.push("not started yet".to_owned()),
    }
    let cost = &attempt.cost;
    if attempt.outcome.is_some() && attempt.started_at.is_some() {
        let cpu = std::time::Duration::from_micros(cost.user_us.saturating_add(cost.system_us));
        said.push(format!("CPU {}, memory {}", human::span(cpu), human::size(cost.max_rss_bytes)));
        said.push(format!("output {}", human::size(cost.output_bytes)));
    } else if let Some(pid) = attempt.pid {
        said.push(format!("process {pid}"));
    }
    if cost.dropped_bytes > 0 {
        said.push(format!("{} of output thrown away", human::size(cost.dropped_bytes)));
    }
    said.join(", ")
}

/// How an attempt ended, in words.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exited { code } => format!("exit status {code}"),
        Outcome::OutOfMemory => "killed for want of memory".to_owned(),
        Outcome::Signalled { signal, core_dumped: false } => format!("ended by {signal}"),
        Outcome::Signalled { signal, core_dumped: true } => format!("ended by {signal}, core dumped"),
        Outcome::NotStarted { reason, .. } => format!("not started: {reason}"),
        Outcome::TimedOut => "timed out".to_owned(),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Interrupted => "cut off".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::task as summary;
    use super::*;
    use crate::task::{Attempt, Bytes, Cost, Limits, Retry, Spec, State, Stop, Timestamp};

    fn detail() -> TaskDetail {
        let outcome = Outcome::Exited { code: 2 };
        let spec = Spec {
            argv: vec![Bytes::from("make")],
            directory: "/srv/my site".into(),
            environment: vec![("PATH".into(), "/bin".into())],
            umask: 0o22,
            timeout_ms: Some(600_000),
            stop: Stop::default(),
            retry: Retry { limit: 3, ..Retry::default() },
            on_interrupt: OnInterrupt::Retry,
            limits: Limits { memory_bytes: Some(1 << 30), ..Limits::default() },
            nice: 0,
            output_cap_bytes: 64 << 20,
        };
        let attempt = Attempt {
            number: 1,
            claimed_at: Timestamp(1_800_000_001_000_000),
            pid: Some(77),
            pid_start: None,
            started_at: Some(Timestamp(1_800_000_001_000_000)),
            ended_at: Some(Timestamp(1_800_000_003_000_000)),
            outcome: Some(outcome.clone()),
            cost: Cost {
                user_us: 1_500_000,
                max_rss_bytes: 3 << 20,
                output_bytes: 100,
                dropped_bytes: 5,
                ..Cost::default()
            },
        };
        TaskDetail::new(summary(7, State::Failed, Some(outcome), &["make"]), spec, vec![attempt], Vec::new(), false)
    }

    #[test]
    fn people_read_names_and_values() {
        let clock = Clock { now: Timestamp(1_800_000_010_000_000), zone: TimeZone::UTC };
        let expected = "\
Task:           7
State:          failed: exit status 2
Command:        make
Directory:      '/srv/my site'
Queue:          default, priority 0, 1 slot
Submitted:      2027-01-15 08:00:00 (10s ago), by user 1000
Started:        2027-01-15 08:00:01 (9s ago)
Ended:          2027-01-15 08:00:03 (7s ago)
Timeout:        10m
Stopped by:     SIGTERM, SIGKILL after 10s
Retries:        3, after 1s up to 1h, ±10 %
When cut off:   runs again
Limits:         memory 1G
Output cap:     64M
Umask:          022
Environment:    PATH
Attempt 1:      exit status 2, 2027-01-15 08:00:01 (9s ago), took 2s, CPU 1s, memory 3M, output 100, 5 of output thrown away";
        assert_eq!(task(&detail(), &clock), expected);
    }
}
