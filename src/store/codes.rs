//! States and conditions as the numbers that stand in the database.
//!
//! The numbers are for ever: a stored database and partial indexes rely on them.

use crate::task::{Condition, State};

/// The state's number; below 5 it has not ended.
pub(super) const fn from_state(state: State) -> i64 {
    match state {
        State::Queued => 0,
        State::Scheduled => 1,
        State::Held => 2,
        State::Waiting => 3,
        State::Running => 4,
        State::Succeeded => 5,
        State::Failed => 6,
        State::TimedOut => 7,
        State::Cancelled => 8,
        State::Interrupted => 9,
    }
}

/// The state with that number.
pub(super) fn to_state(code: i64) -> Option<State> {
    State::ALL.into_iter().find(|state| from_state(*state) == code)
}

/// The condition's number.
pub(super) const fn from_condition(condition: Condition) -> i64 {
    match condition {
        Condition::Success => 0,
        Condition::End => 1,
    }
}

/// The condition with that number.
pub(super) fn to_condition(code: i64) -> Option<Condition> {
    [Condition::Success, Condition::End].into_iter().find(|condition| from_condition(*condition) == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reads_back_and_the_ended_ones_are_those_from_five_up() {
        for state in State::ALL {
            assert_eq!(to_state(from_state(state)), Some(state));
            assert_eq!(from_state(state) >= 5, state.is_ended(), "{state}");
        }
        assert_eq!(to_state(10), None);
    }

    #[test]
    fn conditions_read_back() {
        for condition in [Condition::Success, Condition::End] {
            assert_eq!(to_condition(from_condition(condition)), Some(condition));
        }
    }
}
