//! Privileges given up: from root to a user of the daemon's own, with no way back, and proven.
//!
//! An [`Account`] is looked up first, while errors can still be told to whoever starts the daemon.
//! [`act_as`] makes files and sockets that are that user's from the start, so that root never changes the owner of
//! something by a name that the user could move meanwhile. [`drop_to`] ends it.
//!
//! ```no_run
//! use taskdaemon::daemon::privileges::{self, Account, Extent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let account = Account::find("www-data", "www-data")?;
//! let acting = privileges::act_as(&account, None)?;
//! let listener = std::os::unix::net::UnixListener::bind("/run/example/control.sock")?;
//! acting.end()?;
//! // Whatever else needs root, and then:
//! privileges::drop_to(&account, Extent::ForGood)?;
//! # Ok(())
//! # }
//! ```

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Group, User, getgrouplist, getgroups};

use crate::sys::user::{self, Credentials};

/// A user with its groups, as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub uid: u32,
    /// The group of what it makes.
    pub gid: u32,
    /// All the groups that it is a member of, `gid` among them.
    pub groups: Vec<u32>,
}

/// How much is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it, for this process and whatever it executes: no program gains rights either.
    ForGood,
    /// All that the process itself has; set-user-ID programs that it executes gain theirs, sudo(8) among them.
    ItsOwn,
}

/// Why privileges were not given up, or no user was found to give them up for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivilegeError {
    /// The host does not know it.
    #[error("there is no {kind} {name}; make it (as root: {advice}), or name another in the configuration")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The command that makes it.
        advice: String,
    },
    /// The name is one of root's.
    #[error("user {name} is root; name a user with a number other than 0")]
    IsRoot {
        /// The name.
        name: String,
    },
    /// The host's databases do not answer.
    #[error("look up the {kind} {name}")]
    Lookup {
        /// `user` or `group`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What they said.
        source: io::Error,
    },
    /// A thread would keep its rights.
    #[error("there are {0} threads already; privileges are given up by the first, before it starts others")]
    Threads(usize),
    /// The kernel refused a step.
    #[error("give up privileges: {step}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The steps succeeded, and their effect is not there.
    #[error("privileges were given up, but {0}; this host cannot be trusted to separate users")]
    NotProven(&'static str),
}

impl Account {
    /// Looks up a user and a group by name, and all groups that the user is in.
    ///
    /// # Errors
    /// [`PrivilegeError::Unknown`] with the command that makes what is missing, [`PrivilegeError::IsRoot`].
    pub fn find(user: &str, group: &str) -> Result<Self, PrivilegeError> {
        let lookup = |kind, name: &str| {
            let name = name.to_owned();
            move |errno: nix::Error| PrivilegeError::Lookup { kind, name, source: errno.into() }
        };
        let unknown = |kind, name: &str, advice| PrivilegeError::Unknown { kind, name: name.to_owned(), advice };
        let gid = Group::from_name(group).map_err(lookup("group", group))?;
        let gid = gid.ok_or_else(|| unknown("group", group, format!("groupadd --system {group}")))?.gid;
        let found = User::from_name(user).map_err(lookup("user", user))?;
        let advice = || format!("useradd --system --gid {group} --no-create-home --shell /usr/sbin/nologin {user}");
        let found = found.ok_or_else(|| unknown("user", user, advice()))?;
        if found.uid.is_root() {
            return Err(PrivilegeError::IsRoot { name: user.to_owned() });
        }
        let name = CString::new(found.name).unwrap_or_default();
        let groups = getgrouplist(&name, gid).map_err(lookup("user", user))?;
        Ok(Self::new(found.uid.as_raw(), gid.as_raw(), &groups))
    }

    fn new(uid: u32, gid: u32, groups: &[Gid]) -> Self {
        let mut groups: Vec<u32> = groups.iter().map(|group| group.as_raw()).chain([gid]).collect();
        groups.sort_unstable();
        groups.dedup();
        Self { uid, gid, groups }
    }
}

/// Root acting as somebody else for a while.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Acting {
    groups: Vec<u32>,
    ended: bool,
}

/// Acts as `account` from now on: whatever is made belongs to it, and nothing is allowed that it is not allowed.
/// `group` is one that sockets are to be given to; the account need not be a member.
///
/// The way back stays open to this process: this guards against names that were planted, not against code.
///
/// # Errors
/// [`PrivilegeError::Threads`], and [`PrivilegeError::Step`] for one who is not root.
pub fn act_as(account: &Account, group: Option<u32>) -> Result<Acting, PrivilegeError> {
    refuse_threads()?;
    let step = |source| PrivilegeError::Step { step: "act as another user", source };
    let before = getgroups().map_err(|errno| step(errno.into()))?;
    let groups: Vec<u32> = account.groups.iter().copied().chain(group).collect();
    let acting = Acting { groups: before.into_iter().map(Gid::as_raw).collect(), ended: false };
    user::act_as(account.uid, account.gid, &groups).map_err(step)?;
    Ok(acting)
}

