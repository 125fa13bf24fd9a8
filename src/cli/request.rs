//! What the options say, as the documents that the daemon takes.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::args::{Policy, Room, Starts, Surroundings};
use super::session::Session;
use super::{environment, parse};
use crate::task::{Bytes, Timestamp};
use crate::wire::api::{Environment, LimitsRequest, TaskRequest, Time, Umask};

/// A command line as `submit` and `schedule add` take it: the words, or a script for the shell.
pub(super) fn set_command(task: &mut TaskRequest, command: &[OsString], shell: Option<&OsString>) {
    match shell {
        Some(script) => task.shell = Some(script.clone().into()),
        None => task.command = Some(command.iter().cloned().map(Bytes::from).collect()),
    }
}

/// Where the task runs in the queue.
pub(super) fn set_room(task: &mut TaskRequest, room: &Room) {
    task.queue.clone_from(&room.queue);
    task.label.clone_from(&room.label);
    // What is usual is left to the daemon, so that a batch's lines and the wire stay short.
    task.priority = (room.priority != 0).then_some(room.priority);
    task.slots = (room.slots != 1).then_some(room.slots);
}

/// When the task starts; `now` and the zone are asked for only where a time of the clock was given.
///
/// # Errors
/// A time that the calendar does not hold.
pub(super) fn set_start(
    task: &mut TaskRequest,
    starts: &Starts,
    clock: impl FnOnce() -> (Timestamp, TimeZone),
) -> Result<(), parse::ParseError> {
    task.delay_ms = starts.delay.map(millis);
    if let Some(moment) = starts.at {
        let (now, zone) = clock();
        task.at = Some(Time(moment.resolve(now, &zone)?));
    }
    task.after = (!starts.after.is_empty()).then(|| starts.after.clone());
    task.after_any = (!starts.after_any.is_empty()).then(|| starts.after_any.clone());
    task.hold = starts.hold.then_some(true);
    task.key.clone_from(&starts.key);
    Ok(())
}

/// What is done when things go wrong, and what the task may use.
pub(super) fn set_policy(task: &mut TaskRequest, policy: &Policy) {
    task.timeout_ms = policy.timeout.map(millis);
    task.stop_signal = policy.stop_signal;
    task.grace_ms = policy.grace.map(millis);
    task.retries = policy.retries;
    task.retry_delay_ms = policy.retry_delay.map(millis);
    task.retry_max_delay_ms = policy.retry_max_delay.map(millis);
    task.retry_jitter_percent = policy.retry_jitter;
    task.on_interrupt = policy.on_interrupt;
    task.nice = policy.nice;
    task.output_cap_bytes = policy.output_cap;
    let limits = LimitsRequest {
        // The kernel counts whole seconds, and zero would end the task at once.
        cpu_seconds: policy.limit_cpu.map(|limit| limit.as_millis().div_ceil(1000).max(1)).map(clamped),
        memory_bytes: policy.limit_memory,
        open_files: policy.limit_files,
        processes: policy.limit_processes,
        file_bytes: policy.limit_file_size,
    };
    task.limits = (limits != LimitsRequest::default()).then_some(limits);
}

/// What surrounds the command: directory, mask and variables, as they are here unless the options say otherwise.
///
/// # Errors
/// The working directory cannot be told, mostly because it was removed.
pub(super) fn set_surroundings(task: &mut TaskRequest, surroundings: &Surroundings) -> io::Result<()> {
    let directory = directory(surroundings.directory.as_deref())?;
    task.directory = Some(directory.into_os_string().into());
    task.umask = Some(Umask(surroundings.umask.unwrap_or_else(current_umask)));
    task.environment = Some(Environment(environment::choose(surroundings, std::env::vars_os())));
    Ok(())
}

/// Says which variables were to be passed on and are not set here.
pub(super) fn note_missing(session: &mut Session<'_>, surroundings: &Surroundings) {
    for name in environment::missing(surroundings, |name| std::env::var_os(name).is_some()) {
        session.output.note(format_args!("{} is not set here, and the task does without it", name.display()));
    }
}

fn directory(given: Option<&Path>) -> io::Result<PathBuf> {
    match given {
        Some(path) => std::path::absolute(path),
        None => std::env::current_dir(),
    }
}

/// The process's mask, which umask(2) tells only while it sets another; no second thread runs yet.
fn current_umask() -> u32 {
    use nix::sys::stat::{Mode, umask};
    let mask = umask(Mode::from_bits_truncate(0o077));
    umask(mask);
    mask.bits()
}

/// Whole milliseconds.
pub(super) fn millis(span: Duration) -> u64 {
    clamped(span.as_millis())
}

fn clamped(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Arguments, Submit, Verb};
    use super::*;

    fn submit(line: &[&str]) -> Submit {
        match Arguments::try_parse_from([&["taskdaemon", "submit"], line].concat()).unwrap().verb {
            Verb::Submit(submit) => *submit,
            other => panic!("{other:?}"),
        }
    }

    fn request(line: &[&str]) -> TaskRequest {
        let submit = submit(line);
        let mut task = TaskRequest::default();
        set_command(&mut task, &submit.command, submit.shell.as_ref());
        set_room(&mut task, &submit.room);
        set_start(&mut task, &submit.start, || (Timestamp(0), TimeZone::UTC)).unwrap();
        set_policy(&mut task, &submit.policy);
        task
    }

    #[test]
    fn what_was_not_asked_for_is_left_to_the_daemon() {
        let expected = TaskRequest { command: Some(vec!["true".into()]), ..TaskRequest::default() };
        assert_eq!(request(&["--", "true"]), expected);
    }

    #[test]
    fn every_option_reaches_its_field() {
        let line = "-q mail -l night -p 5 --slots 2 --at 00:05 --after 1,2 --after-any 3 --hold -k once -t 1m \
            --stop-signal INT --grace 5 -r 3 --retry-delay 2s --retry-max-delay 1h --retry-jitter 0 --on-interrupt end \
            --limit-cpu 1500ms --limit-memory 1G --limit-files 9 --limit-processes 8 --limit-file-size 7 --nice -2 \
            --output-cap 1K -- true";
        let task = request(&line.split_whitespace().collect::<Vec<_>>());
        let json = serde_json::to_value(&task).unwrap();
        let expected = serde_json::json!({
            "command": ["true"], "queue": "mail", "label": "night", "priority": 5, "slots": 2,
            "at": "1970-01-01T00:05:00.000000Z", "after": [1, 2], "after_any": [3], "hold": true, "key": "once",
            "timeout_ms": 60_000, "stop_signal": "SIGINT", "grace_ms": 5000, "retries": 3, "retry_delay_ms": 2000,
            "retry_max_delay_ms": 3_600_000, "retry_jitter_percent": 0, "on_interrupt": "end", "nice": -2,
            "limits": {"cpu_seconds": 2, "memory_bytes": 1 << 30, "open_files": 9, "processes": 8, "file_bytes": 7},
            "output_cap_bytes": 1024,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_script_stands_in_place_of_a_command() {
        let task = request(&["--shell", "ls | wc"]);
        assert_eq!((task.shell, task.command), (Some("ls | wc".into()), None));
    }

    #[test]
    fn a_relative_directory_is_made_absolute() {
        let surroundings = Surroundings { directory: Some("sub".into()), ..Surroundings::default() };
        let mut task = TaskRequest::default();
        set_surroundings(&mut task, &surroundings).unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(task.directory.unwrap().as_os_str(), here.join("sub"));
    }
}
