//! The mark on a process: variables that say whose it is, and by which what detached is known again.

use super::Key;
use crate::sys::procfs;

const INSTANCE: &str = "TASKDAEMON_INSTANCE";
const TASK_ID: &str = "TASKDAEMON_TASK_ID";
const ATTEMPT: &str = "TASKDAEMON_ATTEMPT";

/// The environment variables that the runner sets for each attempt, whatever it was given.
pub const NAMES: [&str; 3] = [INSTANCE, TASK_ID, ATTEMPT];

/// Whose a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The daemon's lasting identity.
    pub instance: String,
    /// Its attempt.
    pub key: Key,
}

impl Mark {
    /// `environment` with this mark on it and no other, as NAME=value.
    #[must_use]
    pub fn put_on(&self, environment: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
        let values = [self.instance.clone(), self.key.task.to_string(), self.key.attempt.to_string()];
        let own = NAMES.into_iter().zip(values).map(|(name, value)| format!("{name}={value}").into_bytes());
        let given = environment.iter().filter(|(name, _)| NAMES.iter().all(|own| own.as_bytes() != name));
        given.map(|(name, value)| [name.as_slice(), b"=", value].concat()).chain(own).collect()
    }

    /// Whether a process carries a mark of the daemon `instance`, as far as this user may know.
    #[must_use]
    pub fn is_on(pid: i32, instance: &str) -> bool {
        let me = nix::unistd::geteuid().as_raw();
        // Root reads every environment, and tasks of root may have become others.
        let readable = me == 0 || procfs::owner(pid).is_ok_and(|owner| owner == me);
        let environment = || procfs::environment(pid).unwrap_or_default();
        readable && Self::of(&environment()).is_some_and(|mark| mark.instance == instance)
    }

    /// The mark on an environment as [`procfs::environment`] reads it.
    #[must_use]
    pub fn of(environment: &[u8]) -> Option<Self> {
        let task = procfs::variable(environment, TASK_ID)?.parse().ok()?;
        let attempt = procfs::variable(environment, ATTEMPT)?.parse().ok()?;
        let instance = procfs::variable(environment, INSTANCE)?.to_owned();
        Some(Self { instance, key: Key { task, attempt } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_put_on_and_replaces_another() {
        let mark = |task| Mark { instance: "ab".into(), key: Key { task, attempt: 2 } };
        let given = [(b"A".to_vec(), b"b".to_vec()), (b"TASKDAEMON_TASK_ID".to_vec(), b"9".to_vec())];
        let environment = mark(7).put_on(&given).join(&0);
        assert!(environment.starts_with(b"A=b\0"));
        assert_eq!(Mark::of(&environment), Some(mark(7)));
        assert_eq!(Mark::of(b"A=b\0TASKDAEMON_TASK_ID=9\0"), None);
    }
}
