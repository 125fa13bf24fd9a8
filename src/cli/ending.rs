//! Why a task ended, in one line for whoever holds its exit status alone.
//!
//! A status of 124, 126, 127, 143, 75 or above 128 may be the command's own or this service's: the line tells which.

use std::path::Path;

use super::describe;
use super::session::Session;
use crate::client::Client;
use crate::task::{Outcome, State, TaskId};
use crate::wire::api::TaskSummary;

/// Says it on standard error where the status leaves a question. The status itself stands whatever comes of this.
pub(super) fn explain(session: &mut Session<'_>, socket: &Path, id: TaskId, exit_code: i32) {
    if exit_code == 0 || session.output.is_json() {
        return;
    }
    // A connection of its own: the one that was waited on is used up.
    let asked = Client::connect(socket).and_then(|mut client| client.show(id, false));
    if let Some(sentence) = asked.ok().and_then(|task| sentence(&task.summary)) {
        session.output.note(sentence);
    }
}

/// What the exit status does not tell; `None` where it tells all.
fn sentence(task: &TaskSummary) -> Option<String> {
    let id = task.id;
    let reason = task.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let sentence = match task.state {
        State::Queued | State::Scheduled | State::Held | State::Waiting | State::Running | State::Succeeded => {
            return None;
        }
        State::TimedOut => format!("task {id} took longer than its timeout"),
        State::Cancelled => format!("task {id} was cancelled{reason}"),
        State::Interrupted => format!("task {id} was cut off{reason}"),
        State::Failed => match &task.outcome {
            Some(Outcome::NotStarted { reason, .. }) => format!("task {id} could not be started: {reason}"),
            Some(outcome @ (Outcome::Signalled { .. } | Outcome::OutOfMemory)) => {
                format!("task {id} was {}", describe::outcome(outcome))
            }
            Some(Outcome::Exited { code }) if task.failures > 1 || is_ambiguous(*code) => {
                format!("task {id} itself returned exit status {code}")
            }
            Some(Outcome::Exited { .. }) => return None,
            Some(Outcome::TimedOut | Outcome::Cancelled | Outcome::Interrupted) | None => {
                format!("task {id} failed{reason}")
            }
        },
    };
    let tries = if task.failures > 1 { format!(", the last of {} failures", task.failures) } else { String::new() };
    Some(sentence + &tries)
}

/// Whether this service gives that status too.
fn is_ambiguous(code: i32) -> bool {
    matches!(code, 75 | 124 | 126 | 127 | 129..)
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::task;
    use super::*;
    use crate::task::Signal;

    fn said(state: State, outcome: Outcome) -> Option<String> {
        sentence(&task(3, state, Some(outcome), &["x"]))
    }

    #[test]
    fn a_plain_status_needs_no_words() {
        assert_eq!(said(State::Succeeded, Outcome::Exited { code: 0 }), None);
        assert_eq!(said(State::Failed, Outcome::Exited { code: 5 }), None);
    }

    #[test]
    fn the_status_of_this_service_is_told_from_the_commands_own() {
        let own = said(State::Failed, Outcome::Exited { code: 127 }).unwrap();
        assert_eq!(own, "task 3 itself returned exit status 127");
        let missing = Outcome::NotStarted { reason: "command not found: nosuch".to_owned(), code: 127 };
        let missing = said(State::Failed, missing).unwrap();
        assert_eq!(missing, "task 3 could not be started: command not found: nosuch");
        let signalled = said(State::Failed, Outcome::Signalled { signal: Signal::KILL, core_dumped: false }).unwrap();
        assert_eq!(signalled, "task 3 was ended by SIGKILL");
        assert_eq!(said(State::TimedOut, Outcome::TimedOut).unwrap(), "task 3 took longer than its timeout");
        assert_eq!(said(State::Interrupted, Outcome::Interrupted).unwrap(), "task 3 was cut off");
    }

    #[test]
    fn the_reason_and_the_failures_are_told() {
        let mut cancelled = task(3, State::Cancelled, None, &["x"]);
        cancelled.reason = Some("task 2 failed".to_owned());
        assert_eq!(sentence(&cancelled).unwrap(), "task 3 was cancelled: task 2 failed");
        let mut tried = task(3, State::Failed, Some(Outcome::Exited { code: 5 }), &["x"]);
        tried.failures = 3;
        assert_eq!(sentence(&tried).unwrap(), "task 3 itself returned exit status 5, the last of 3 failures");
    }
}
