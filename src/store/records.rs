//! What is handed to the store and back, apart from lists.

use std::collections::BTreeMap;

use crate::task::{AttemptKey, Claim, Dependency, Placement, State, Submission, TaskId, Timestamp};

/// How many tasks of a queue are in each state.
pub type Counts = BTreeMap<State, u64>;

/// A submission with its specification in the form in which it is kept. Whoever takes it in makes that, so that the
/// one thread that writes need not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// When and where it runs.
    pub placement: Placement,
    /// What it reads on standard input.
    pub stdin: Option<Vec<u8>>,
    /// The specification, or why it has no such form.
    pub(super) document: std::result::Result<String, String>,
}

impl From<Submission> for Draft {
    fn from(submission: Submission) -> Self {
        let document = serde_json::to_string(&submission.spec).map_err(|fault| fault.to_string());
        Self { placement: submission.placement, stdin: submission.stdin, document }
    }
}

/// A task as it is first written.
#[derive(Debug)]
pub struct NewTask<'a> {
    /// The user who submits it.
    pub owner: u32,
    /// What was asked for.
    pub draft: &'a Draft,
    /// The state that it starts in.
    pub state: State,
    /// When it was accepted.
    pub now: Timestamp,
    /// Not before this.
    pub due: Option<Timestamp>,
    /// Those of its dependencies that have not ended yet.
    pub open_dependencies: &'a [Dependency],
    /// The recurring task that it is a run of.
    pub schedule: Option<&'a str>,
}

/// A queued task that could start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The task.
    pub id: TaskId,
    /// Higher first.
    pub priority: i32,
    /// How many slots it takes.
    pub slots: u32,
}

/// An attempt that was claimed and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAttempt {
    /// Which.
    pub key: AttemptKey,
    /// Who claimed it.
    pub claim: Claim,
    /// Its process, once known.
    pub pid: Option<i32>,
    /// When that process started, in clock ticks after boot.
    pub pid_start: Option<u64>,
}
