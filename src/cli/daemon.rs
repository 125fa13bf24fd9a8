//! `start`, `status`, `stop` and `reload`: the daemon itself.

use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::args::{Start, Status, Stop};
use super::exit::{self, Code};
use super::failure::{self, Failure};
use super::human;
use super::session::Session;
use super::status::Report;
use crate::app;
use crate::daemon::{self, Stopped};

/// What the daemon's own deadline is given on top before it is killed.
const MARGIN: Duration = Duration::from_secs(5);
/// The daemon's own deadline where its configuration cannot be read: the default.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(60);
/// The Linux Standard Base's exit status for what cannot be told.
const UNKNOWN: i32 = 4;
/// The pause between two looks at a daemon that is expected.
const PAUSE: Duration = Duration::from_millis(20);

/// Is the daemon, until it is told to stop; or starts it in the background.
pub(super) fn start(session: &mut Session<'_>, options: &Start) -> anyhow::Result<Code> {
    match started(session, options)? {
        Some(pid) if session.output.is_json() => {
            session.output.document(&serde_json::json!({ "result": "started", "pid": pid }))?;
        }
        Some(pid) => session.output.line(format_args!("started: process {pid} is ready"))?,
        None => {}
    }
    Ok(Code::Success)
}

/// The process of the daemon that was started; `None` where this was it.
pub(super) fn started(session: &mut Session<'_>, options: &Start) -> anyhow::Result<Option<i32>> {
    let since = Instant::now();
    let place = session.place();
    let flags = place.absolute_flags().map_err(Failure::Directory)?;
    let describe = |error: &app::Error| failure::told(error);
    let start = app::Options {
        mode: place.own_mode(),
        arguments: place.start_arguments(&flags, options.foreground),
        flags,
        background: (!options.foreground).then_some(app::Background { patience: options.timeout, since, describe }),
    };
    if let Some(expected) = &options.trial {
        let proof = app::trial(&start, expected)?;
        session.output.line(proof)?;
        return Ok(None);
    }
    match app::daemon(start)? {
        app::Outcome::Started { pid } => Ok(Some(pid)),
        app::Outcome::Ended => Ok(None),
    }
}

/// Is the daemon's second process, until the daemon has no more use for it.
pub(super) fn runner(arguments: &[OsString]) -> anyhow::Result<Code> {
    app::runner(&app::RunnerOptions::parse(arguments)?)?;
    Ok(Code::Success)
}

/// Tells how the daemon is; the exit status is the LSB's.
pub(super) fn status(session: &mut Session<'_>, options: &Status) -> anyhow::Result<Code> {
    let since = Instant::now();
    loop {
        let report = match Report::look(session) {
            Ok(report) => report,
            // To a service manager, what cannot be looked at is unknown, whatever the reason.
            Err(error) => {
                session.output.note(failure::message(error.as_ref()));
                return Ok(exit::of_task(UNKNOWN));
            }
        };
        let patience = options.wait.unwrap_or_default();
        // A daemon that has just started answers before its runner does.
        if report.is_healthy() || since.elapsed() >= patience {
            if !report.answers() && options.wait.is_some() {
                session.output.note(Failure::NotReady(human::span(patience)));
            }
            report.tell(session)?;
            return Ok(report.exit_code());
        }
        thread::sleep(PAUSE);
    }
}

/// Stops the daemon.
pub(super) fn stop(session: &mut Session<'_>, options: &Stop) -> anyhow::Result<Code> {
    let place = session.place();
    let (directory, shutdown) = match place.settings() {
        Ok(settings) => (settings.paths.runtime_directory, settings.host.shutdown_timeout),
        // Which is no reason to leave one running that can be found.
        Err(error) => {
            let Some(path) = place.certain_runtime_directory() else { return Err(error.into()) };
            if daemon::inspect(&path).record().is_none() {
                app::end_runner_left_behind(&path, SHUTDOWN_TIMEOUT)?;
                return Err(error.into());
            }
            session.output.note(failure::message(&error));
            (path, SHUTDOWN_TIMEOUT)
        }
    };
    let (mut stopped, mut said) = ended(&directory, shutdown, options)?;
    // A daemon that died, or was killed just now, could not tell it to leave; one that could did not wait for it.
    if app::end_runner_left_behind(&directory, shutdown).inspect_err(|_| session.output.note(&said))? {
        stopped["runner"] = "ended".into();
        said.push_str("; the runner that it left has ended with its tasks");
    }
    if session.output.is_json() {
        session.output.document(&stopped)?;
    } else {
        session.output.line(said)?;
    }
    Ok(Code::Success)
}

/// Which of the four happened, for programs and for people.
pub(super) fn ended(directory: &Path, shutdown: Duration, options: &Stop) -> anyhow::Result<(Value, String)> {
    let grace = options.grace.unwrap_or(shutdown + MARGIN);
    let (result, pid, said) = match daemon::stop(directory, grace)? {
        Stopped::NotRunning => ("not-running", None, "not running: there was nothing to stop".to_owned()),
        Stopped::StaleCleaned => {
            ("stale-cleaned", None, "stale cleaned: it was dead already, what it left was removed".to_owned())
        }
        Stopped::Terminated { pid } => ("terminated", Some(pid), format!("terminated: process {pid} has ended")),
        Stopped::Killed { pid } => {
            let said = format!("killed: process {pid} did not end within {}", human::span(grace));
            ("killed", Some(pid), said)
        }
    };
    Ok((serde_json::json!({ "result": result, "pid": pid }), said))
}

/// Has the daemon read its configuration anew.
pub(super) fn reload(session: &mut Session<'_>) -> anyhow::Result<Code> {
    let reloaded = session.client()?.reload()?;
    if session.output.is_json() {
        session.output.document(&reloaded)?;
        return Ok(Code::Success);
    }
    match reloaded.changed.as_slice() {
        [] => session.output.line("read again; nothing changed")?,
        changed => session.output.line(format_args!("read again; changed: {}", changed.join(", ")))?,
    }
    if !reloaded.needs_restart.is_empty() {
        session.output.line(format_args!("with the next restart: {}", reloaded.needs_restart.join(", ")))?;
    }
    reloaded.remarks.iter().try_for_each(|remark| session.output.line(remark))?;
    Ok(Code::Success)
}
