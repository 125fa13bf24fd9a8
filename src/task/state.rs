//! The states of a task, and every way from one to another.
//!
//! ```text
//!            ┌──────── Hold ────────┐
//! waiting ─▶ scheduled ─▶ queued ─▶ held        (Release, Hold)
//!                           │ ▲
//!                     Claim │ │ Unclaim, Again
//!                           ▼ │
//!                         running ─▶ succeeded, failed, timed-out, cancelled, interrupted
//! ```
//! What has not started may be cancelled; what has ended may be retried by hand.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Ready, and waits for a free slot.
    Queued,
    /// Waits for its time: a delay, a start time, or the pause before a retry.
    Scheduled,
    /// Kept back by hand until released.
    Held,
    /// Waits for other tasks to end.
    Waiting,
    /// An attempt is claimed or running.
    Running,
    /// Ended with exit status 0.
    Succeeded,
    /// Ended with another status, by a signal, or could not be started.
    Failed,
    /// Ended because it took longer than its timeout.
    TimedOut,
    /// Ended because somebody cancelled it, or what it waited for went wrong.
    Cancelled,
    /// Ended because it was cut off, and its policy was not to run again.
    Interrupted,
}

/// When a task can run, once nothing else holds it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// At once.
    Now,
    /// At a later time.
    Later,
    /// After other tasks.
    Blocked,
}

/// What moves a task from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Its time came, its dependencies ended, or it was released by hand.
    Release(Ready),
    /// It was held by hand.
    Hold,
    /// An attempt was claimed.
    Claim,
    /// The claimed attempt never started.
    Unclaim,
    /// The attempt ended, and its policy runs it again.
    Again(Ready),
    /// The attempt ended for good, in this state.
    End(State),
    /// It was cancelled before it started.
    Cancel,
}

/// A trigger that the state does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {state} cannot take {trigger:?}")]
pub struct IllegalTransition {
    /// Where the task was.
    pub state: State,
    /// What was to move it.
    pub trigger: Trigger,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 10] = [
        Self::Queued,
        Self::Scheduled,
        Self::Held,
        Self::Waiting,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// Whether nothing more happens by itself.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        match self {
            Self::Queued | Self::Scheduled | Self::Held | Self::Waiting | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::TimedOut | Self::Cancelled | Self::Interrupted => true,
        }
    }

    /// Its word, as documents and people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Scheduled => "scheduled",
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }

    /// The state that follows.
    ///
    /// # Errors
    /// [`IllegalTransition`] where the trigger makes no sense in this state.
    pub const fn after(self, trigger: Trigger) -> Result<Self, IllegalTransition> {
        let next = match (self, trigger) {
            (Self::Queued | Self::Scheduled | Self::Held | Self::Waiting, Trigger::Release(ready))
            | (Self::Running, Trigger::Again(ready)) => Some(ready.state()),
            (Self::Queued | Self::Scheduled | Self::Waiting, Trigger::Hold) => Some(Self::Held),
            (Self::Queued, Trigger::Claim) => Some(Self::Running),
            (Self::Running, Trigger::Unclaim) => Some(Self::Queued),
            (Self::Running, Trigger::End(end)) if end.is_ended() => Some(end),
            (Self::Queued | Self::Scheduled | Self::Held | Self::Waiting, Trigger::Cancel) => Some(Self::Cancelled),
            (
                Self::Succeeded | Self::Failed | Self::TimedOut | Self::Cancelled | Self::Interrupted,
                Trigger::Again(ready),
            ) => Some(ready.state()),
            (
                Self::Queued
                | Self::Scheduled
                | Self::Held
                | Self::Waiting
                | Self::Running
                | Self::Succeeded
                | Self::Failed
                | Self::TimedOut
                | Self::Cancelled
                | Self::Interrupted,
                Trigger::Release(_)
                | Trigger::Hold
                | Trigger::Claim
                | Trigger::Unclaim
                | Trigger::Again(_)
                | Trigger::End(_)
                | Trigger::Cancel,
            ) => None,
        };
        match next {
            Some(state) => Ok(state),
            None => Err(IllegalTransition { state: self, trigger }),
        }
    }
}

impl Ready {
    /// The state of a task that is ready so.
    #[must_use]
    pub const fn state(self) -> State {
        match self {
            Self::Now => State::Queued,
            Self::Later => State::Scheduled,
            Self::Blocked => State::Waiting,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is not a state; known are {known}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIGGERS: [Trigger; 9] = [
        Trigger::Release(Ready::Now),
        Trigger::Hold,
        Trigger::Claim,
        Trigger::Unclaim,
        Trigger::Again(Ready::Later),
        Trigger::End(State::Failed),
        Trigger::End(State::Queued),
        Trigger::Cancel,
        Trigger::Release(Ready::Blocked),
    ];

    #[test]
    fn only_a_queued_task_can_be_claimed() {
        for state in State::ALL {
            assert_eq!(state.after(Trigger::Claim).is_ok(), state == State::Queued, "{state}");
        }
    }

    #[test]
    fn an_ended_task_moves_only_by_a_retry() {
        for state in State::ALL.into_iter().filter(|state| state.is_ended()) {
            for trigger in TRIGGERS {
                assert_eq!(state.after(trigger).is_ok(), matches!(trigger, Trigger::Again(_)), "{state} {trigger:?}");
            }
        }
    }

    #[test]
    fn a_running_task_ends_only_in_a_final_state() {
        assert!(State::Running.after(Trigger::End(State::Queued)).is_err());
        assert!(State::Running.after(Trigger::Hold).is_err());
        assert!(State::Running.after(Trigger::Cancel).is_err());
    }

    #[test]
    fn words_read_back() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }
}
