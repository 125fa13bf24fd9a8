//! What an older daemon is told: no word that it does not know.

use super::{Cause, Ended, FromRunner, STANDBY};

impl FromRunner {
    /// This message for a daemon that speaks `version`; `None` where it would not understand it.
    #[must_use]
    pub fn for_version(self, version: u16) -> Option<Self> {
        match self {
            Self::Program { .. } | Self::Kept { .. } => (version >= 2).then_some(self),
            Self::Holds { .. } => (version >= 3).then_some(self),
            Self::Recalled { .. } => (version >= STANDBY).then_some(self),
            Self::Succeeded { by, .. } if version < STANDBY => Some(Self::Ended(by.for_version(version))),
            Self::Ended(ended) => Some(Self::Ended(ended.for_version(version))),
            Self::Welcome(mut welcome) => {
                welcome.ended = welcome.ended.into_iter().map(|ended| ended.for_version(version)).collect();
                Some(Self::Welcome(welcome))
            }
            Self::Refused { .. } | Self::Started(_) | Self::Succeeded { .. } | Self::Swept { .. } => Some(self),
        }
    }
}

impl Ended {
    fn for_version(mut self, version: u16) -> Self {
        if version < 3 && self.cause == Cause::Memory {
            // It finds the signal.
            self.cause = Cause::Itself;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::runner::{End, Key};

    #[test]
    fn an_older_daemon_hears_no_word_that_it_does_not_know() {
        let holds = FromRunner::Holds { in_force: Vec::new(), missing: Vec::new() };
        assert_eq!(holds.clone().for_version(2), None);
        assert_eq!(holds.clone().for_version(3), Some(holds));
        let ended = Ended::new(Key { task: 1, attempt: 1 }, End::Exited { code: 1 }, 0, 0);
        let succeeded = FromRunner::Succeeded { by: ended.clone(), next: Key { task: 2, attempt: 1 }, left: 0 };
        assert_eq!(succeeded.clone().for_version(STANDBY - 1), Some(FromRunner::Ended(ended.clone())));
        assert_eq!(succeeded.clone().for_version(STANDBY), Some(succeeded));
        let starved = Ended { cause: Cause::Memory, ..ended.clone() };
        assert_eq!(FromRunner::Ended(starved.clone()).for_version(2), Some(FromRunner::Ended(ended)));
        assert_eq!(FromRunner::Ended(starved.clone()).for_version(3), Some(FromRunner::Ended(starved)));
    }
}
