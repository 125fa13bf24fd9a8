//! `restart`: the daemon ends, and another one takes its place.

use super::args::{Restart, Start, Stop};
use super::daemon::{ended, started};
use super::exit::Code;
use super::failure::Failure;
use super::session::Session;
use crate::daemon::{inspect, unit};

/// Stops the daemon and starts it again; says so only where both came about.
pub(super) fn run(session: &mut Session<'_>, options: &Restart) -> anyhow::Result<Code> {
    // A configuration with a fault is told while the daemon still runs.
    let settings = session.place().settings()?;
    let directory = &settings.paths.runtime_directory;
    if let Some(record) = inspect(directory).record()
        && let Some(unit) = unit::of_process(record.pid).ok().flatten()
    {
        return Err(Failure::Unit { pid: record.pid, unit }.into());
    }
    let (stopped, said) = ended(directory, settings.host.shutdown_timeout, &Stop { grace: options.grace })?;
    if !session.output.is_json() {
        session.output.line(said)?;
        // The daemon's own process is about to be made: nothing may be printed twice.
        session.output.flush()?;
    }
    let pid = started(session, &Start { foreground: false, timeout: options.timeout, trial: None })?;
    if session.output.is_json() {
        session.output.document(&serde_json::json!({ "result": "restarted", "stopped": stopped, "pid": pid }))?;
    } else if let Some(pid) = pid {
        session.output.line(format_args!("started: process {pid} is ready"))?;
    }
    Ok(Code::Success)
}