impl Acting {
    /// Acts as oneself again.
    ///
    /// # Errors
    /// [`PrivilegeError::Step`] where the kernel refuses.
    pub fn end(mut self) -> Result<(), PrivilegeError> {
        self.ended = true;
        let step = |source| PrivilegeError::Step { step: "act as root again", source };
        user::act_as_oneself(&self.groups).map_err(step)
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        if !self.ended {
            // On the way out after another error, which is the one to tell.
            drop(user::act_as_oneself(&self.groups));
        }
    }
}

/// Becomes `account` for good and proves it: its user and groups in every form, no capability in any set, and
/// trying to come back fails. See [`Extent`] for what its programs may gain.
///
/// # Errors
/// [`PrivilegeError::Threads`] where there is a second thread, which would keep its capabilities;
/// [`PrivilegeError::Step`] with what was refused; [`PrivilegeError::NotProven`]. After any of them the process
/// should end: it may stand anywhere between the two users.
pub fn drop_to(account: &Account, extent: Extent) -> Result<(), PrivilegeError> {
    refuse_threads()?;
    let step = |step| move |source| PrivilegeError::Step { step, source };
    // These two need CAP_SETPCAP, which goes with the user.
    if extent == Extent::ForGood {
        user::clear_bounding_set().map_err(step("empty the bounding set (this needs CAP_SETPCAP)"))?;
        user::make_root_ordinary().map_err(step("lock the secure bits (this needs CAP_SETPCAP)"))?;
    }
    user::become_for_good(account.uid, account.gid, &account.groups)
        .map_err(step("become the user (this needs CAP_SETGID and CAP_SETUID)"))?;
    give_up_capabilities(extent)?;
    user::hide_process().map_err(step("hide the process from others"))?;
    prove(account, extent)
}

/// Gives up all capabilities of the calling thread and, to that [`Extent`], those that its programs could gain,
/// whoever it runs as.
///
/// # Errors
/// [`PrivilegeError::Step`].
pub fn give_up_capabilities(extent: Extent) -> Result<(), PrivilegeError> {
    let step = |step| move |source| PrivilegeError::Step { step, source };
    if extent == Extent::ForGood {
        user::forbid_new_privileges().map_err(step("forbid new privileges"))?;
    }
    user::clear_capabilities().map_err(step("empty the capability sets"))
}

fn prove(account: &Account, extent: Extent) -> Result<(), PrivilegeError> {
    if user::can_return() {
        return Err(PrivilegeError::NotProven("they could be had back"));
    }
    let found = Credentials::of_this_thread();
    let found = found.map_err(|source| PrivilegeError::Step { step: "read /proc/thread-self/status", source })?;
    let [inheritable, permitted, effective, bounding, ambient] = found.capabilities;
    let for_good = extent == Extent::ForGood;
    let claims = [
        (found.uids.iter().all(|uid| *uid == account.uid), "the kernel names another user"),
        (found.gids.iter().all(|gid| *gid == account.gid), "the kernel names another group"),
        (found.groups == account.groups, "the kernel names other supplementary groups"),
        (inheritable | permitted | effective | ambient == 0, "the kernel names capabilities"),
        (!for_good || bounding == 0, "the bounding set is not empty"),
        (!for_good || found.no_new_privileges, "programs may gain new ones"),
    ];
    match claims.into_iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, fault)) => Err(PrivilegeError::NotProven(fault)),
    }
}

fn refuse_threads() -> Result<(), PrivilegeError> {
    let found = Credentials::of_this_thread();
    let found = found.map_err(|source| PrivilegeError::Step { step: "count the threads", source })?;
    if found.threads == 1 { Ok(()) } else { Err(PrivilegeError::Threads(found.threads)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_the_command_that_makes_it() {
        let told = Account::find("root", "no-such-group").unwrap_err().to_string();
        assert!(told.contains("there is no group no-such-group") && told.contains("groupadd --system"), "{told}");
        let told = Account::find("no-such-user", "root").unwrap_err().to_string();
        assert!(told.contains("there is no user no-such-user") && told.contains("useradd --system"), "{told}");
    }

    #[test]
    fn root_is_nobody_to_drop_to() {
        assert!(matches!(Account::find("root", "root"), Err(PrivilegeError::IsRoot { .. })));
    }

    #[test]
    fn a_process_with_threads_is_refused() {
        // The test harness runs each test on a thread of its own.
        let account = Account::new(65_534, 65_534, &[]);
        assert!(matches!(drop_to(&account, Extent::ForGood), Err(PrivilegeError::Threads(2..))));
    }
}
