//! The dump: how everything stands, for whoever sends SIGUSR1.

use tracing::{error, info};

use crate::daemon::log::in_full;
use crate::engine::{Refusal, Reply, RunnerState};
use crate::task::Size;

/// How everything stands, in one line.
pub(super) fn log_status(answer: Result<Reply, Refusal>) {
    let status = match answer {
        Ok(Reply::Status(status)) => status,
        Ok(other) => return error!(?other, "the engine answered something else than it was asked"),
        Err(refusal) => return error!(error = in_full(&refusal), "the engine did not tell how it stands"),
    };
    let counts = status.counts.iter().map(|(state, count)| format!("{state} {count}"));
    let tasks = counts.collect::<Vec<_>>().join(", ");
    let (used, all) = status.slots;
    let runner = match &status.runner {
        RunnerState::Linked { pid, .. } => format!("process {pid}"),
        RunnerState::Lost { reason } => reason.clone(),
    };
    let (health, intake, free) = (status.health(), status.intake, Size(status.free_bytes));
    let problems: Vec<&str> = status.problems().collect();
    info!(tasks, slots = format!("{used}/{all}"), runner, intake, %health, ?problems, %free, "as it stands");
}
