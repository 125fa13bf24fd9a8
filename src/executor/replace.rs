//! The order to the runner to become another program.

use std::os::fd::OwnedFd;

use crate::wire::runner::{OLDEST_TABLE, TABLE, ToRunner};

/// Takes what became of it: the version that the runner has now, or why it stays what it was. Called on the link's
/// thread.
pub type Replaced = Box<dyn FnOnce(Result<String, String>) + Send>;

/// How far the order is.
#[derive(Default)]
pub(super) struct Replacement {
    /// What the runner said of itself over the link that stands.
    known: Option<Known>,
    order: Option<Order>,
}

#[derive(Debug, Clone)]
struct Known {
    version: String,
    table: u16,
}

enum Order {
    Wanted { program: OwnedFd, then: Replaced },
    Sent { then: Replaced },
}

/// What is to be done outside the lock.
#[derive(Default)]
pub(super) enum Step {
    #[default]
    Nothing,
    Send(ToRunner, OwnedFd),
    Tell(Replaced, Result<String, String>),
}

impl std::fmt::Debug for Replacement {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Replacement").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Replacement {
    /// Has the runner become `program` as soon as it says what it is.
    pub(super) fn want(&mut self, program: OwnedFd, then: Replaced) -> Step {
        self.order = Some(Order::Wanted { program, then });
        self.order_if_known()
    }

    /// A runner was linked that speaks `version`.
    pub(super) fn linked(&mut self, version: u16) -> Step {
        match self.order.take() {
            Some(Order::Wanted { then, .. }) if version < 2 => {
                Step::Tell(then, Err(format!("it speaks version {version}, which knows no upgrade")))
            }
            other => {
                self.order = other;
                Step::Nothing
            }
        }
    }

    /// The runner said what it is.
    pub(super) fn introduced(&mut self, version: String, table: u16) -> Step {
        self.known = Some(Known { version: version.clone(), table });
        match self.order.take() {
            Some(Order::Sent { then }) => Step::Tell(then, Ok(version)),
            other => {
                self.order = other;
                self.order_if_known()
            }
        }
    }

    /// The runner refused.
    pub(super) fn kept(&mut self, reason: String) -> Step {
        match self.order.take() {
            Some(Order::Wanted { then, .. } | Order::Sent { then }) => Step::Tell(then, Err(reason)),
            None => Step::Nothing,
        }
    }

    /// The link is over.
    pub(super) fn lost(&mut self) -> Step {
        self.known = None;
        match self.order.take() {
            Some(Order::Sent { then }) => Step::Tell(then, Err("it ended while it was replaced".to_owned())),
            other => {
                self.order = other;
                Step::Nothing
            }
        }
    }

    fn order_if_known(&mut self) -> Step {
        let Some(Known { version, table }) = &self.known else { return Step::Nothing };
        match self.order.take() {
            // The program that it is to become is this one, so that this one knows what it could take up.
            Some(Order::Wanted { then, .. }) if !(OLDEST_TABLE..=TABLE).contains(table) => {
                let reason = format!(
                    "version {version} hands over in form {table}, and this version knows {OLDEST_TABLE} to {TABLE}"
                );
                Step::Tell(then, Err(reason))
            }
            Some(Order::Wanted { program, then }) => {
                self.order = Some(Order::Sent { then });
                Step::Send(ToRunner::Upgrade, program)
            }
            other => {
                self.order = other;
                Step::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::sys::fd;

    fn wanted() -> (Replacement, Step, mpsc::Receiver<Result<String, String>>) {
        let (told, tells) = mpsc::channel();
        let mut replacement = Replacement::default();
        let step = replacement.want(fd::null().unwrap(), Box::new(move |result| told.send(result).unwrap()));
        (replacement, step, tells)
    }

    fn tell(step: Step) {
        match step {
            Step::Tell(then, result) => then(result),
            Step::Nothing | Step::Send(..) => panic!("nothing to tell"),
        }
    }

    #[test]
    fn the_order_waits_for_a_runner_that_says_what_it_is() {
        let (mut replacement, step, tells) = wanted();
        assert!(matches!(step, Step::Nothing));
        assert!(matches!(replacement.linked(2), Step::Nothing));
        assert!(matches!(replacement.introduced("1".to_owned(), TABLE), Step::Send(ToRunner::Upgrade, _)));
        tell(replacement.introduced("2".to_owned(), TABLE));
        assert_eq!(tells.recv().unwrap(), Ok("2".to_owned()));
    }

    #[test]
    fn a_runner_that_could_not_be_taken_over_is_left_alone() {
        let (mut replacement, _, tells) = wanted();
        tell(replacement.linked(1));
        assert!(tells.recv().unwrap().unwrap_err().contains("speaks version 1"));
        let (mut replacement, _, tells) = wanted();
        tell(replacement.introduced("9".to_owned(), TABLE + 1));
        assert!(tells.recv().unwrap().unwrap_err().contains("hands over in form 2"));
    }

    #[test]
    fn a_runner_that_refuses_or_ends_is_told() {
        let (mut replacement, _, tells) = wanted();
        let _ = replacement.introduced("1".to_owned(), TABLE);
        tell(replacement.kept("no".to_owned()));
        assert_eq!(tells.recv().unwrap(), Err("no".to_owned()));
        let (mut replacement, _, tells) = wanted();
        assert!(matches!(replacement.lost(), Step::Nothing), "it was not told yet");
        let _ = replacement.introduced("1".to_owned(), TABLE);
        tell(replacement.lost());
        assert!(tells.recv().unwrap().is_err());
    }
}
