//! From the domain's words to the runner's, and back.

use super::{Cause, End, ExitStatus, Leftover, Report, Start};
use crate::task::{AttemptKey, Bytes, Cost, Limits, Signal, TaskId, Timestamp};
use crate::wire::runner as wire;

pub(super) fn key(key: AttemptKey) -> wire::Key {
    wire::Key { task: key.task.0, attempt: key.attempt }
}

pub(super) fn attempt(key: wire::Key) -> AttemptKey {
    AttemptKey { task: TaskId(key.task), attempt: key.attempt }
}

pub(super) fn spawn(start: &Start) -> wire::Spawn {
    let bytes = |bytes: &Bytes| bytes.as_bytes().to_vec();
    let spec = &start.spec;
    wire::Spawn {
        key: key(start.key),
        arguments: spec.argv.iter().map(bytes).collect(),
        directory: bytes(&spec.directory),
        environment: spec.environment.iter().map(|(name, value)| (bytes(name), bytes(value))).collect(),
        umask: spec.umask,
        limits: limits(&spec.limits),
        nice: spec.nice,
        timeout_ms: spec.timeout_ms,
        stop_signal: spec.stop.signal.number(),
        grace_ms: spec.stop.grace_ms,
        output_cap_bytes: spec.output_cap_bytes,
        has_input: start.stdin.is_some(),
    }
}

fn limits(limits: &Limits) -> wire::Limits {
    wire::Limits {
        cpu_seconds: limits.cpu_seconds,
        memory_bytes: limits.memory_bytes,
        open_files: limits.open_files,
        processes: limits.processes,
        file_bytes: limits.file_bytes,
    }
}

pub(super) fn leftover(left: &Leftover) -> wire::Leftover {
    wire::Leftover { key: key(left.key), process: left.process }
}

/// Everything that a runner has, told as the report of its link and then as if it happened now.
pub(super) fn linked(welcome: wire::Welcome) -> Vec<Report> {
    let running = welcome.running.iter().map(|running| running.key);
    let known = running.chain(welcome.ended.iter().map(|ended| ended.key)).map(attempt).collect();
    let linked = Report::Linked { runner: welcome.runner, pid: welcome.pid, boot: welcome.boot, known };
    let running = welcome.running.into_iter().map(started);
    [linked].into_iter().chain(running).chain(welcome.ended.into_iter().map(|end| ended(end, None))).collect()
}

pub(super) fn started(running: wire::Running) -> Report {
    Report::Started {
        key: attempt(running.key),
        pid: running.pid,
        pid_start: running.start_ticks,
        at: Timestamp(running.started_at_us),
    }
}

/// An end, and what starts in its place.
pub(super) fn ended(ended: wire::Ended, next: Option<wire::Key>) -> Report {
    let status = status(ended.end);
    let ran = !matches!(status, ExitStatus::NotStarted { .. });
    let cost = Cost {
        user_us: ended.usage.user_us,
        system_us: ended.usage.system_us,
        max_rss_bytes: ended.usage.max_rss_bytes,
        output_bytes: ended.output_bytes,
        dropped_bytes: ended.dropped_bytes,
    };
    let end = End {
        status,
        cause: match ended.cause {
            wire::Cause::Itself => Cause::Itself,
            wire::Cause::Timeout => Cause::Timeout,
            wire::Cause::Stopped => Cause::Stopped,
            wire::Cause::Drained => Cause::Drained,
            wire::Cause::Memory => Cause::Memory,
        },
        started_at: ran.then_some(Timestamp(ended.started_at_us)),
        ended_at: Timestamp(ended.ended_at_us),
        cost,
    };
    Report::Ended { key: attempt(ended.key), end, next: next.map(attempt) }
}

fn status(end: wire::End) -> ExitStatus {
    match end {
        wire::End::Exited { code } => ExitStatus::Exited(code),
        wire::End::Signalled { signal, core_dumped } => {
            ExitStatus::Signalled { signal: Signal::from_number(signal).unwrap_or(Signal::KILL), core_dumped }
        }
        wire::End::NotStarted { fault, errno, subject } => {
            let (reason, code) = fault_sentence(fault, errno, &Bytes::from(subject));
            ExitStatus::NotStarted { reason, code }
        }
    }
}

/// A sentence, and what a shell would have returned.
fn fault_sentence(fault: wire::Fault, errno: i32, subject: &Bytes) -> (String, i32) {
    let cause = std::io::Error::from_raw_os_error(errno);
    let sentence = match fault {
        wire::Fault::CommandNotFound => return (format!("command not found: {subject}"), 127),
        wire::Fault::CommandIsDirectory => format!("{subject} is a directory, not a command"),
        wire::Fault::CommandForbidden => format!("{subject} may not be executed: {cause}"),
        wire::Fault::NoInterpreter => format!("the interpreter or loader that {subject} names does not exist"),
        wire::Fault::NotAProgram => format!("{subject} is no program for this machine, and no script with a #! line"),
        wire::Fault::BadArguments => "arguments and environment are too large, or hold a NUL byte".to_owned(),
        wire::Fault::DirectoryGone => format!("the working directory {subject} does not exist"),
        wire::Fault::DirectoryForbidden => {
            format!("the working directory {subject} may not be entered by the tasks' user (try --directory)")
        }
        wire::Fault::DirectoryIsFile => format!("the working directory {subject} is not a directory"),
        wire::Fault::LimitRefused => format!("a limit is above what the service itself has: {cause}"),
        wire::Fault::NiceRefused => format!("the nice value is below the service's own: {cause}"),
        wire::Fault::NoResources => format!("processes, descriptors or memory ran out: {cause}"),
    };
    (sentence, 126)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_is_missing_is_told_in_words() {
        let end = wire::End::NotStarted { fault: wire::Fault::CommandNotFound, errno: 2, subject: b"frob".to_vec() };
        assert_eq!(status(end), ExitStatus::NotStarted { reason: "command not found: frob".into(), code: 127 });
    }
}
